"""Whether two sets differ at all, and by how much, whatever their shape: kernel distance, Fréchet line, permutations."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.metrics.jackknife import StackFigures, jackknife_stack
from synthgap.metrics.kernel_distance import SIGMA, stacked_kernel_distance
from synthgap.metrics.permutation_test import stacked_p_values
from synthgap.stages.measurement.pair import NAN, Intervals, Pair
from synthgap.stages.measurement.within import class_by_class, few, members, one_class, shared

MOST_PAIRED = 2_000
"""Images of each set that set-level figures of all pairs are computed on."""
TOO_FEW = "the smaller set needs ten images for each dimension of the embeddings"


def measure_difference(pair: Pair) -> list[Measurement]:
    """CMMD, Fréchet distance of endless sets, and the p-value of "these two sets are samples of one population"."""
    return [*_kernel(pair), *_endless(pair), *_permutations(pair)]


def _kernel(pair: Pair) -> list[Measurement]:
    """CMMD of unit vectors (sigma 10, times 1,000); the set's is of all its images together, not a mean over classes."""
    cmmd = partial(stacked_kernel_distance, sigma=SIGMA, times_1000=True)

    def alone(index: int) -> StackFigures:
        value, ends = _cmmd(pair, *members(pair, index, pair.units))
        return one_class([value], ([ends[0]], [ends[1]]))

    found = class_by_class(
        pair, pair.stacks, lambda stack: jackknife_stack(cmmd, stack, seed=pair.jackknife_seed), alone
    )
    a, b = shared(pair, pair.units)
    whole, ends = _cmmd(pair, a, b)
    intervals = Intervals(ends, found.low.squeeze(1), found.high.squeeze(1))
    rows = pair.table("kernel_distance", whole, found.value.squeeze(1), intervals, pair.enough)
    return [
        pair.overall("kernel_distance", whole, ends, min(len(b), MOST_PAIRED), "each set needs two images"),
        *rows[1:],
    ]


def _cmmd(pair: Pair, a: Tensor, b: Tensor) -> tuple[float, tuple[float, float]]:
    a, b = few(pair, a, MOST_PAIRED), few(pair, b, MOST_PAIRED)
    value, ends = metrics.kernel_distance(a, b, times_1000=True), (NAN, NAN)
    if pair.spec.bootstrap:
        ends = metrics.kernel_distance_interval(a, b, times_1000=True, seed=pair.seed("jackknife"))
    return value, ends


def _endless(pair: Pair) -> list[Measurement]:
    """Of the whole sets only: no class has images enough."""
    a, b = shared(pair, pair.units)
    n = min(len(a), len(b))
    if n < 10 * a.shape[1]:
        return [pair.overall("frechet_distance_infinite", NAN, (NAN, NAN), n, TOO_FEW)]
    found = metrics.frechet_distance_infinite(a, b, seed=pair.seed("subsets"))
    return [pair.overall("frechet_distance_infinite", found.value, (NAN, NAN), n)]


def _permutations(pair: Pair) -> list[Measurement]:
    """p of each class, by Holm's method for as many tests as there are classes, and of the whole sets."""
    if not pair.spec.permutations:
        return []
    values = torch.full((len(pair.order),), NAN, dtype=torch.float64)
    for stack in pair.stacks:
        values[stack.classes] = stacked_p_values(
            stack, permutations=pair.spec.permutations, seed=pair.seed("permutations")
        )
    for index in pair.stacks.alone:
        values[index] = _p_value(pair, *members(pair, index, pair.units))
    a, b = shared(pair, pair.units)
    whole = _p_value(pair, a, b)
    nothing = torch.full_like(values, NAN)
    rows = pair.table(
        "permutation_p_value", whole, metrics.holm(values), Intervals((NAN, NAN), nothing, nothing), pair.enough
    )
    return [
        pair.overall("permutation_p_value", whole, (NAN, NAN), min(len(b), MOST_PAIRED), "each set needs two images"),
        *rows[1:],
    ]


def _p_value(pair: Pair, a: Tensor, b: Tensor) -> float:
    a, b = few(pair, a, MOST_PAIRED), few(pair, b, MOST_PAIRED)
    return metrics.permutation_test(a, b, permutations=pair.spec.permutations, seed=pair.seed("permutations")).p_value
