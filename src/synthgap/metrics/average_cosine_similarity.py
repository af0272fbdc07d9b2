"""Average cosine similarity of a query and its matched reference (M 4, App. A)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import class_centroids, row_blocks, unit


def average_cosine_similarity(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    query_labels: Int[Tensor, " m"],
    num_classes: int,
) -> Float64[Tensor, " m"]:
    """Give the cosine of each query to the reference centroid of its own class; the mean over queries is the figure.

    arXiv:2311.00056 appendix A calls it "the average of the cosine similarities of the query-reference embedding
    pairs". Pairs are matched, a query with its class's reference: Table 6 row 35, one prompt per class against
    itself, prints 1.0000, which an average over all pairs could not give. Within one modality it is high, between
    prompts and images low (section 4). `nearest_cosine_similarity` pairs with the nearest class instead.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        query_labels: Class of each query in [0, num_classes).
        num_classes: Number of classes.

    Returns:
        float64 in [-1, 1] for each query; NaN where its class has no reference centroid.

    Raises:
        ValueError: Wrong shapes or widths, labels of another length or out of range, rows zero or not finite.

    Example:
        >>> import torch
        >>> query, labels = torch.tensor([[0.0, 5.0], [3.0, 4.0]]), torch.tensor([1, 0])
        >>> average_cosine_similarity(torch.eye(2), torch.tensor([0, 1]), query, labels, num_classes=2)
        tensor([1.0000, 0.6000], dtype=torch.float64)
    """
    middles, query = _centroids_and_query(reference, reference_labels, query, num_classes)
    labels = _checks.labels("query_labels", query_labels, len(query), num_classes).to(query.device)
    cosines = torch.empty(len(query), dtype=torch.float64, device=query.device)
    for rows in row_blocks(len(query), query.shape[1]):
        cosines[rows] = (unit(query[rows]) * middles[labels[rows]]).sum(dim=1)
    return cosines.clamp(-1, 1)


def nearest_cosine_similarity(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    num_classes: int,
) -> Float64[Tensor, " m"]:
    """Give the cosine of each query to the reference centroid nearest to it, of whatever class.

    The other reading of "query-reference pairs" in arXiv:2311.00056 appendix A: the pair that the classifier forms.
    Never below `average_cosine_similarity`; the gap between the two is what the wrong answers gain.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        num_classes: Number of classes.

    Returns:
        float64 in [-1, 1] for each query; NaN when no class has a reference centroid.

    Raises:
        ValueError: Wrong shapes or widths, labels of another length or out of range, rows zero or not finite.

    Example:
        >>> import torch
        >>> nearest_cosine_similarity(torch.eye(2), torch.tensor([0, 1]), torch.tensor([[3.0, 4.0]]), num_classes=2)
        tensor([0.8000], dtype=torch.float64)
    """
    middles, query = _centroids_and_query(reference, reference_labels, query, num_classes)
    known = middles[~middles.isnan().any(dim=1)]
    cosines = torch.full((len(query),), torch.nan, dtype=torch.float64, device=query.device)
    if len(known):
        for rows in row_blocks(len(query), max(len(known), query.shape[1])):
            cosines[rows] = (unit(query[rows]) @ known.T).amax(dim=1)
    return cosines.clamp(-1, 1)


def _centroids_and_query(
    reference: Tensor, reference_labels: Tensor, query: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    reference = _checks.embeddings("reference", reference)
    query = _checks.embeddings("query", query, width=reference.shape[1])
    labels = _checks.labels("reference_labels", reference_labels, len(reference), num_classes).to(reference.device)
    return class_centroids(reference, labels, num_classes).to(query.device), query
