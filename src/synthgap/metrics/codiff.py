"""Unit vectors, and the complement of the cosine that every measure here is made of (M 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import row_blocks, unit


def uvec(e: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Scale vectors to length 1: ``uvec(v) = v / |v|`` (arXiv:2311.00056 section 3).

    Args:
        e: Vectors along the last dimension, any floating type, any scale.

    Returns:
        Vectors of length 1 in the same shape; float32 for half precision, else the type given.

    Raises:
        ValueError: A vector is zero (it has no direction) or not finite.

    Example:
        >>> import torch
        >>> uvec(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """
    e = _checks.embeddings("e", e, None)
    rows = e.reshape(-1, e.shape[-1])
    found = torch.empty_like(rows)
    for block in row_blocks(*rows.shape):
        found[block] = unit(rows[block]).to(e.dtype)
    return found.view(e.shape)


def codiff(x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"]) -> Float64[Tensor, "*#batch"]:
    """Tell how far two vectors point apart: ``codiff(x, y) = 1 - uvec(x)·uvec(y)`` (arXiv:2311.00056 section 3).

    Args:
        x: Vectors along the last dimension.
        y: Vectors of the same width; the leading dimensions broadcast against those of ``x``.

    Returns:
        float64 in [0, 2]: 0 for the same direction, 1 for orthogonal vectors, 2 for opposite ones.

    Raises:
        ValueError: A vector is zero or not finite, the widths differ, or the shapes do not broadcast.

    Example:
        >>> import torch
        >>> codiff(torch.tensor([1.0, 0.0]), torch.tensor([[5.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]))
        tensor([0., 1., 2.], dtype=torch.float64)
    """
    x = _checks.embeddings("x", x, None)
    y = _checks.embeddings("y", y, None, width=x.shape[-1])
    try:
        torch.broadcast_shapes(x.shape, y.shape)
    except RuntimeError:
        raise ValueError(
            f"y: found shape {tuple(y.shape)}; expected one that broadcasts with x, {tuple(x.shape)}"
        ) from None
    # |u - v|^2 / 2 equals 1 - u.v for unit vectors and keeps its digits where the two are nearly parallel
    return (unit(x) - unit(y)).square().sum(dim=-1) / 2
