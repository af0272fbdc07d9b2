"""Coding length: the bits it takes to tell the embeddings of a set apart (S App. B.1)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._gram import unit_gram

EPSILON_SQUARED = 0.5
"""The precision of arXiv:2212.08420."""


def coding_length(e: Float[Tensor, "n d"], *, epsilon_squared: float = EPSILON_SQUARED) -> float:
    """Measure the volume that the unit vectors of a set take up, as the average code length of one of them.

    ``1/2 log det(I + d / (n eps^2) X^T X)`` (arXiv:2212.08420 appendix B.1, Figure 5d, with ``eps^2 = 0.5``; after the
    rate distortion of Ma et al. 2007), natural logarithm. X are the unit vectors, not centred. Where there are fewer
    images than dimensions the equal ``det(I + d / (n eps^2) X X^T)`` is computed. Like `vendi_score` it grows with
    variety of any kind, noise included, and at few images with their number: compare sets of the same size.

    Args:
        e: Embeddings, any scale.
        epsilon_squared: Squared error that the code may make per vector, above 0.

    Returns:
        Nats per image (divide by ``log 2`` for bits), in [1/2 log(1 + d / eps^2), d/2 log(1 + 1 / eps^2)]: all images
        the same, and variety alike in all directions. NaN of an empty set.

    Raises:
        ValueError: Wrong shape, rows that are zero or not finite, or a precision that is not finite and above 0.

    Example:
        >>> import torch
        >>> round(coding_length(torch.eye(4)), 6)  # 4/2 log 3
        2.197225
    """
    e = _checks.embeddings("e", e)
    most = torch.finfo(torch.float64).max
    allowed = _numbers.number("epsilon_squared", epsilon_squared, "a finite number above 0", above=0, most=most)
    if len(e) == 0:
        return math.nan
    gram = unit_gram(e) * (e.shape[1] / (len(e) * allowed))
    gram.diagonal().add_(1)
    return float(torch.linalg.slogdet(gram).logabsdet) / 2
