"""Products in low precision that are certain to miss nothing: which references may still be among the neighbours.

For a query q and references r of mean c, ``q.r = q.c + q.(r - c)``. Both factors of the last product are rounded to a low
precision, of which the product is exact or nearly so; by Cauchy-Schwarz it is wrong by at most
``|q - q'| max|r - c| + |q'| max|(r - c) - (r - c)'|``. All four lengths are measured. What lies below the k-th best cosine
by more than that cannot be a neighbour; the rest is for the caller to compute exactly. The filter is that of the VA-file
(Weber, Schek, Blott 1998), on matrix units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from synthgap.metrics._blocks import TIE, unit
from synthgap.metrics._pairs import pair_products

Path = Literal["int8", "bfloat16", "float32"]
"""The precision of the products: int8 on a CPU with instructions for it, bfloat16 on a GPU, float32 elsewhere."""

GROUP = 32
"""Scores of which only the highest is compared first."""

CHUNK = 512
"""References rounded at once: they stay in the cache from one step to the next."""

GPU_CHUNK = 65536
"""The same on a GPU, where a step is to be large."""

SAMPLE = 1024
"""Vectors by which the columns are weighted."""

LEVELS = 127
"""Of an int8; -128 is left out, so that the sign of a product never matters."""

MOST_DIMENSIONS = 2**31 // LEVELS**2
"""Int32 sums of longer vectors could overflow."""

EPS = 2.0**-24


def slack(d: int) -> float:
    """Bound on what float32 rounding adds to the cosine of two unit vectors, whatever the order of summation.

    Two vectors made unit err by ``(d + 10) EPS`` together, the sum of d products by ``d EPS`` (twice that where a tensor
    core truncates), the measured lengths by ``d EPS`` of an error below 1; the rest is for the elementwise steps.
    """
    return (4 * d + 64) * EPS


def choose_path(device: torch.device, d: int) -> Path:
    """The fastest precision that this device multiplies as the bound needs it."""
    if device.type == "cpu" and d <= MOST_DIMENSIONS and int8_is_exact():
        return "int8"
    return "bfloat16" if device.type == "cuda" and _keeps_float32(device) else "float32"


@cache
def int8_is_exact() -> bool:
    """Whether this CPU has int8 instructions and torch's product, of a private name, is right at the extremes."""
    names = ("_is_vnni_supported", "_is_amx_tile_supported")
    if not any(getattr(torch.cpu, name, bool)() for name in names):
        return False
    signs = torch.tensor([LEVELS, -LEVELS], dtype=torch.int8)
    left = signs.repeat_interleave(4)[:, None].repeat(5, 257)
    left[::3, ::2] = 1
    right = signs.repeat(32)[:, None].repeat(1, 257)
    right[::5, 1::3] = -LEVELS
    try:
        found = code_products(left, right)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return found.dtype == torch.int32 and torch.equal(found.double(), left.double() @ right.double().T)


@cache
def _keeps_float32(device: torch.device) -> bool:
    ones = torch.ones(16, 256, dtype=torch.bfloat16, device=device)
    ones[:, 0] = 2.0**-4  # bfloat16 could not hold the sum
    try:
        found = code_products(ones, ones)
    except (TypeError, RuntimeError, NotImplementedError):
        return False
    return found.dtype == torch.float32 and bool((found == 255 + 2.0**-8).all())


@dataclass(frozen=True)
class Codes:
    """Vectors rounded to a low precision: ``step * values``, with bounds on their lengths and errors in float64."""

    values: Tensor
    step: Tensor
    length: Tensor
    error: Tensor


@dataclass(frozen=True)
class Queries:
    """A part of the queries, with all that is asked of it for every block of references."""

    raw: Tensor
    unit: Tensor
    codes: Codes


@dataclass(frozen=True)
class References:
    """A block of references: their row numbers, and a multiple of `GROUP` of codes around their mean."""

    rows: Tensor
    raw: Tensor
    unit: Tensor
    mean: Tensor
    codes: Codes


class Screen:
    """Rounds queries once and references block by block; tells which pairs of them may matter."""

    def __init__(self, path: Path, query: Tensor, first: Tensor) -> None:
        self.path, self.slack = path, slack(query.shape[1])
        # a lowered matmul precision (TF32, bfloat16) would break the bound on rounding
        whole = torch.float32 if torch.get_float32_matmul_precision() == "highest" else torch.float64
        self.dtype = {"int8": torch.int8, "bfloat16": torch.bfloat16, "float32": whole}[path]
        self.chunk = CHUNK if query.device.type == "cpu" else GPU_CHUNK
        self.weights = _weights(query, first) if path == "int8" else None
        self._rooms: dict[str, Tensor] = {}

    def queries(self, raw: Tensor) -> Queries:
        """Round a part of the queries, each with a step of its own."""
        vectors = scaled(raw, torch.float32)
        weighted = vectors if self.weights is None else vectors * self.weights
        steps = self._step(weighted.abs().amax(dim=1, keepdim=True))
        values = torch.empty(weighted.shape, dtype=self.dtype, device=raw.device)
        return Queries(
            raw, vectors, Codes(values, steps.squeeze(1).double(), *write_codes(weighted, steps, values, self.chunk))
        )

    def references(self, rows: Tensor, raw: Tensor) -> References:
        """Round a block of references around their mean, all with one step; good until the next block is."""
        n, d = raw.shape
        vectors = self._room("vectors", n, d, torch.float32, raw.device)
        mean = torch.zeros(d, dtype=torch.float32, device=raw.device)
        for part, into in zip(raw.split(self.chunk), vectors[:n].split(self.chunk), strict=True):
            into.copy_(scaled(part, torch.float32))
            mean += into.sum(dim=0)
        if self.path == "float32":
            mean, centred = torch.zeros_like(mean), vectors
        else:
            mean, centred = mean / n, self._room("centred", n, d, torch.float32, raw.device)
        peak = mean.new_zeros(())
        for part, into in zip(vectors[:n].split(self.chunk), centred[:n].split(self.chunk), strict=True):
            if centred is not vectors:
                torch.sub(part, mean, out=into)
            if self.weights is not None:
                into.div_(self.weights)
                peak = torch.maximum(peak, into.abs().amax())
        values, step = self._room("values", n, d, self.dtype, raw.device), self._step(peak)
        lengths, errors = write_codes(centred, step, values, self.chunk)
        return References(rows, raw, vectors[:n], mean.double(), Codes(values, step.double(), lengths, errors))

    def bound(self, query: Queries, reference: References) -> Tensor:
        """By how much ``query . mean + steps * product of codes`` may differ from the cosine, (b,) for a block."""
        coded = query.codes.length + query.codes.error
        return query.codes.error * reference.codes.length.amax() + coded * reference.codes.error.amax() + self.slack

    def survivors(self, query: Queries, reference: References, floor: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs that may have a cosine of at least the floor of their query, ordered by query and reference.

        Args:
            query: b queries.
            reference: n references.
            floor: Lower bound (b,) on the k-th best cosine, -inf where none is known; it is raised here if the block
                holds k references.
            k: Number of neighbours.

        Returns:
            Number of the query and of the reference in each pair, and the floor.
        """
        n = len(reference.rows)
        scores = code_products(query.codes.values, reference.codes.values)
        bound = self.bound(query, reference)
        offset = query.unit.double() @ reference.mean
        step = query.codes.step * reference.codes.step
        scores[:, n:] = _least(scores.dtype)
        peaks = group_peaks(scores)
        if n >= k and bool((floor == -torch.inf).any()):
            floor = torch.maximum(floor, self._kth_at_least(query, reference, scores, peaks, k))
        owner, column = reaching(scores, peaks, _as(scores.dtype, (floor - bound - offset) / step))
        real = column < n
        return owner[real], column[real], floor

    def _kth_at_least(self, query: Queries, reference: References, scores: Tensor, peaks: Tensor, k: int) -> Tensor:
        """The least of k good cosines of each query: those of its k highest scores, which lie in its k highest groups."""
        groups = peaks.topk(min(k, peaks.shape[1]), dim=1).indices
        inside = scores.view(len(scores), -1, GROUP).gather(1, groups.unsqueeze(2).expand(-1, -1, GROUP)).flatten(1)
        place = inside.topk(k, dim=1).indices
        column = groups.gather(1, place // GROUP) * GROUP + place % GROUP
        owner = torch.arange(len(column), device=column.device).repeat_interleave(k)
        cosines = self.cosines(query, reference, owner, column.flatten())
        return cosines.view(-1, k).amin(dim=1) - self.slack - TIE

    def cosines(self, query: Queries, reference: References, owner: Tensor, column: Tensor) -> Tensor:
        """Cosines of pairs by float32, as float64; they err by at most `slack`."""
        return pair_products(query.unit, reference.unit, owner, column).double()

    def _step(self, peak: Tensor) -> Tensor:
        """What one level stands for where the largest entry is ``peak``; float types need none."""
        if self.path != "int8":
            return torch.ones_like(peak)
        return (peak / LEVELS).clamp_min(torch.finfo(torch.float32).tiny)

    def _room(self, name: str, rows: int, d: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The same memory for every block, whole groups of rows; those beyond ``rows`` are zero."""
        padded = -(-rows // GROUP) * GROUP
        if name not in self._rooms or len(self._rooms[name]) < padded:
            self._rooms[name] = torch.empty(padded, d, dtype=dtype, device=device)
        room = self._rooms[name][:padded]
        room[rows:] = 0
        return room


def write_codes(vectors: Tensor, step: Tensor, into: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Round rows (n, d), with one step or one each (n, 1), into ``into``; returns bounds on their lengths and errors."""
    whole = 1 + (vectors.shape[1] + 8) * EPS
    lengths, errors = (torch.zeros(len(vectors), dtype=torch.float64, device=vectors.device) for _ in range(2))
    for start in range(0, len(vectors), chunk):
        rows = slice(start, start + chunk)
        part = vectors[rows]
        own = step[rows] if step.ndim else step
        lengths[rows] = torch.linalg.vector_norm(part, dim=1)
        if into.dtype == torch.int8:
            levels = (part / own).round_()
            into[rows] = levels
            errors[rows] = torch.linalg.vector_norm(levels.mul_(own).sub_(part), dim=1)
        else:
            into[rows] = part
            errors[rows] = torch.linalg.vector_norm(into[rows] - part, dim=1)
    return lengths * whole, errors * whole


def group_peaks(scores: Tensor) -> Tensor:
    """Highest score of each `GROUP` of neighbouring columns, (r, groups)."""
    return scores.view(len(scores), -1, GROUP).amax(dim=2)


def reaching(scores: Tensor, peaks: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column, ordered so, of the scores (r, c) of at least the ``least`` (r,) of their row."""
    row, group = (peaks >= least.unsqueeze(1)).nonzero().T
    inside = scores.view(-1, GROUP).index_select(0, row * peaks.shape[1] + group)
    hit, place = (inside >= least[row].unsqueeze(1)).nonzero().T
    return row[hit], group[hit] * GROUP + place


def scaled(e: Tensor, dtype: torch.dtype) -> Tensor:
    """`unit`, faster where squares neither over- nor underflow; errs by as little."""
    vectors = e.to(dtype)
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    far = 1e12 if dtype == torch.float32 else 1e100
    return vectors / lengths if bool(((lengths > 1 / far) & (lengths < far)).all()) else unit(e, dtype)


def _weights(query: Tensor, first: Tensor) -> Tensor:
    """Weight of each column of the queries, whose inverse is that of the references: no product changes.

    A column in which the queries are large and the references hardly differ would make the queries' steps coarse for
    nothing; with these weights the columns of both vary alike. They are chosen by the first block, and only for speed.
    """
    spread = scaled(first[:SAMPLE], torch.float32).std(dim=0, correction=0)
    size = scaled(query[:SAMPLE], torch.float32).square().mean(dim=0).sqrt()
    least = 1e-2
    spread, size = (column.clamp_min(least * column.mean()).clamp_min(1e-6) for column in (spread, size))
    return (spread / size).sqrt()


def _as(dtype: torch.dtype, limit: Tensor) -> Tensor:
    """A limit in the type of the scores, never above itself by more than the slack has room for."""
    if dtype.is_floating_point:
        return limit.to(dtype)
    return limit.floor().clamp(_least(dtype), torch.iinfo(dtype).max).to(dtype)


def _least(dtype: torch.dtype) -> float:
    return -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min


def code_products(query: Tensor, reference: Tensor) -> Tensor:
    """Products of codes (b, d) and (n, d), (b, n): int32 of int8, float32 of bfloat16, else the type of both."""
    if query.dtype == torch.int8:
        return torch._int_mm(query, reference.T)
    if query.dtype == torch.bfloat16:
        if query.device.type == "cuda":
            return torch.mm(query, reference.T, out_dtype=torch.float32)
        return query.float() @ reference.float().T
    return query @ reference.T
