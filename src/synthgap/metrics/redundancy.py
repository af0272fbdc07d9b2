"""Feature redundancy: how much the dimensions of an embedding say the same (S App. B.1)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import unit, unit_blocks


def redundancy(e: Float[Tensor, "n d"]) -> float:
    """Average the absolute Pearson correlation of all pairs of dimensions of the unit vectors.

    ``1 / d^2 sum_i sum_j |rho(X_i, X_j)|`` (arXiv:2212.08420 appendix B.1, Figure 5c), each dimension with itself
    included, as printed. The appendix normalises the features for all four of its figures, the caption of Figure 5
    names only two; here they are normalised. A dimension that is the same in all images has no correlation
    and is left out of d. Chance correlations make the figure larger the fewer images there are, about
    ``sqrt(2 / (pi n))``: compare sets of the same size.

    Args:
        e: Embeddings, any scale.

    Returns:
        A number in [1 / d, 1]; NaN with fewer than two images or where no dimension varies.

    Raises:
        ValueError: Wrong shape, or rows that are zero or not finite.

    Example:
        >>> import torch
        >>> x = torch.tensor([1.0, 2.0, -1.0, -2.0])
        >>> redundancy(torch.stack([x, -x, x, torch.tensor([1.0, -2.0, -1.0, 2.0])], dim=1)) > 9 / 16
        True
    """
    e = _checks.embeddings("e", e)
    if len(e) < 2:
        return math.nan
    total = torch.zeros(e.shape[1], dtype=torch.float64, device=e.device)
    first = unit(e[:1])
    varies = torch.zeros(e.shape[1], dtype=torch.bool, device=e.device)
    for _, block in unit_blocks(e):
        total += block.sum(dim=0)
        varies |= (block != first).any(dim=0)
    products = torch.zeros(e.shape[1], e.shape[1], dtype=torch.float64, device=e.device)
    for _, block in unit_blocks(e):
        centred = block - total / len(e)
        products.addmm_(centred.T, centred)
    products = products[varies][:, varies]
    deviation = products.diagonal().sqrt()
    correlation = (products / deviation / deviation.unsqueeze(1)).abs().clamp_max(1)
    return float(correlation.mean())
