"""Centroid accuracy: is a query nearest to the centroid of its own class (M 3 reason 3, App. A)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import TIE, class_centroids, row_blocks, unit
from synthgap.metrics._votes import correctness


def nearest_centroid(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    num_classes: int,
    seed: int,
) -> Int64[Tensor, " m"]:
    """Name the class whose reference centroid has the highest cosine to each query.

    ``Near(q, R)`` of arXiv:2311.00056 appendix A, "randomly selected in case of ties": cosines within 1e-12 of the
    highest are a tie, such as two classes with the same prompt. With one prompt per class as the reference this is
    CLIP's zero-shot classifier.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        num_classes: Number of classes.
        seed: Seed of the ties; one number is drawn per query, so a tie depends on the seed and the query's place.

    Returns:
        Class of each query. A class without a centroid (no members, or vectors that cancel out) is never named.

    Raises:
        ValueError: Wrong shapes or widths, labels of another length or out of range, rows zero or not finite, or no
            class with a centroid.

    Example:
        >>> import torch
        >>> reference, query = torch.eye(2), torch.tensor([[5.0, 1.0], [0.1, 0.2]])
        >>> nearest_centroid(reference, torch.tensor([0, 1]), query, num_classes=2, seed=0)
        tensor([0, 1])
    """
    reference = _checks.embeddings("reference", reference)
    query = _checks.embeddings("query", query, width=reference.shape[1])
    _checks.members("reference", reference)
    labels = _checks.labels("reference_labels", reference_labels, len(reference), num_classes).to(reference.device)
    middles = class_centroids(reference, labels, num_classes).to(query.device)
    known = (~middles.isnan().any(dim=1)).nonzero().squeeze(1)
    if len(known) == 0:
        raise ValueError("reference: the vectors of every class add up to zero; expected a class with a centroid")
    chance = torch.rand(len(query), dtype=torch.float64, generator=_checks.generator(seed)).to(query.device)
    found = torch.empty(len(query), dtype=torch.long, device=query.device)
    for rows in row_blocks(len(query), max(len(known), query.shape[1])):
        cosines = unit(query[rows]) @ middles[known].T
        found[rows] = known[drawn_highest(cosines, chance[rows])]
    return found


def centroid_accuracy(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    query_labels: Int[Tensor, " m"],
    num_classes: int,
    seed: int,
) -> Float64[Tensor, " m"]:
    """Tell for each query whether the nearest reference centroid has its class.

    ``Z(q, R)`` of arXiv:2311.00056 appendix A. Its mean over all queries is the centroid accuracy ``CA(Q, R)``, its
    mean over the queries of a class (`class_means`) that of the class.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        query_labels: Class of each query in [0, num_classes).
        num_classes: Number of classes.
        seed: Seed of the ties, as in `nearest_centroid`.

    Returns:
        1 for right, 0 for wrong, NaN for a query whose class has no member among the references: it cannot be right.

    Raises:
        ValueError: As in `nearest_centroid`, or query labels of another length or out of range.

    Example:
        >>> import torch
        >>> query, labels = torch.tensor([[5.0, 1.0], [0.2, 0.1], [1.0, 0.0]]), torch.tensor([0, 1, 2])
        >>> centroid_accuracy(torch.eye(2), torch.tensor([0, 1]), query, labels, num_classes=3, seed=0)
        tensor([1., 0., nan], dtype=torch.float64)
    """
    found = nearest_centroid(reference, reference_labels, query, num_classes, seed)
    labels = _checks.labels("query_labels", query_labels, len(found), num_classes)
    return correctness(found, labels, reference_labels, num_classes)


def drawn_highest(cosines: Tensor, chance: Tensor) -> Tensor:
    """Column of the highest cosine in each row; among tied ones the ``chance``-th, chance in [0, 1)."""
    tied = cosines >= cosines.amax(dim=1, keepdim=True) - TIE
    place = (chance * tied.sum(dim=1)).long() + 1
    return (tied.cumsum(dim=1) < place.unsqueeze(1)).sum(dim=1)
