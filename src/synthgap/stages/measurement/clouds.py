"""Figures of whole clouds of embeddings: spread, shift, separability, Fréchet distance."""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement.pair import NAN, Intervals, Pair
from synthgap.stages.measurement.within import members, shared
from synthgap.store.embeddings import EmbeddingSet


def measure_clouds(reference: EmbeddingSet, query: EmbeddingSet, spec: MeasureSpec) -> list[Measurement]:
    """Centroid distance of the query set, centroid shift, linear separability and Fréchet distance; all rows of both."""
    pair = Pair(reference, query, spec)
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
    values = torch.full((len(pair.order),), NAN, dtype=torch.float64)
    low, high = values.clone(), values.clone()
    for index, (a, b) in enumerate(members(pair)):
        if min(len(a), len(b)) >= pair.spec.min_per_class:
            values[index], (low[index], high[index]) = _apart(pair, a, b)[:2]
    whole, ends, margin, gap, n = _apart(pair, *shared(pair))
    rows = pair.table("linear_separability", whole, values, Intervals(ends, low, high), pair.enough)
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
    count = len(pair.order)
    values, low, high = (torch.full((count, 3), NAN, dtype=torch.float64) for _ in range(3))
    for index, (a, b) in enumerate(members(pair)):
        if min(len(a), len(b)) >= pair.spec.min_per_class:
            values[index], low[index], high[index] = _distance(pair, a, b)
    a, b = shared(pair)
    whole, whole_low, whole_high = _distance(pair, a, b)
    rows: list[Measurement] = []
    for column, name in enumerate(names):
        ends = Intervals((float(whole_low[column]), float(whole_high[column])), low[:, column], high[:, column])
        table = pair.table(name, float(whole[column]), values[:, column], ends, pair.enough)
        rows += [
            pair.overall(name, float(whole[column]), ends.overall, len(b), "each set needs two images"),
            *table[1:],
        ]
    return rows


def _distance(pair: Pair, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance and its two terms, with the lower and upper ends of their intervals; (3,) each."""
    # Of unit vectors, as every other measure: an encoder's length of vectors means nothing here.
    a, b = metrics.uvec(a), metrics.uvec(b)
    found = metrics.frechet_distance(a, b)
    value = torch.tensor([found.total, found.mean_term, found.covariance_term], dtype=torch.float64)
    if not pair.spec.bootstrap:
        return value, torch.full_like(value, NAN), torch.full_like(value, NAN)
    return value, *metrics.frechet_distance_interval(a, b, seed=pair.seed("jackknife"))
