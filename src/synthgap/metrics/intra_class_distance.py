"""Intra-class distance: how far the images of a class are from each other (S App. B.1)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import members_by_class, unit
from synthgap.metrics._euclidean import squared_distances, upper_tiles


def intra_class_distance(e: Float[Tensor, "n d"], labels: Int[Tensor, " n"], num_classes: int) -> Float64[Tensor, " c"]:
    """Average the Euclidean distance between the unit vectors of each class over all pairs of different images.

    ``mean_{i<j} |uvec(e_i) - uvec(e_j)|`` (arXiv:2212.08420 appendix B.1, Figure 5b, which leaves open whether an image
    is paired with itself; here it is not). The figure of a set is the mean over its classes (``nanmean``). Unlike
    `centroid_distance` it needs no centroid, and so is expected to be the same for any number of images.

    Args:
        e: Embeddings, any scale.
        labels: Class of each row in [0, num_classes).
        num_classes: Number of classes c.

    Returns:
        float64 in [0, 2]; NaN for a class of fewer than two images.

    Raises:
        ValueError: Wrong shapes, labels of another length or out of range, rows that are zero or not finite.

    Example:
        >>> import torch
        >>> e = torch.tensor([[1.0, 0.0], [-9.0, 0.0], [0.0, 1.0]])
        >>> intra_class_distance(e, torch.tensor([0, 0, 1]), num_classes=2)
        tensor([2., nan], dtype=torch.float64)
    """
    e = _checks.embeddings("e", e)
    labels = _checks.labels("labels", labels, len(e), num_classes).to(e.device)
    means = torch.full((num_classes,), torch.nan, dtype=torch.float64, device=e.device)
    for key, members in enumerate(members_by_class(labels, num_classes)):
        if len(members) > 1:
            means[key] = _mean_distance(unit(e[members]))
    return means


def _mean_distance(x: Tensor) -> float:
    origin, total = x.mean(dim=0), 0.0
    for rows, columns in upper_tiles(len(x)):
        apart = squared_distances(x[rows], x[columns], origin).sqrt()
        total += float((apart.triu(diagonal=1) if rows.start == columns.start else apart).sum())
    return total / (len(x) * (len(x) - 1) / 2)
