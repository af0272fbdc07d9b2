"""Euclidean distances of many vectors, a square tile at a time, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from synthgap.metrics import _blocks
from synthgap.metrics._blocks import row_blocks


def tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Pairs of slices that cover a (rows, columns) matrix, each of at most `BLOCK_VALUES` values."""
    side = max(1, math.isqrt(_blocks.BLOCK_VALUES))
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            yield slice(top, min(top + side, rows)), slice(left, min(left + side, columns))


def upper_tiles(rows: int) -> Iterator[tuple[slice, slice]]:
    """The tiles of a symmetric matrix on and above its diagonal; those on it start at equal rows and columns."""
    return ((top, left) for top, left in tiles(rows, rows) if left.start >= top.start)


def middle(*sets: Tensor) -> Tensor:
    """Mean row of all sets, (d,) float64; taken off first, it keeps the digits of distances far from the origin."""
    total = torch.zeros(sets[0].shape[1], dtype=torch.float64, device=sets[0].device)
    for e in sets:
        for rows in row_blocks(len(e), e.shape[1]):
            total += e[rows].sum(dim=0, dtype=torch.float64)
    return total / max(1, sum(len(e) for e in sets))


def squared_distances(x: Tensor, y: Tensor, origin: Tensor) -> Tensor:
    """Squared distance of each row of one block to each of the other, (r, s), at least 0."""
    x, y = x.double() - origin, y.double() - origin
    lengths = x.square().sum(dim=1).unsqueeze(1) + y.square().sum(dim=1)
    return torch.addmm(lengths, x, y.T, alpha=-2).clamp_min(0)
