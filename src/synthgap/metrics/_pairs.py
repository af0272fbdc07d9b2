"""Products of chosen pairs of rows, a small share of all."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

CHUNK = 65536
"""Pairs whose rows are copied side by side at once, where no product does without."""


def pair_products(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """``x[i] . y[j]`` for rows (n, d) and (m, d) of one type and pairs (p,) ordered by ``i``: (p,), of the type of ``x``.

    On a CPU without a copy of the rows, which takes fifteen times as long as the products.
    """
    if x.device.type == "cpu" and len(i):
        _announce()
        starts = torch.zeros(len(x) + 1, dtype=torch.long)
        torch.cumsum(torch.bincount(i, minlength=len(x)), dim=0, out=starts[1:])
        wanted = torch.sparse_csr_tensor(starts, j, x.new_zeros(len(i)), size=(len(x), len(y)), check_invariants=False)
        found: Tensor = torch.sparse.sampled_addmm(wanted, x, y.T, beta=0.0).values()
        return found
    parts = zip(i.split(CHUNK), j.split(CHUNK), strict=True)
    return torch.cat([x.new_empty(0), *(torch.linalg.vecdot(x[own], y[near]) for own, near in parts)])


@cache
def _announce() -> None:
    """Let torch say, once and unheard, that its sparse matrices are young."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.long), torch.zeros(0), size=(1, 1))
