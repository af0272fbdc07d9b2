"""Figures of the images of each class alone, and what their classes have in common: stacks, limits, rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.metrics.jackknife import StackFigures
from synthgap.metrics.stacks import Stack, Stacks
from synthgap.stages.measurement.pair import NAN, Intervals, Pair

MOST_ROWS = 10_000
"""Images of a class and set that are compared with each other; more are drawn from by the seed."""

Both = tuple[Tensor, Tensor]
Numbers = Sequence[float] | Tensor


def members(pair: Pair, index: int, sides: Both) -> Both:
    """Rows of a class in both sets."""
    a, b = (e[of[index]] for e, of in zip(sides, pair.stacks.members, strict=True))
    return a, b


def shared(pair: Pair, sides: Both) -> Both:
    """Rows of both sets in the classes that both have: a class in one set only is no gap within classes."""
    both = torch.tensor([bool(pair.sizes[0][key] and pair.sizes[1][key]) for key in pair.order])
    if bool(both.all()):
        return sides
    a, b = (e[both[labels]] for e, labels in zip(sides, (pair.reference_labels, pair.query_labels), strict=True))
    return a, b


def class_by_class(
    pair: Pair,
    stacks: Stacks,
    stacked: Callable[[Stack], StackFigures],
    alone: Callable[[int], StackFigures],
    figures: int = 1,
) -> StackFigures:
    """Figures (c, p) of all classes with their intervals: stacked where products are sound enough, else one by one."""
    parts = [(stack.classes, stacked(stack)) for stack in stacks]
    unsound = [
        key for classes, found in parts for key, fine in zip(classes, found.sound.tolist(), strict=True) if not fine
    ]
    parts += [([key], alone(key)) for key in sorted([*stacks.alone, *unsound])]
    values, low, high = (torch.full((len(pair.order), figures), NAN, dtype=torch.float64) for _ in range(3))
    for classes, found in parts:
        values[classes], low[classes], high[classes] = found.value, found.low, found.high
    return StackFigures(values, low, high, torch.ones(len(values), dtype=torch.bool))


def one_class(value: Numbers, ends: tuple[Numbers, Numbers] | None = None) -> StackFigures:
    """p figures of a class that was measured alone, with the ends of their intervals."""
    figures = torch.as_tensor(value, dtype=torch.float64).unsqueeze(0)
    nothing = torch.full_like(figures, NAN)
    low, high = (torch.as_tensor(end, dtype=torch.float64).unsqueeze(0) for end in ends) if ends else (nothing, nothing)
    return StackFigures(figures, low, high, torch.ones(1, dtype=torch.bool))


def with_jackknife(pair: Pair, statistic: Callable[..., Sequence[float]], samples: Sequence[Tensor]) -> StackFigures:
    """Figures of a class that is measured alone, with their intervals by leaving out tenths."""
    value = [float(figure) for figure in statistic(*samples)]
    if not pair.spec.bootstrap:
        return one_class(value)
    return one_class(value, metrics.jackknife_interval(statistic, samples, seed=pair.seed("jackknife")))


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
    values = torch.cat([part for _, part in found]) if found else torch.empty(0, dtype=torch.float64)
    labels = torch.tensor([index for index, _ in found]).long()
    labels = labels.repeat_interleave(torch.tensor([len(part) for _, part in found]).long())
    intervals = pair.intervals(values, labels)
    means = metrics.class_means(values, labels, len(pair.order))
    sizes = torch.bincount(labels[values.isfinite()], minlength=len(pair.order))
    rows = pair.table(metric, float(values.nanmean()), means, intervals, pair.enough, otherwise, sizes)
    counts = [int(sizes.sum()), *sizes.tolist()]
    return [replace(row, n=n) if n else row for row, n in zip(rows, counts, strict=True)]


def per_class(
    pair: Pair, names: Sequence[str], found: StackFigures, least: tuple[int, int], within: tuple[float, float]
) -> list[Measurement]:
    """Rows of figures of the images of a class as a whole; the set's is the mean over its classes.

    Args:
        pair: The two sets.
        names: Metric of each figure.
        found: The figures of all classes.
        least: Images that a class must have in the reference and the query set.
        within: Least and greatest value of the figures, which an interval does not go beyond.
    """
    values, low, high = found.value, found.low.clamp(*within), found.high.clamp(*within)  # NaN stays NaN
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
