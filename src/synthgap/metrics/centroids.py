"""The centroid of each class (M 3)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import class_centroids


def centroids(e: Float[Tensor, "n d"], labels: Int[Tensor, " n"], num_classes: int) -> Float[Tensor, "c d"]:
    """Find the direction in which a class lies: ``M = uvec(sum_i uvec(e_i))`` (arXiv:2311.00056 section 3).

    Args:
        e: Embeddings, any scale.
        labels: Class of each row in [0, num_classes).
        num_classes: Number of classes c.

    Returns:
        Unit vectors, one per class, in the type of ``e`` (float32 for half precision); computed in float64.
        A row of NaN for a class without members, or one whose unit vectors add up to zero.

    Raises:
        ValueError: Wrong shapes, labels of another length or out of range, rows that are zero or not finite.

    Example:
        >>> import torch
        >>> centroids(torch.tensor([[2.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 0]), num_classes=2)
        tensor([[0.7071, 0.7071],
                [   nan,    nan]])
    """
    e = _checks.embeddings("e", e)
    labels = _checks.labels("labels", labels, len(e), num_classes).to(e.device)
    return class_centroids(e, labels, num_classes).to(e.dtype)
