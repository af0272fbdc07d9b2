"""Resamples of the images of a class, and the intervals they give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from synthgap.metrics._blocks import row_blocks

LEVELS = (0.025, 0.975)
"""Ends of the 95 % interval, as shares of the resamples."""

QUANTILE_VALUES = 8_000_000
"""Values handed to one `torch.nanquantile`, which takes at most 16 million."""


@dataclass(frozen=True)
class ClassIntervals:
    """95 % intervals of a figure that each class has.

    Attributes:
        low: Lower end for each class, (c,) float64; NaN where it is not defined.
        high: Upper end for each class.
        overall: Both ends for the mean over the classes that have the figure.
    """

    low: Tensor
    high: Tensor
    overall: tuple[float, float]


def draw(n: int, resamples: int, generator: torch.Generator) -> Iterator[tuple[slice, Tensor]]:
    """Rows drawn with replacement, (b, n) int64, a block of resamples at a time; nothing for an empty class."""
    if n:
        for rows in row_blocks(resamples, n):
            yield rows, torch.randint(n, (rows.stop - rows.start, n), generator=generator)


def draw_counts(n: int, resamples: int, generator: torch.Generator) -> Iterator[tuple[slice, Tensor]]:
    """How often each row was drawn, (b, n) float64, a block of resamples at a time; nothing for an empty class."""
    one = torch.ones(1, dtype=torch.float64)
    for rows, drawn in draw(n, resamples, generator):
        yield rows, torch.zeros(drawn.shape, dtype=torch.float64).scatter_add_(1, drawn, one.expand(drawn.shape))


def percentiles(replicates: Tensor, around: Tensor | None = None, least: float = -torch.inf) -> tuple[Tensor, Tensor]:
    """95 % percentile interval of each column of (resamples, c); shifted to have its mean at ``around`` where given."""
    if len(replicates) == 0:
        nothing = torch.full(replicates.shape[1:], torch.nan, dtype=torch.float64)
        return nothing, nothing.clone()
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    columns = replicates.split(max(1, QUANTILE_VALUES // len(replicates)), dim=1)
    ends = torch.cat([torch.nanquantile(part, levels, dim=0) for part in columns], dim=1)
    if around is not None:
        ends = ends - replicates.nanmean(dim=0) + around
    return ends[0].clamp_min(least), ends[1].clamp_min(least)


def class_intervals(
    replicates: Tensor, sizes: Tensor, around: Tensor | None = None, least: float = -torch.inf
) -> ClassIntervals:
    """Turn replicates (resamples, c) into intervals; a class of fewer than two items (``sizes``) has none.

    A class of one item still counts in the mean over classes, as a constant.
    """
    low, high = percentiles(replicates, around, least)
    low[sizes < 2], high[sizes < 2] = torch.nan, torch.nan
    if not (sizes >= 2).any():
        return ClassIntervals(low, high, (torch.nan, torch.nan))
    mean = None if around is None else around.nanmean(dim=0, keepdim=True)
    all_low, all_high = percentiles(replicates.nanmean(dim=1, keepdim=True), mean, least)
    return ClassIntervals(low, high, (float(all_low), float(all_high)))
