"""Passes over many vectors a block of rows at a time, in float64, so that memory stays bounded and sums stay exact."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from synthgap.metrics._checks import peaks

BLOCK_VALUES = 393_216
"""Float64 values held at once: 3 MiB, which stay in the cache from one step to the next."""

TIE = 1e-12
"""Cosines nearer to each other than this are equal: above float64 rounding, far below what float32 vectors resolve."""


def unit(e: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Scale each row (…, d) to length 1; dividing by the largest entry first keeps any scale from over- or underflow."""
    e = e.to(torch.promote_types(e.dtype, dtype))
    e = (e / peaks(e).unsqueeze(-1)).to(dtype)
    length: Tensor = torch.linalg.vector_norm(e, dim=-1, keepdim=True)
    return e / length


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices over the rows, each at most `BLOCK_VALUES` values of that width."""
    step = max(1, BLOCK_VALUES // max(1, width))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def unit_blocks(e: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of rows as float64 unit vectors, with the rows they stand for."""
    return ((rows, unit(e[rows])) for rows in row_blocks(len(e), e.shape[1]))


def class_sums(e: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Sum of the unit vectors of each class, (c, d) float64, in one pass."""
    sums = torch.zeros(num_classes, e.shape[1], dtype=torch.float64, device=e.device)
    for rows, block in unit_blocks(e):
        sums.index_add_(0, labels[rows], block)
    return sums


def class_centroids(e: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Centroid of each class, (c, d) float64; NaN rows where a class is empty or its vectors cancel out."""
    return directions(class_sums(e, labels, num_classes), torch.bincount(labels, minlength=num_classes))


def directions(sums: Tensor, counts: Tensor) -> Tensor:
    """Centroids (c, d) from the sums of so many unit vectors; NaN rows where there is none."""
    vanished = torch.linalg.vector_norm(sums, dim=1) <= TIE * counts.to(sums.device)
    return unit(sums.masked_fill(vanished.unsqueeze(1), torch.nan))


def members_by_class(labels: Tensor, num_classes: int) -> list[Tensor]:
    """Row numbers of each class, in ascending order, from one sort."""
    order = torch.argsort(labels, stable=True)
    return list(torch.split(order, torch.bincount(labels, minlength=num_classes).tolist()))
