"""The spectrum that the cosines of a set and the second moments of its dimensions share."""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap.metrics._blocks import unit, unit_blocks


def unit_gram(e: Tensor) -> Tensor:
    """Products of the unit vectors: ``X X^T`` (n, n) for fewer rows than dimensions, else ``X^T X`` (d, d).

    Both have the same eigenvalues other than 0, and the smaller is the cheaper to decompose.
    """
    n, d = e.shape
    if n < d:
        x = unit(e)
        return x @ x.T
    gram = torch.zeros(d, d, dtype=torch.float64, device=e.device)
    for _, block in unit_blocks(e):
        gram.addmm_(block.T, block)
    return gram
