"""Figures of whole clouds of embeddings: spread, shift, separability, Fréchet distance."""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.metrics.frechet_distance import distance_and_interval
from synthgap.metrics.jackknife import StackFigures, jackknife_stack
from synthgap.metrics.stacked_frechet import stacked_frechet_distance
from synthgap.metrics.stacked_separability import stacked_separability
from synthgap.stages.measurement.pair import NAN, Intervals, Pair
from synthgap.stages.measurement.within import class_by_class, members, one_class, shared


def measure_clouds(pair: Pair) -> list[Measurement]:
    """Centroid distance of the query set, centroid shift, linear separability and Fréchet distance; all rows of both."""
    return [*measure_spread(pair), *_centroid_shift(pair), *_separability(pair), *_frechet(pair)]


def measure_spread(pair: Pair) -> list[Measurement]:
    """Centroid distance of the query set alone; the reference names the rows and gives the order of the classes."""
    count = len(pair.order)
    by_class = metrics.centroid_distance(pair.b, pair.query_labels, count)
    found = metrics.centroid_distance_bootstrap(
        pair.b, pair.query_labels, count, resamples=pair.spec.bootstrap, seed=pair.seed("bootstrap")
    )
    enough = torch.tensor([pair.sizes[1][key] >= pair.spec.min_per_class for key in pair.order])
    by_class = torch.where(enough, by_class, NAN)
    ends = Intervals.of_classes(found)
    return pair.table("centroid_distance", float(by_class.nanmean()), by_class, ends, (0, pair.spec.min_per_class))


def _centroid_shift(pair: Pair) -> list[Measurement]:
    sides = (pair.a, pair.reference_labels, pair.b, pair.query_labels, len(pair.order))
    found = metrics.centroid_shift_bootstrap(*sides, resamples=pair.spec.bootstrap, seed=pair.seed("bootstrap"))
    by_class = metrics.centroid_shift(*sides)
    return pair.table("centroid_shift", float(by_class.nanmean()), by_class, Intervals.of_classes(found))


def _separability(pair: Pair) -> list[Measurement]:
    """Of both whole sets, with margin and modality gap; and class by class."""
    sides = (pair.a, pair.b)

    def alone(index: int) -> StackFigures:
        value, ends = _apart(pair, *members(pair, index, sides))[:2]
        return one_class([value], ([ends[0]], [ends[1]]))

    seeds = {"seed": pair.seed("separability"), "bootstrap_seed": pair.seed("bootstrap")}
    found = class_by_class(
        pair,
        pair.stacks,
        lambda stack: stacked_separability(stack, resamples=pair.spec.bootstrap, **seeds),
        alone,
    )
    whole, ends, margin, gap, n = _apart(pair, *shared(pair, sides))
    intervals = Intervals(ends, found.low.squeeze(1), found.high.squeeze(1))
    rows = pair.table("linear_separability", whole, found.value.squeeze(1), intervals, pair.enough)
    nothing = (NAN, NAN)
    return [
        pair.overall("linear_separability", whole, ends, n, "each set needs two images"),
        *rows[1:],
        pair.overall("linear_separability_margin", margin, nothing, n, "each set needs two images"),
        pair.overall("modality_gap", gap, nothing, n),
    ]


def _apart(pair: Pair, a: Tensor, b: Tensor) -> tuple[float, tuple[float, float], float, float, int]:
    """Accuracy with its interval, margin, gap, and the number of held-out rows."""
    found = metrics.linear_separability(a, b, seed=pair.seed("separability"))
    ends = (NAN, NAN)
    if len(found.correct):
        # The mean over the two sets, not over images: 0.5 is chance whatever their sizes.
        by_side = metrics.bootstrap_classes(
            found.correct, found.sides, 2, resamples=pair.spec.bootstrap, seed=pair.seed("bootstrap")
        )
        ends = by_side.overall
    return found.accuracy, ends, found.margin, found.modality_gap, len(found.correct)


def _frechet(pair: Pair) -> list[Measurement]:
    names = ("frechet_distance", "frechet_mean_term", "frechet_covariance_term")
    found = class_by_class(
        pair,
        pair.stacks,
        lambda stack: jackknife_stack(stacked_frechet_distance, stack, seed=pair.jackknife_seed),
        lambda index: _distance(pair, *members(pair, index, pair.units)),
        len(names),
    )
    values, low, high = found.value, found.low.clamp_min(0), found.high  # NaN stays NaN
    a, b = shared(pair, pair.units)
    of_all = _distance(pair, a, b)
    whole, whole_low, whole_high = of_all.value[0], of_all.low[0], of_all.high[0]
    rows: list[Measurement] = []
    for column, name in enumerate(names):
        ends = Intervals((float(whole_low[column]), float(whole_high[column])), low[:, column], high[:, column])
        table = pair.table(name, float(whole[column]), values[:, column], ends, pair.enough)
        rows += [
            pair.overall(name, float(whole[column]), ends.overall, len(b), "each set needs two images"),
            *table[1:],
        ]
    return rows


def _distance(pair: Pair, a: Tensor, b: Tensor) -> StackFigures:
    """Distance and its two terms, with the ends of their intervals; (1, 3) each.

    Of unit vectors, as every other measure: an encoder's length of vectors means nothing here.
    """
    if pair.spec.bootstrap:
        value, *ends = distance_and_interval(a, b, seed=pair.seed("jackknife"))
        return one_class(value, (ends[0], ends[1]))
    found = metrics.frechet_distance(a, b)
    return one_class([found.total, found.mean_term, found.covariance_term])
