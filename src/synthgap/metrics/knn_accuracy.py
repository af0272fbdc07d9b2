"""k-NN accuracy: the references not collapsed to centroids (M 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._labelled import Blocks, labelled
from synthgap.metrics._neighbours import Search
from synthgap.metrics._votes import correctness, majority


def knn_predictions(
    reference: Float[Tensor, "n d"] | Blocks,
    reference_labels: Int[Tensor, " n"] | None,
    query: Float[Tensor, "m d"],
    num_classes: int,
    ks: Sequence[int] = (1, 5),
    *,
    block: tuple[int, int] | None = None,
) -> dict[int, Int64[Tensor, " m"]]:
    """Name the most frequent class among the k references of the highest cosine to each query.

    arXiv:2311.00056 section 5. Ties, which the paper leaves open: references of equal cosine (within 1e-12) come in
    the order of their row; classes of equally many votes are decided by their nearest member. A query that is itself
    among the references is its own neighbour: take the two from different splits.

    The neighbours are exact: products in low precision (int8 on a CPU with instructions for it, bfloat16 on a GPU)
    leave out what lies below the k-th best by more than they can err, float64 cosines order the rest. They are the same
    for every block size, on every machine.

    Args:
        reference: Embeddings of the reference set's train split, any scale; or pairs of embeddings and labels block by
            block, each used once, for a set that does not fit in memory.
        reference_labels: Class of each reference in [0, num_classes); None with blocks.
        query: Embeddings of the query set's eval split, of the same width.
        num_classes: Number of classes.
        ks: Numbers of neighbours, each in [1, n].
        block: Queries and references compared at once, 4 bytes of memory per pair; None for what suits the device.

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
    blocks, query = labelled(reference, reference_labels, query, num_classes)
    n = len(reference) if isinstance(reference, Tensor) else None
    check_ks(ks, n)
    rows, columns = (_checks.whole("block", size) for size in block) if block is not None else (None, None)
    search = Search(query, max(ks), None if rows is None or columns is None else (rows, columns))
    labels = [torch.empty(0, dtype=torch.long)]
    for e, classes in blocks:
        search.add(e)
        labels.append(classes.cpu())
    check_ks(ks, search.seen)
    return votes(search, torch.cat(labels), ks)


def votes(search: Search, labels: Tensor, ks: Sequence[int]) -> dict[int, Tensor]:
    """For each k the most frequent class of the k nearest references, whose labels these are."""
    found = search.found()
    neighbours = labels.to(found.device)[found]
    return {k: majority(neighbours[:, :k]) for k in ks}


def check_ks(ks: Sequence[int], n: int | None) -> None:
    """Refuse anything but integers from 1 to the number of references; that number may not be known yet."""
    if not ks or any(isinstance(k, bool) or not isinstance(k, int) or k < 1 or (n is not None and k > n) for k in ks):
        most = "n" if n is None else n
        raise ValueError(f"ks: found {tuple(ks)}; expected integers in [1, {most}], the number of references")


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
