"""The k references of the highest cosine to each query, exactly, in bounded memory.

Float32 products in blocks keep the best ``k + SPARE`` candidates of each query. Their cosines are computed anew in
float64. A reference that was not kept has a float32 score of at most the worst kept one, and float32 errs by at most
``(2 d + 16) * 2**-24`` for unit vectors, their scaling included, whatever the order of summation; if the k-th best exact cosine lies above that, the
candidates are certain to hold all neighbours. The few queries of which this is not certain are searched in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap.metrics._blocks import TIE, row_blocks, unit

BLOCK = (256, 8192)
"""Queries and references compared at once: 8 MiB of float32 scores, which stay in the cache."""

SPARE = 16
"""Candidates kept beyond k, so that queries in need of a second search are rare."""


def nearest(reference: Tensor, query: Tensor, k: int, block: tuple[int, int] = BLOCK) -> Tensor:
    """Rows of the k nearest references, (m, k) int64, nearest first; of equal cosine (`TIE`) the lower row first."""
    kept = _without_spare_copies(reference, k)
    reference = reference[kept] if len(kept) < len(reference) else reference
    scores, found = _candidates(reference, query, min(k + SPARE, len(reference)), block)
    cosines = _exact(reference, query, found)
    best = _ordered(cosines, found)[:, :k]
    if found.shape[1] < len(reference):
        rounding = (2 * reference.shape[1] + 16) * 2.0**-24
        kth = cosines.topk(k, dim=1).values[:, -1]
        unsure = (kth <= scores.amin(dim=1).double() + rounding + TIE).nonzero().squeeze(1)
        best[unsure] = _search_again(reference, query[unsure], k)
    return kept[best]


def _candidates(reference: Tensor, query: Tensor, count: int, block: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Scores and rows of the best references by float32 products, (m, count) each, in no particular order."""
    # a lowered matmul precision (TF32, bfloat16) would break the bound on rounding
    dtype = torch.float32 if torch.get_float32_matmul_precision() == "highest" else torch.float64
    queries = [unit(part, dtype) for part in query.split(block[0])] if len(query) else []
    scores = [part.new_empty(len(part), 0) for part in queries]
    found = [torch.empty(len(part), 0, dtype=torch.long, device=query.device) for part in queries]
    for start in range(0, len(reference), block[1]):
        columns = unit(reference[start : start + block[1]].to(query.device), dtype).T
        for i, part in enumerate(queries):
            values, rows = (part @ columns).topk(min(count, columns.shape[1]), dim=1)
            values, rows = torch.cat([scores[i], values], dim=1), torch.cat([found[i], rows + start], dim=1)
            scores[i], chosen = values.topk(min(count, values.shape[1]), dim=1)
            found[i] = rows.gather(1, chosen)
    if not queries:
        return query.new_empty(0, count), torch.empty(0, count, dtype=torch.long, device=query.device)
    return torch.cat(scores), torch.cat(found)


def _exact(reference: Tensor, query: Tensor, found: Tensor) -> Tensor:
    """Float64 cosines of each query to its candidates, (m, count)."""
    cosines = torch.empty(found.shape, dtype=torch.float64, device=query.device)
    for rows in row_blocks(len(query), found.shape[1] * query.shape[1]):
        near = unit(reference[found[rows].to(reference.device)].to(query.device))
        cosines[rows] = (near * unit(query[rows]).unsqueeze(1)).sum(dim=2)
    return cosines


def _ordered(cosines: Tensor, found: Tensor) -> Tensor:
    """Candidates by falling cosine; a run of cosines each within `TIE` of the one before goes by row."""
    cosines, order = cosines.sort(dim=1, descending=True)
    found = found.gather(1, order)
    run = torch.zeros_like(found)
    run[:, 1:] = (cosines[:, :-1] - cosines[:, 1:] > TIE).cumsum(dim=1)
    found, order = found.sort(dim=1)
    return found.gather(1, run.gather(1, order).argsort(dim=1, stable=True))


def _search_again(reference: Tensor, query: Tensor, k: int) -> Tensor:
    """Search all references in float64, a few queries at a time."""
    found = torch.empty(len(query), k, dtype=torch.long, device=query.device)
    for rows in row_blocks(len(query), len(reference)):
        few = unit(query[rows])
        parts = row_blocks(len(reference), reference.shape[1])
        cosines = torch.cat([few @ unit(reference[part].to(query.device)).T for part in parts], dim=1)
        least = cosines.topk(k, dim=1).values[:, -1] - TIE
        for row, (values, limit) in enumerate(zip(cosines, least, strict=True), start=rows.start):
            near = (values >= limit).nonzero().T
            found[row] = _ordered(values[near], near)[0, :k]
    return found


def _without_spare_copies(reference: Tensor, copies: int) -> Tensor:
    """Rows of the references without those that have ``copies`` identical rows before them, ascending.

    They can never be among that many neighbours, since the lower row goes first. A prompt that stands for a thousand
    images is then compared a few times instead of a thousand.
    """
    bits = reference.view(torch.int64 if reference.dtype == torch.float64 else torch.int32)
    mixers = torch.randint(-(2**62), 2**62, bits.shape[1:], generator=torch.Generator().manual_seed(0)).to(bits.device)
    hashes = torch.cat([(bits[rows] * mixers).sum(dim=1) for rows in row_blocks(len(bits), bits.shape[1])])
    order = hashes.argsort(stable=True)
    place = torch.arange(len(order), device=order.device)
    new = torch.ones_like(place, dtype=torch.bool)
    new[1:] = hashes[order[1:]] != hashes[order[:-1]]
    first = torch.where(new, place, 0).cummax(dim=0).values
    spare = place - first >= copies
    again, origin = order[~new], order[first[~new]]
    identical = all(
        torch.equal(reference[again[rows]], reference[origin[rows]])
        for rows in row_blocks(len(again), reference.shape[1])
    )
    if not spare.any() or not identical:  # two different rows of one hash: keep everything
        return place
    return order[~spare].sort().values
