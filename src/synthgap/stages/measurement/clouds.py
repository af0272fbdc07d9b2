"""Figures of whole clouds of embeddings: spread, shift, separability, Fréchet distance."""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement.pair import NAN, Intervals, Pair
from synthgap.store.embeddings import EmbeddingSet

LEAST_RESAMPLES = 20
RESAMPLE_OPERATIONS = 4e9
"""The Fréchet distance costs the cube of the dimension: as many resamples as this allows, and at least the above."""


def measure_clouds(reference: EmbeddingSet, query: EmbeddingSet, spec: MeasureSpec) -> list[Measurement]:
    """Centroid distance of both sets, centroid shift, linear separability and Fréchet distance; all rows of both."""
    pair = Pair(reference, query, spec)
    twice = (Pair(reference, reference, spec),) if reference.name != query.name else ()
    return [
        *_centroid_distance(pair),
        *(row for own in twice for row in _centroid_distance(own)),
        *_centroid_shift(pair),
        *_separability(pair),
        *_frechet(pair),
    ]


def measure_spread(reference: EmbeddingSet, query: EmbeddingSet, spec: MeasureSpec) -> list[Measurement]:
    """Centroid distance of the query set alone; the reference names the rows and gives the order of the classes."""
    return _centroid_distance(Pair(reference, query, spec))


def _centroid_distance(pair: Pair) -> list[Measurement]:
    """Of the query set; the reference has no part in it."""
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
    for index, (a, b) in enumerate(_by_class(pair)):
        if min(len(a), len(b)) >= pair.spec.min_per_class:
            values[index], (low[index], high[index]) = _apart(pair, a, b)[:2]
    whole, ends, margin, gap, n = _apart(pair, *_shared(pair))
    rows = pair.table("linear_separability", whole, values, Intervals(ends, low, high), _both(pair))
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
    for index, (a, b) in enumerate(_by_class(pair)):
        if min(len(a), len(b)) >= pair.spec.min_per_class:
            values[index], low[index], high[index] = _distance(pair, a, b)
    a, b = _shared(pair)
    whole, whole_low, whole_high = _distance(pair, a, b)
    rows: list[Measurement] = []
    for column, name in enumerate(names):
        ends = Intervals((float(whole_low[column]), float(whole_high[column])), low[:, column], high[:, column])
        table = pair.table(name, float(whole[column]), values[:, column], ends, _both(pair))
        rows += [
            pair.overall(name, float(whole[column]), ends.overall, len(b), "each set needs two images"),
            *table[1:],
        ]
    return rows


def _distance(pair: Pair, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance and its two terms, with the lower and upper ends of their intervals; (3,) each."""

    def figures(a: Tensor, b: Tensor) -> list[float]:
        found = metrics.frechet_distance(a, b)
        return [found.total, found.mean_term, found.covariance_term]

    # Of unit vectors, as every other measure: an encoder's length of vectors means nothing here.
    a, b = metrics.uvec(a), metrics.uvec(b)
    width = min(len(a), len(b), a.shape[1])
    affordable = int(RESAMPLE_OPERATIONS / (30 * width**3 + 2 * (len(a) + len(b)) * a.shape[1] * width + 1))
    resamples = min(pair.spec.bootstrap, max(LEAST_RESAMPLES, affordable))
    low, high = metrics.bootstrap_statistic(figures, [a, b], resamples=resamples, seed=pair.seed("bootstrap"))
    return torch.tensor(figures(a, b), dtype=torch.float64), low, high


def _both(pair: Pair) -> tuple[int, int]:
    return pair.spec.min_per_class, pair.spec.min_per_class


def _by_class(pair: Pair) -> list[tuple[Tensor, Tensor]]:
    """Embeddings of both sets, class by class."""
    sides = []
    for e, labels in ((pair.a, pair.reference_labels), (pair.b, pair.query_labels)):
        order = torch.argsort(labels, stable=True)
        sizes = torch.bincount(labels, minlength=len(pair.order)).tolist()
        sides.append([e[rows] for rows in torch.split(order, sizes)])
    return list(zip(*sides, strict=True))


def _shared(pair: Pair) -> tuple[Tensor, Tensor]:
    """Embeddings of both sets in the classes that both have: a class in one set only is no gap within classes."""
    both = torch.tensor([bool(pair.sizes[0][key] and pair.sizes[1][key]) for key in pair.order])
    return pair.a[both[pair.reference_labels]], pair.b[both[pair.query_labels]]
