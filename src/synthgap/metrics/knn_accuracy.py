"""k-NN accuracy: the references not collapsed to centroids (M 5)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._neighbours import BLOCK, nearest
from synthgap.metrics._votes import correctness, majority


def knn_predictions(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    num_classes: int,
    ks: Sequence[int] = (1, 5),
    *,
    block: tuple[int, int] = BLOCK,
) -> dict[int, Int64[Tensor, " m"]]:
    """Name the most frequent class among the k references of the highest cosine to each query.

    arXiv:2311.00056 section 5. Ties, which the paper leaves open: references of equal cosine (within 1e-12) come in
    the order of their row; classes of equally many votes are decided by their nearest member. A query that is itself
    among the references is its own neighbour: take the two from different splits.

    The neighbours are exact: float32 products in blocks choose candidates, float64 cosines order them, and a query
    for which the float32 rounding could have hidden a neighbour is searched again in float64. They are the same
    for every block size.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        num_classes: Number of classes.
        ks: Numbers of neighbours, each in [1, n].
        block: Queries and references compared at once; a block of scores takes 4 bytes each.

    Returns:
        For each k the class of each query.

    Raises:
        ValueError: Wrong shapes or widths, labels of another length or out of range, rows zero or not finite, or a k
            outside [1, n].

    Example:
        >>> import torch
        >>> reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
        >>> knn_predictions(reference, torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.1]]), num_classes=2, ks=(1, 3))
        {1: tensor([0]), 3: tensor([1])}
    """
    reference = _checks.embeddings("reference", reference)
    query = _checks.embeddings("query", query, width=reference.shape[1])
    labels = _checks.labels("reference_labels", reference_labels, len(reference), num_classes)
    wrong = [k for k in ks if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(reference)]
    if wrong or not ks:
        raise ValueError(f"ks: found {tuple(ks)}; expected integers in [1, {len(reference)}], the number of references")
    rows, columns = (_checks.whole("block", size) for size in block)
    found = nearest(reference, query, max(ks), (rows, columns))
    neighbours = labels.to(found.device)[found]
    return {k: majority(neighbours[:, :k]) for k in ks}


def knn_accuracy(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    query_labels: Int[Tensor, " m"],
    num_classes: int,
    *,
    ks: Sequence[int] = (1, 5),
) -> dict[int, Float64[Tensor, " m"]]:
    """Tell for each query and each k whether the most frequent class of its k neighbours is its own.

    arXiv:2311.00056 section 5 and Table 6, neighbours and votes as in `knn_predictions`. The mean over all queries is
    the k-NN accuracy.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        query_labels: Class of each query in [0, num_classes).
        num_classes: Number of classes.
        ks: Numbers of neighbours, each in [1, n].

    Returns:
        For each k: 1 for right, 0 for wrong, NaN for a query whose class has no member among the references.

    Raises:
        ValueError: As in `knn_predictions`, or query labels of another length or out of range.

    Example:
        >>> import torch
        >>> query, labels = torch.tensor([[5.0, 1.0], [0.2, 0.1]]), torch.tensor([0, 1])
        >>> knn_accuracy(torch.eye(2), torch.tensor([0, 1]), query, labels, num_classes=2, ks=(1,))
        {1: tensor([1., 0.], dtype=torch.float64)}
    """
    found = knn_predictions(reference, reference_labels, query, num_classes, ks)
    labels = _checks.labels("query_labels", query_labels, len(query), num_classes)
    return {k: correctness(classes, labels, reference_labels, num_classes) for k, classes in found.items()}
