"""Sparsity: the share of dimensions that an embedding leaves unused (S App. B.1)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import unit_blocks

NEAR_ZERO = 1e-5
"""An entry of a unit vector below this is zero."""


def sparsity(e: Float[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    """Tell for each image the share of dimensions near zero: ``|uvec(e)_j| < 1e-5`` (arXiv:2212.08420 appendix B.1).

    The mean over all images is the set's sparsity ratio, `class_means` gives that of a class. It speaks of encoders
    whose last layer cuts off at zero (ReLU), such as the paper's ResNets; those of CLIP have hardly an entry that small.

    Args:
        e: Embeddings, any scale.

    Returns:
        A share in [0, 1) for each image.

    Raises:
        ValueError: Wrong shape, or rows that are zero or not finite.

    Example:
        >>> import torch
        >>> sparsity(torch.tensor([[4.0, 0.0, 3.0, 1e-9], [1.0, 1.0, 1.0, 1.0]]))
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    e = _checks.embeddings("e", e)
    shares = torch.empty(len(e), dtype=torch.float64, device=e.device)
    for rows, block in unit_blocks(e):
        shares[rows] = (block.abs() < NEAR_ZERO).double().mean(dim=1)
    return shares
