"""Which pairs of vectors are near each other: float32 products find them, float64 distances decide.

With the length as two further columns, ``[x, 1, -|x|^2 / 2] . [y, -|y|^2 / 2, 1] = -|x - y|^2 / 2``: one product gives
distances that compare at once. They err by at most `Space.slack`, so a pair beyond a limit by more than that is none,
and the few others are computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from synthgap.metrics._blocks import row_blocks
from synthgap.metrics._euclidean import middle, squared_distances

TILE = (512, 4096)
"""Rows and columns of a tile: 8 MiB of float32, which stay in the cache."""

SIDE = 1024
"""Rows and columns of a tile of a set with itself."""

SPARE = 4
"""Candidates kept beyond k, so that rows in need of a second search are rare."""

DENSE = 16
"""Where more than one pair in this many is near, a whole tile in float64 is faster than pair by pair."""

EPS = 2.0**-24


class Space:
    """Vectors around the mean of one or two sets."""

    def __init__(self, *sets: Tensor) -> None:
        self.origin = middle(*sets)
        largest = 0.0
        for e in sets:
            for rows in row_blocks(len(e), e.shape[1]):
                largest = max(largest, float((e[rows].double() - self.origin).square().sum(dim=1).max()))
        self.slack = (4 * len(self.origin) + 32) * EPS * largest
        """Bound on the error of a product, for any order of summation: half the sum of all its terms' roundings, twice."""
        # a lowered matmul precision (TF32, bfloat16) would break the bound; lengths beyond float32 have no products in it
        plain = torch.get_float32_matmul_precision() == "highest" and 1e-30 < largest < 1e30
        self.dtype = torch.float32 if plain else torch.float64

    def _codes(self, e: Tensor, last: bool) -> Tensor:
        """Rows with the two further columns, on the left or on the right of a product."""
        codes = torch.empty(len(e), e.shape[1] + 2, dtype=self.dtype, device=e.device)
        for rows in row_blocks(len(e), e.shape[1]):
            x = e[rows].double() - self.origin
            codes[rows, :-2], half = x, x.square().sum(dim=1) / -2
            codes[rows, -2], codes[rows, -1] = (half, 1.0) if last else (1.0, half)
        return codes

    def products(self, x: Tensor, y: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """Tiles of ``-|x - y|^2 / 2``, each with its rows and columns; a row's tiles follow each other."""
        left, right = self._codes(x, last=False), self._codes(y, last=True)
        for top in range(0, len(x), TILE[0]):
            for start in range(0, len(y), TILE[1]):
                rows, columns = slice(top, min(top + TILE[0], len(x))), slice(start, min(start + TILE[1], len(y)))
                yield rows, columns, left[rows] @ right[columns].T

    def within(self, product: Tensor, limit: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column of the pairs of a tile whose squared distance is at most ``limit``, (r, 1) or (c,), exactly."""
        maybe = product >= (limit / -2 - self.slack).to(product.dtype)
        if int(maybe.sum()) * DENSE > maybe.numel():
            i, j = (squared_distances(x, y, self.origin) <= limit).nonzero().T
            return i, j
        i, j = maybe.nonzero().T
        near = self.squared(x, y, i, j) <= limit.expand_as(product)[i, j]
        return i[near], j[near]

    def squared(self, x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Squared distances of pairs, in float64."""
        found = torch.empty(len(i), dtype=torch.float64, device=x.device)
        for pairs in row_blocks(len(i), x.shape[1]):
            found[pairs] = (x[i[pairs]].double() - y[j[pairs]].double()).square().sum(dim=1)
        return found

    def reach(self, e: Tensor, k: int) -> Tensor:
        """Squared distance of each row to its k-th nearest other row, (n,) float64; infinite where there are fewer."""
        n = len(e)
        reach = torch.full((n,), torch.inf, dtype=torch.float64, device=e.device)
        if n <= k:
            return reach
        count = min(k + SPARE, n - 1)
        left, right = self._codes(e, last=False), self._codes(e, last=True)
        best = torch.full((n, count), -torch.inf, dtype=self.dtype, device=e.device)
        names = torch.zeros(n, count, dtype=torch.long, device=e.device)
        for top in range(0, n, SIDE):
            for start in range(top, n, SIDE):  # a distance is found once for both of its rows
                rows, columns = slice(top, top + SIDE), slice(start, start + SIDE)
                product = left[rows] @ right[columns].T
                if top == start:
                    product.fill_diagonal_(-torch.inf)
                else:
                    _merge(best[columns], names[columns], product.T.contiguous(), top)
                _merge(best[rows], names[rows], product, start)
        for rows in row_blocks(n, count * e.shape[1]):
            reach[rows] = self._kth(e, rows, best[rows].double(), names[rows], k)
        return reach

    def _kth(self, e: Tensor, rows: slice, best: Tensor, names: Tensor, k: int) -> Tensor:
        """The k-th smallest of the distances to the candidates, or to all others where the candidates are not certain."""
        i = torch.arange(len(names), device=e.device).repeat_interleave(names.shape[1])
        exact = self.squared(e[rows], e, i, names.flatten()).view(names.shape)
        kth = exact.kthvalue(k, dim=1).values
        if names.shape[1] < len(e) - 1:
            # what is no candidate is at least as far as the furthest candidate seemed
            unsure = (kth > -2 * (best.amin(dim=1) + self.slack)).nonzero().squeeze(1)
            for part in row_blocks(len(unsure), len(e)):
                own = unsure[part]
                apart = squared_distances(e[rows][own], e, self.origin)
                apart[torch.arange(len(own)), own + rows.start] = torch.inf
                kth[own] = apart.kthvalue(k, dim=1).values
        return kth


def _merge(best: Tensor, names: Tensor, product: Tensor, start: int) -> None:
    """Enter the highest products of some rows, with the names of their columns from ``start`` on, among the best."""
    values, places = product.topk(min(best.shape[1], product.shape[1]), dim=1)
    values, places = torch.cat([best, values], dim=1), torch.cat([names, places + start], dim=1)
    values, order = values.topk(best.shape[1], dim=1)
    best.copy_(values)
    names.copy_(places.gather(1, order))
