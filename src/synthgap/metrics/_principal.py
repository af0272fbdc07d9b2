"""The directions in which features vary most."""

from __future__ import annotations

import torch
from torch import Tensor

PASSES = 3
SPARE = 8
"""Directions carried along, so that the last ones wanted are found as well."""


def principal(x: Tensor, shares: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Directions (d, k) of greatest variance of centred rows (n, d), orthonormal, and their variances (k,), falling.

    Subspace iteration (Halko, Martinsson and Tropp, arXiv:0909.4061, algorithm 4.4): good enough to precondition, at
    the price of a few products with ``k`` columns. It starts from a generator of its own, so that it does not vary.
    """
    width = min(most + SPARE, *x.shape)
    start = torch.randn(x.shape[1], width, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    basis = start.to(x.device)
    for _ in range(PASSES):
        basis = torch.linalg.qr(x.T @ (x @ torch.linalg.qr(basis).Q * shares.unsqueeze(1))).Q
    inside = x @ basis
    variances, turn = torch.linalg.eigh(inside.T @ (inside * shares.unsqueeze(1)))
    return basis @ turn.flip(1)[:, :most], variances.flip(0)[:most].clamp_min(0)
