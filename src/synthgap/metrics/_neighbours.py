"""The k references of the highest cosine to each query, exactly, in one pass and bounded memory.

Blocks of references are screened in low precision (`_screening`); float32 and then float64 cosines of the pairs that
remain decide. A query keeps its k best references so far, and those that tie with the k-th: what a later block must beat.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from synthgap.metrics._blocks import TIE, row_blocks, unit
from synthgap.metrics._screening import Path, Queries, References, Screen, choose_path, scaled

BLOCK = (256, 8192)
"""Queries and references compared at once on a CPU: 8 MiB of scores, which stay in the cache."""

GPU_BLOCK = (4096, 131072)
"""The same on a GPU: 2 GiB."""

SPARE = 16
"""References kept beyond k, for ties with the k-th."""

PIECE = 64
"""New references of a query that are merged at once."""

FEW = 262_144
"""Pairs up to which all cosines are computed in float64, unless a path is asked for."""

DENSE = 32
"""Where more than one pair in this many remains, all products in float64 are faster than the pairs one by one."""


def nearest(
    reference: Tensor | Iterable[Tensor],
    query: Tensor,
    k: int,
    block: tuple[int, int] | None = None,
    path: Path | None = None,
) -> Tensor:
    """Rows of the k nearest references, (m, k) int64, nearest first; of equal cosine (`TIE`) the lower row first.

    Of the references below the k-th cosine, those within `TIE` of it are equal to it. References may come in blocks of
    any size, each used once. The neighbours are the same for every block and path.
    """
    if isinstance(reference, Tensor) and path is None and len(reference) * len(query) <= FEW:
        return _among_few(reference, query, k)
    search = Search(query, k, block, path)
    for part in (reference,) if isinstance(reference, Tensor) else reference:
        search.add(part)
    return search.found()


def _among_few(reference: Tensor, query: Tensor, k: int) -> Tensor:
    """`nearest` by all float64 cosines at once: what they cost, screening would too."""
    cosines = unit(query) @ unit(reference.to(query.device)).T
    kth = cosines.topk(k, dim=1).values[:, -1:]
    cosines = cosines.masked_fill(cosines < kth - TIE, -torch.inf)
    rows = torch.arange(len(reference), device=query.device).expand_as(cosines)
    return _ordered(cosines, rows)[:, :k]


class Search:
    """Queries that meet references block by block; ``pairs`` counts the products that screening left to be computed anew."""

    def __init__(self, query: Tensor, k: int, block: tuple[int, int] | None = None, path: Path | None = None) -> None:
        self.query, self.k = query, k
        self.block = block or (GPU_BLOCK if query.device.type == "cuda" else BLOCK)
        self.path: Path = path or choose_path(query.device, query.shape[1])
        self.seen = self.pairs = 0
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._screen: Screen | None = None
        self._queries: list[Queries] = []
        self._lists = [Shortlist(len(part), k, query.device) for part in query.split(self.block[0]) if len(query)]

    def add(self, reference: Tensor) -> None:
        """Compare more references, whose rows follow those before; a few may wait for the next to fill a block."""
        if len(reference) == 0:
            return
        kept = without_spare_copies(reference, self.k)
        self._waiting.append((kept + self.seen, reference[kept] if len(kept) < len(reference) else reference))
        self.seen += len(reference)
        self._compare(self.block[1])

    def found(self) -> Tensor:
        """The neighbours among all references so far, at least k of them."""
        self._compare(1)
        if not self._lists:
            return torch.empty(0, self.k, dtype=torch.long, device=self.query.device)
        return torch.cat([_ordered(part.cosines, part.rows)[:, : self.k] for part in self._lists])

    def _compare(self, least: int) -> None:
        if sum(len(rows) for rows, _ in self._waiting) < least:
            return
        rows, reference = (
            parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*self._waiting, strict=True)
        )
        whole = len(rows) - len(rows) % least
        self._waiting = [(rows[whole:].clone(), reference[whole:].clone())] if whole < len(rows) else []
        for start in range(0, whole, self.block[1]):
            part = slice(start, min(start + self.block[1], whole))
            self._meet(rows[part].to(self.query.device), reference[part].to(self.query.device))

    def _meet(self, rows: Tensor, raw: Tensor) -> None:
        if not self._lists:
            return
        if self._screen is None:
            self._screen = Screen(self.path, self.query, raw)
            self._queries = [self._screen.queries(part) for part in self.query.split(self.block[0])]
        references = self._screen.references(rows, raw)
        for queries, shortlist in zip(self._queries, self._lists, strict=True):
            self.pairs += _meet(self._screen, queries, references, shortlist)


def _meet(screen: Screen, queries: Queries, references: References, shortlist: Shortlist) -> int:
    """Enter into the shortlist whatever of a block belongs there; returns how many pairs that took."""
    owner, column, floor = screen.survivors(queries, references, shortlist.kth - TIE, shortlist.k)
    if len(owner) * DENSE > len(queries.raw) * len(references.rows):
        for part in row_blocks(len(queries.raw), max(references.raw.shape)):
            cosines = unit(queries.raw[part]) @ unit(references.raw).T
            owner, column = (cosines >= floor[part].unsqueeze(1)).nonzero().T
            shortlist.add(owner + part.start, references.rows[column], cosines[owner, column])
        return len(queries.raw) * len(references.rows)
    pairs = len(owner)
    near = screen.cosines(queries, references, owner, column) >= floor[owner] - screen.slack
    owner, column = owner[near], column[near]
    shortlist.add(owner, references.rows[column], _exact(queries.raw, references.raw, owner, column))
    return pairs


def _exact(query: Tensor, reference: Tensor, owner: Tensor, column: Tensor) -> Tensor:
    """Float64 cosines of pairs."""
    cosines = torch.empty(len(owner), dtype=torch.float64, device=query.device)
    directions = scaled(query, torch.float64)
    for pairs in row_blocks(len(owner), query.shape[1]):
        near = scaled(reference.index_select(0, column[pairs]), torch.float64)
        cosines[pairs] = torch.linalg.vecdot(near, directions.index_select(0, owner[pairs]))
    return cosines


class Shortlist:
    """The best references of some queries so far: all that are within `TIE` of the k-th or above it.

    A reference that k others of lower rows equal or beat does not enter: they go before it whatever comes, and below the
    k-th cosine all are one run of ties with it or without. So ties without end take little room.
    """

    def __init__(self, queries: int, k: int, device: torch.device) -> None:
        self.k = k
        self.kth = torch.full((queries,), -torch.inf, dtype=torch.float64, device=device)
        self.cosines = torch.full((queries, k + SPARE), -torch.inf, dtype=torch.float64, device=device)
        self.rows = torch.zeros(queries, k + SPARE, dtype=torch.long, device=device)

    def add(self, owner: Tensor, rows: Tensor, cosines: Tensor) -> None:
        """Enter references by number of query, ordered by it and then by row; rows follow those before."""
        while len(owner):
            better = cosines > self.kth[owner]
            owner, rows, cosines = owner[better], rows[better], cosines[better]
            counts = torch.bincount(owner, minlength=len(self.kth))
            place = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
            now = place < PIECE
            who = (counts > 0).nonzero().squeeze(1)
            if len(who):
                slot = torch.zeros_like(counts).index_put((who,), torch.arange(len(who), device=who.device))
                shape = (len(who), min(PIECE, int(counts.max())))
                fresh = torch.full(shape, -torch.inf, dtype=torch.float64, device=owner.device)
                fresh[slot[owner[now]], place[now]] = cosines[now]
                numbers = torch.zeros(shape, dtype=torch.long, device=owner.device)
                numbers[slot[owner[now]], place[now]] = rows[now]
                self._merge(who, fresh, numbers)
            owner, rows, cosines = owner[~now], rows[~now], cosines[~now]

    def _merge(self, who: Tensor, fresh: Tensor, numbers: Tensor) -> None:
        cosines, order = torch.cat([self.cosines[who], fresh], dim=1).sort(dim=1, descending=True)
        rows = torch.cat([self.rows[who], numbers], dim=1).gather(1, order)
        kth = cosines[:, self.k - 1]
        cosines = cosines.masked_fill(cosines < kth.unsqueeze(1) - TIE, -torch.inf)
        more = int((cosines > -torch.inf).sum(dim=1).max()) - self.cosines.shape[1]
        if more > 0:
            self.cosines = torch.nn.functional.pad(self.cosines, (0, more), value=-torch.inf)
            self.rows = torch.nn.functional.pad(self.rows, (0, more))
        width = self.cosines.shape[1]
        self.kth[who], self.cosines[who], self.rows[who] = kth, cosines[:, :width], rows[:, :width]


def _ordered(cosines: Tensor, found: Tensor) -> Tensor:
    """Candidates by falling cosine; a run of cosines each within `TIE` of the one before goes by row."""
    cosines, order = cosines.sort(dim=1, descending=True)
    found = found.gather(1, order)
    run = torch.zeros_like(found)
    run[:, 1:] = (cosines[:, :-1] - cosines[:, 1:] > TIE).cumsum(dim=1)
    found, order = found.sort(dim=1)
    return found.gather(1, run.gather(1, order).argsort(dim=1, stable=True))


def without_spare_copies(reference: Tensor, copies: int) -> Tensor:
    """Rows of the references without those that have ``copies`` identical rows before them, ascending.

    They can never be among that many neighbours, since the lower row goes first. A prompt that stands for a thousand
    images is then compared a few times instead of a thousand.
    """
    n, d = reference.shape
    everything = torch.arange(n, device=reference.device)
    # rows that differ in a few columns need no closer look
    few = reference[:, :: max(1, d // 8)].contiguous()
    suspects = _repeated(_hashes(few), copies)
    if len(suspects) == 0:
        return everything
    hashes = _hashes(reference[suspects])
    order = hashes.argsort(stable=True)
    place = torch.arange(len(order), device=order.device)
    new = torch.ones_like(place, dtype=torch.bool)
    new[1:] = hashes[order[1:]] != hashes[order[:-1]]
    first = torch.where(new, place, 0).cummax(dim=0).values
    spare = place - first >= copies
    again, origin = suspects[order[~new]], suspects[order[first[~new]]]
    identical = all(torch.equal(reference[again[rows]], reference[origin[rows]]) for rows in row_blocks(len(again), d))
    if not identical:  # two different rows of one hash: keep everything
        return everything
    kept = torch.ones_like(everything, dtype=torch.bool)
    kept[suspects[order[spare]]] = False
    return everything[kept]


def _repeated(hashes: Tensor, copies: int) -> Tensor:
    """Rows whose hash more than that many rows have, ascending."""
    _, kind, counts = hashes.unique(return_inverse=True, return_counts=True)
    often: Tensor = counts[kind] > copies
    return often.nonzero().squeeze(1)


def _hashes(rows: Tensor) -> Tensor:
    bits = rows.view(torch.int64 if rows.dtype == torch.float64 else torch.int32)
    mixers = torch.randint(-(2**62), 2**62, bits.shape[1:], generator=torch.Generator().manual_seed(0)).to(bits.device)
    return torch.cat([(bits[part] * mixers).sum(dim=1) for part in row_blocks(len(bits), bits.shape[1])])
