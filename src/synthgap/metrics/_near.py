"""Which pairs of vectors are near each other: rounded products find them, float64 distances decide.

``-|x - y|^2 / 2 = x . y - |x|^2 / 2 - |y|^2 / 2``. The products of a tile are first those of int8 codes, wrong by at most
``|x - x'| |y| + |x'| |y - y'|``; all four lengths are measured. The pairs that may lie within their limit are few: float32
products leave fewer, and float64 distances decide. Where they are not few, float32 products of the whole tile come
first, then float64 ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from synthgap.metrics._blocks import TIE, row_blocks
from synthgap.metrics._euclidean import middle, squared_distances
from synthgap.metrics._pairs import pair_products
from synthgap.metrics._screening import (
    CHUNK,
    EPS,
    GROUP,
    LEVELS,
    Codes,
    choose_path,
    code_products,
    group_peaks,
    reaching,
    write_codes,
)

TILE = (256, 4096)
"""Rows and columns of a tile, multiples of `GROUP`: 4 MiB of scores, which stay in the cache."""

FEW = 65_536
"""Pairs of two sets up to which all distances are computed in float64."""

DENSE = 16
"""Where more than one pair in this many may be near, a whole tile in higher precision is faster than pair by pair."""

Step = Literal["int8", "float"]
Pairs = tuple[Tensor, Tensor]
"""Row numbers in the first and in the second set."""


@dataclass(frozen=True)
class Cloud:
    """A set in a `Space`; all but ``raw`` is filled up to whole groups of rows, which are endlessly far from all.

    Attributes:
        raw: Rows (n, d) as given.
        rows: Rows around the origin of the space, in its type.
        half: ``-|x|^2 / 2`` of each row, float64; -inf for those filled up.
        codes: Rows in int8, a step for each; None in a space without.
    """

    raw: Tensor
    rows: Tensor
    half: Tensor
    codes: Codes | None


class Space:
    """Vectors around the mean of one or two sets."""

    def __init__(self, *sets: Tensor) -> None:
        self.origin, d = middle(*sets), sets[0].shape[1]
        largest = 0.0
        for e in sets:
            for rows in row_blocks(len(e), d):
                largest = max(largest, float((e[rows].double() - self.origin).square().sum(dim=1).max()))
        self.rounding = TIE * largest
        """How far `squared_distances` may be off."""
        self.slack = (4 * d + 32) * EPS * largest
        """Bound on the error of a float32 product, for any order of summation: half the sum of all roundings, twice."""
        # a lowered matmul precision (TF32, bfloat16) would break the bound; lengths beyond float32 have no products in it
        plain = torch.get_float32_matmul_precision() == "highest" and 1e-30 < largest < 1e30
        self.dtype = torch.float32 if plain else torch.float64
        screened = plain and choose_path(self.origin.device, d) == "int8"
        self.steps: tuple[Step, ...] = ("int8", "float") if screened else ("float",)
        if max(len(e) for e in sets) ** 2 <= FEW:
            self.steps = ()

    def cloud(self, e: Tensor) -> Cloud:
        """One of the sets, rounded once for all that is asked of it."""
        n, d = e.shape
        padded = -(-n // GROUP) * GROUP if self.steps else 0
        rows = torch.zeros(padded, d, dtype=self.dtype, device=e.device)
        half = torch.full((padded,), -torch.inf, dtype=torch.float64, device=e.device)
        for block in row_blocks(min(n, padded), d):
            x = e[block].double() - self.origin
            rows[block], half[block] = x, x.square().sum(dim=1) / -2
        return Cloud(e, rows, half, _codes(rows) if "int8" in self.steps else None)

    def within(self, x: Cloud, y: Cloud, limit_x: Tensor, limit_y: Tensor) -> Iterator[tuple[Pairs, Pairs]]:
        """Pairs that are near: within the limit of their row in x, and within that of their row in y, exactly.

        Args:
            x: n rows.
            y: m rows.
            limit_x: Squared distance up to which the rows in y are near a row in x, (n,) float64.
            limit_y: The same for the rows in y, (m,).

        Returns:
            The pairs of either kind, tile by tile.
        """
        for rows, columns in _tiles(len(x.raw), len(y.raw)):
            limits = limit_x[rows].unsqueeze(1), limit_y[columns].unsqueeze(0)
            first, second = self._within(x, y, rows, columns, limits)
            yield (first[0] + rows.start, first[1] + columns.start), (second[0] + rows.start, second[1] + columns.start)

    def _within(self, x: Cloud, y: Cloud, rows: slice, columns: slice, limits: tuple[Tensor, Tensor]) -> list[Pairs]:
        """The pairs of a tile by each of the limits (r, 1) and (1, c), counted from its corner."""
        found: dict[int, Pairs] = {}
        for step in self.steps:
            scores, errors = self._scores(x, y, rows, columns, step), _errors(x, y, rows, columns, step)
            for side in {0, 1} - found.keys():
                least = (limits[side] / -2 - self.slack).squeeze(1 - side) - errors[side]
                pairs = _above(scores, least, side)
                if pairs is not None:
                    found[side] = self._sure(x, y, rows, columns, pairs, limits[side])
            if len(found) == 2:
                return [found[0], found[1]]
        apart = squared_distances(x.raw[rows], y.raw[columns], self.origin)
        for side in {0, 1} - found.keys():
            i, j = (apart <= limits[side]).nonzero().T
            found[side] = i, j
        return [found[0], found[1]]

    def _sure(self, x: Cloud, y: Cloud, rows: slice, columns: slice, pairs: Pairs, limit: Tensor) -> Pairs:
        """Those of the pairs of a tile whose squared distance is at most the limit."""
        i, j = pairs
        least = limit.expand(rows.stop - rows.start, columns.stop - columns.start)[i, j]
        product = self._products(x, y, rows, (i, j + columns.start))
        near = product >= least / -2 + self.slack
        doubt = (~near & (product >= least / -2 - self.slack)).nonzero().squeeze(1)
        near[doubt] = self.squared(x.raw, y.raw, i[doubt] + rows.start, j[doubt] + columns.start) <= least[doubt]
        return i[near], j[near]

    def _scores(self, x: Cloud, y: Cloud, rows: slice, columns: slice, step: Step) -> Tensor:
        """``-|x - y|^2 / 2`` of a tile of whole groups, but for the rounding of the step and of float32."""
        rows, columns = _filled(rows), _filled(columns)
        left, right = x.half[rows].to(self.dtype).unsqueeze(1), y.half[columns].to(self.dtype)
        if step == "float" or x.codes is None or y.codes is None:
            return torch.addmm(right, x.rows[rows], y.rows[columns].T).add_(left)
        scores = code_products(x.codes.values[rows], y.codes.values[columns]).to(self.dtype)
        return scores.mul_(y.codes.step[columns]).mul_(x.codes.step[rows].unsqueeze(1)).add_(right).add_(left)

    def _products(self, x: Cloud, y: Cloud, rows: slice, pairs: Pairs) -> Tensor:
        """``-|x - y|^2 / 2`` of pairs ordered by row of x, counted from the first of ``rows``; errs by half of `slack`."""
        i, j = pairs
        return pair_products(x.rows[rows], y.rows, i, j).double() + x.half[rows][i] + y.half[j]

    def squared(self, x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Squared distances of pairs, in float64."""
        found = torch.empty(len(i), dtype=torch.float64, device=x.device)
        for pairs in row_blocks(len(i), x.shape[1]):
            found[pairs] = (x[i[pairs]].double() - y[j[pairs]].double()).square().sum(dim=1)
        return found

    def reach(self, x: Cloud, k: int) -> Tensor:
        """Squared distance of each row to its k-th nearest other row, (n,) float64; infinite where there are fewer."""
        n = len(x.raw)
        reach = torch.full((n,), torch.inf, dtype=torch.float64, device=x.raw.device)
        if n > k:
            for top in range(0, n, TILE[0]):
                rows = slice(top, min(top + TILE[0], n))
                reach[rows] = self._reach(x, rows, k)
        return reach

    def _reach(self, x: Cloud, rows: slice, k: int) -> Tensor:
        for step in self.steps:
            pairs = self._candidates(x, rows, k, step)
            if pairs is not None:
                return self._kth(x, rows, pairs, k)
        return self._kth_of_all(x, rows, k)

    def _candidates(self, x: Cloud, rows: slice, k: int, step: Step) -> Pairs | None:
        """Pairs among which are the k nearest others of some rows and all that tie with them; None where too many are.

        The k-th highest of the best scores of the groups is at most the k-th highest score: a floor without a sort.
        """
        n = len(x.raw)
        error = _errors(x, x, rows, slice(0, n), step)[0] + self.slack
        best = torch.empty(len(error), 0, dtype=self.dtype, device=error.device)
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        least = torch.full_like(error, -torch.inf)
        for start in range(0, n, TILE[1]):
            columns = slice(start, min(start + TILE[1], n))
            scores = self._scores(x, x, rows, columns, step)[: len(error)]
            own = torch.arange(n, device=best.device)[max(rows.start, start) : min(rows.stop, columns.stop)]
            scores[own - rows.start, own - start] = -torch.inf
            peaks = group_peaks(scores)
            best = torch.cat([best, peaks], dim=1)
            best = best.topk(min(k, best.shape[1]), dim=1).values
            if best.shape[1] == k:
                least = best[:, -1].double() - 2 * error
            found = _above_of_rows(scores, peaks, least)
            if found is None:
                return None
            kept.append((found[0], found[1] + start, scores[found]))
        i, j, score = (torch.cat(parts) for parts in zip(*kept, strict=True))
        last = score >= least.to(score.dtype)[i]
        order = i[last].argsort(stable=True)
        return i[last][order], j[last][order]

    def _kth(self, x: Cloud, rows: slice, pairs: Pairs, k: int) -> Tensor:
        """The k-th smallest squared distance of each row among its pairs; only what float32 cannot order is computed."""
        (i, j), n = pairs, rows.stop - rows.start
        product = self._products(x, x, rows, pairs)
        kth = _table(i, product, n, -torch.inf).topk(k, dim=1).values[:, -1]
        nearer = torch.bincount(i[product > kth[i] + 2 * self.slack], minlength=n)
        doubt = (product - kth[i]).abs() <= 2 * self.slack
        i, j = i[doubt], j[doubt]
        exact = _table(i, self.squared(x.raw[rows], x.raw, i, j), n, torch.inf).sort(dim=1).values
        return exact.gather(1, (k - nearer - 1).unsqueeze(1)).squeeze(1)

    def _kth_of_all(self, x: Cloud, rows: slice, k: int) -> Tensor:
        reach = torch.empty(rows.stop - rows.start, dtype=torch.float64, device=x.raw.device)
        for part in row_blocks(len(reach), len(x.raw)):
            own = torch.arange(part.start, part.stop, device=reach.device) + rows.start
            apart = squared_distances(x.raw[own], x.raw, self.origin)
            apart[own - own[0], own] = torch.inf
            reach[part] = apart.kthvalue(k, dim=1).values
        return reach


def _tiles(n: int, m: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, n, TILE[0]):
        for start in range(0, m, TILE[1]):
            yield slice(top, min(top + TILE[0], n)), slice(start, min(start + TILE[1], m))


def _filled(rows: slice) -> slice:
    """The rows with those that fill up their last group."""
    return slice(rows.start, -(-rows.stop // GROUP) * GROUP)


def _codes(rows: Tensor) -> Codes:
    peaks = torch.maximum(rows.amax(dim=1), -rows.amin(dim=1))
    step = (peaks / LEVELS).clamp_min(torch.finfo(torch.float32).tiny)
    values = torch.empty(rows.shape, dtype=torch.int8, device=rows.device)
    return Codes(values, step, *write_codes(rows, step.unsqueeze(1), values, CHUNK))


def _errors(x: Cloud, y: Cloud, rows: slice, columns: slice, step: Step) -> tuple[Tensor, Tensor]:
    """Bounds on the errors of the products of codes, for each row of a tile and for each column, float64."""
    if step == "float" or x.codes is None or y.codes is None:
        return x.half.new_zeros(rows.stop - rows.start), y.half.new_zeros(columns.stop - columns.start)
    (length, error), (long, wrong) = (
        (codes.length[part], codes.error[part]) for codes, part in ((x.codes, rows), (y.codes, columns))
    )
    return (
        error * long.amax() + (length + error) * wrong.amax(),
        wrong * length.amax() + (long + wrong) * error.amax(),
    )


def _above(scores: Tensor, least: Tensor, side: int) -> Pairs | None:
    """Row and column, ordered so, of the scores of at least the ``least`` of their row (side 0) or of their column (1).

    None where they are many. The best of each group is looked at first.
    """
    if side == 0:
        scores = scores[: len(least)]
        return _above_of_rows(scores, group_peaks(scores), least)
    bar = least.to(scores.dtype)
    grouped = scores[:, : len(bar)].unflatten(0, (-1, GROUP))
    peaks = grouped.amax(dim=1) >= bar
    if _many_groups(peaks):
        return None
    group, column = peaks.nonzero().T
    hit, place = (grouped.transpose(1, 2)[group, column] >= bar[column].unsqueeze(1)).nonzero().T
    if len(hit) * DENSE > scores.numel():
        return None
    pairs = ((group[hit] * GROUP + place) * len(bar) + column[hit]).sort().values
    return pairs // len(bar), pairs % len(bar)


def _above_of_rows(scores: Tensor, peaks: Tensor, least: Tensor) -> Pairs | None:
    """The same of each row, given the highest scores of its groups."""
    bar = least.to(scores.dtype)
    if _many_groups(peaks >= bar.unsqueeze(1)):
        return None
    pairs = reaching(scores, peaks, bar)
    return None if len(pairs[0]) * DENSE > scores.numel() else pairs


def _many_groups(reached: Tensor) -> bool:
    return 2 * int(reached.count_nonzero()) > reached.numel()


def _table(i: Tensor, values: Tensor, rows: int, fill: float) -> Tensor:
    """Values by their row, in order, as a matrix with ``fill`` behind the last of each row."""
    counts = torch.bincount(i, minlength=rows)
    table = values.new_full((rows, max(1, int(counts.max()))), fill)
    table[i, torch.arange(len(i), device=i.device) - (counts.cumsum(0) - counts)[i]] = values
    return table
