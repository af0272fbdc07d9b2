"""Figures of the images of each class alone, and what their classes have in common: loops, limits, rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.stages.measurement.pair import NAN, Intervals, Pair

MOST_ROWS = 10_000
"""Images of a class and set that are compared with each other; more are drawn from by the seed."""

Figures = Callable[..., Sequence[float]]


def by_class(pair: Pair) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Place of each class that has enough images in both sets, with the unit vectors of both."""
    for index, (a, b) in enumerate(members(pair)):
        if min(len(a), len(b)) >= pair.spec.min_per_class:
            yield index, few(pair, metrics.uvec(a)), few(pair, metrics.uvec(b))


def members(pair: Pair) -> list[tuple[Tensor, Tensor]]:
    """Embeddings of both sets, class by class."""
    sides = []
    for e, labels in ((pair.a, pair.reference_labels), (pair.b, pair.query_labels)):
        order = torch.argsort(labels, stable=True)
        sizes = torch.bincount(labels, minlength=len(pair.order)).tolist()
        sides.append([e[rows] for rows in torch.split(order, sizes)])
    return list(zip(*sides, strict=True))


def shared(pair: Pair) -> tuple[Tensor, Tensor]:
    """Embeddings of both sets in the classes that both have: a class in one set only is no gap within classes."""
    both = torch.tensor([bool(pair.sizes[0][key] and pair.sizes[1][key]) for key in pair.order])
    return pair.a[both[pair.reference_labels]], pair.b[both[pair.query_labels]]


def few(pair: Pair, e: Tensor, most: int = MOST_ROWS) -> Tensor:
    """At most that many rows, drawn by the seed."""
    if len(e) <= most:
        return e
    generator = torch.Generator().manual_seed(pair.seed("rows"))
    return e[torch.randperm(len(e), generator=generator)[:most].sort().values]


def per_image(pair: Pair, metric: str, found: Sequence[tuple[int, Tensor]], otherwise: str) -> list[Measurement]:
    """Rows of a figure that is a mean over images: the values of the images of each class, by its place.

    The interval resamples the images that have a value; what they were held against stays as it is. ``otherwise`` is the
    reason where there are enough images and yet no figure.
    """
    options = {"resamples": pair.spec.bootstrap, "seed": pair.seed("bootstrap")}
    values = torch.cat([part for _, part in found]) if found else torch.empty(0, dtype=torch.float64)
    labels = torch.cat([torch.full((len(part),), index) for index, part in found]) if found else torch.empty(0).long()
    ends = metrics.bootstrap_classes(values, labels, len(pair.order), **options)
    means = metrics.class_means(values, labels, len(pair.order))
    whole = metrics.bootstrap_interval(values, labels, **options)
    intervals = Intervals(whole, ends.low, ends.high)
    sizes = torch.bincount(labels[values.isfinite()], minlength=len(pair.order))
    rows = pair.table(metric, float(values.nanmean()), means, intervals, pair.enough, otherwise, sizes)
    counts = [int(sizes.sum()), *sizes.tolist()]
    return [replace(row, n=n) if n else row for row, n in zip(rows, counts, strict=True)]


def per_class(
    pair: Pair,
    names: Sequence[str],
    statistic: Figures,
    found: Sequence[tuple[int, tuple[Tensor, ...]]],
    least: tuple[int, int],
    within: tuple[float, float],
) -> list[Measurement]:
    """Rows of figures of the images of a class as a whole; the set's is the mean over its classes.

    Args:
        pair: The two sets.
        names: Metric of each figure of the statistic.
        statistic: Takes the embeddings of a class in one or both sets.
        found: Place and embeddings of each class that has enough.
        least: Images that a class must have in the reference and the query set.
        within: Least and greatest value of the figures, which an interval does not go beyond.
    """
    count = len(pair.order)
    values, low, high = (torch.full((count, len(names)), NAN, dtype=torch.float64) for _ in range(3))
    for index, samples in found:
        values[index] = torch.tensor([float(figure) for figure in statistic(*samples)], dtype=torch.float64)
        if pair.spec.bootstrap:
            low[index], high[index] = metrics.jackknife_interval(statistic, samples, seed=pair.seed("jackknife"))
    low, high = low.clamp(*within), high.clamp(*within)  # NaN stays NaN
    rows: list[Measurement] = []
    for column, name in enumerate(names):
        overall, half = values[:, column].nanmean(), (high - low)[:, column] / 2
        half = half[half.isfinite()]
        # The classes' errors are independent of each other.
        error = half.square().sum().sqrt() / len(half) if len(half) else torch.tensor(NAN)
        ends = torch.stack([overall - error, overall + error]).clamp(*within).tolist()
        intervals = Intervals((ends[0], ends[1]), low[:, column], high[:, column])
        rows += pair.table(name, float(overall), values[:, column], intervals, least)
    return rows
