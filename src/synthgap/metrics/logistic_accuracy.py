"""Logistic accuracy: the linear probe in the form of the other accuracies."""

from __future__ import annotations

from jaxtyping import Float, Float64, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._votes import correctness
from synthgap.metrics.codiff import uvec
from synthgap.metrics.linear_probe import linear_probe


def logistic_accuracy(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    query_labels: Int[Tensor, " m"],
    num_classes: int,
    *,
    seed: int,
) -> Float64[Tensor, " m"]:
    """Tell for each query whether a logistic regression fitted to the references names its class.

    `linear_probe` of the unit vectors: a classifier of the borders between classes, not of the classes.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        query_labels: Class of each query in [0, num_classes).
        num_classes: Number of classes.
        seed: Seed of the split by which the references choose the penalty.

    Returns:
        1 for right, 0 for wrong, NaN for a query whose class has no member among the references.

    Raises:
        ValueError: Wrong shapes or widths, no reference, labels of another length or out of range, or rows zero or not
            finite.

    Example:
        >>> import torch
        >>> query, labels = torch.tensor([[5.0, 1.0], [0.2, 0.1], [1.0, 0.0]]), torch.tensor([0, 1, 2])
        >>> logistic_accuracy(torch.eye(2), torch.tensor([0, 1]), query, labels, num_classes=3, seed=0)
        tensor([1., 0., nan], dtype=torch.float64)
    """
    reference = _checks.embeddings("reference", reference)
    query = _checks.embeddings("query", query, width=reference.shape[1])
    _checks.members("reference", reference)
    of_reference = _checks.labels("reference_labels", reference_labels, len(reference), num_classes)
    labels = _checks.labels("query_labels", query_labels, len(query), num_classes)
    found = linear_probe(uvec(reference), of_reference, uvec(query), num_classes, seed=seed)
    return correctness(found, labels, of_reference, num_classes)
