"""All figures of single queries in one pass over the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import directions, row_blocks, unit
from synthgap.metrics._labelled import Blocks, labelled
from synthgap.metrics._neighbours import Search
from synthgap.metrics._screening import CHUNK
from synthgap.metrics._votes import correctness
from synthgap.metrics.centroid_accuracy import drawn_highest
from synthgap.metrics.knn_accuracy import check_ks, votes


@dataclass(frozen=True)
class QueryScores:
    """Figures of m queries.

    Attributes:
        nearest_centroid: Class of the nearest centroid, as from `nearest_centroid`.
        correct: Whether that is the query's own, as from `centroid_accuracy`.
        own_cosine: Cosine to the centroid of the own class, as from `average_cosine_similarity`.
        nearest_cosine: Cosine to the nearest centroid, as from `nearest_cosine_similarity`.
        knn_predictions: For each k the class by k-NN, as from `knn_predictions`.
        knn_correct: For each k whether that is the query's own, as from `knn_accuracy`.
    """

    nearest_centroid: Int64[Tensor, " m"]
    correct: Float64[Tensor, " m"]
    own_cosine: Float64[Tensor, " m"]
    nearest_cosine: Float64[Tensor, " m"]
    knn_predictions: dict[int, Int64[Tensor, " m"]]
    knn_correct: dict[int, Float64[Tensor, " m"]]


def query_scores(
    reference: Float[Tensor, "n d"] | Blocks,
    reference_labels: Int[Tensor, " n"] | None,
    query: Float[Tensor, "m d"],
    query_labels: Int[Tensor, " m"],
    num_classes: int,
    seed: int,
    *,
    ks: Sequence[int] = (1, 5),
) -> QueryScores:
    """Score queries by centroids and by neighbours, reading each reference once.

    The values are those of `centroid_accuracy`, `average_cosine_similarity`, `nearest_cosine_similarity` and
    `knn_accuracy` with the same arguments, of arXiv:2311.00056 sections 4 and 5 and appendix A.

    Args:
        reference: Embeddings of the reference set's train split, any scale; or pairs of embeddings and labels block by
            block, each used once, for a set that does not fit in memory.
        reference_labels: Class of each reference in [0, num_classes); None with blocks.
        query: Embeddings of the query set's eval split, of the same width.
        query_labels: Class of each query in [0, num_classes).
        num_classes: Number of classes.
        seed: Seed of the ties between centroids.
        ks: Numbers of neighbours, each in [1, n]; none to leave k-NN out.

    Returns:
        The figures. The centroids of references that come in other blocks differ by float64 rounding (1e-12).

    Raises:
        ValueError: Wrong shapes or widths, labels of another length or out of range, rows zero or not finite, no
            reference or no class with a centroid, or a k outside [1, n].

    Example:
        >>> import torch
        >>> query, labels = torch.tensor([[3.0, 4.0], [4.0, 3.0]]), torch.tensor([1, 1])
        >>> found = query_scores(torch.eye(2), torch.tensor([0, 1]), query, labels, num_classes=2, seed=0, ks=(1,))
        >>> found.correct, found.own_cosine, found.knn_correct[1]
        (tensor([1., 0.], dtype=torch.float64), tensor([0.8000, 0.6000], dtype=torch.float64), tensor([1., 0.], dtype=torch.float64))
    """
    blocks, query = labelled(reference, reference_labels, query, num_classes)
    labels = _checks.labels("query_labels", query_labels, len(query), num_classes).to(query.device)
    chance = torch.rand(len(query), dtype=torch.float64, generator=_checks.generator(seed)).to(query.device)
    if ks:
        check_ks(ks, len(reference) if isinstance(reference, Tensor) else None)
    search = Search(query, max(ks)) if ks else None
    sums, met = torch.zeros(num_classes, query.shape[1], dtype=torch.float64), [torch.empty(0, dtype=torch.long)]
    for e, classes in blocks:
        sums = sums.to(e.device)
        for part, own in zip(e.split(CHUNK), classes.to(e.device).split(CHUNK), strict=True):
            sums.index_add_(0, own, unit(part))
        if search is not None:
            search.add(e)
        met.append(classes.cpu())
    reference_classes = torch.cat(met)
    if len(reference_classes) == 0:
        raise ValueError("reference: found 0 rows; expected at least 1")
    if ks:
        check_ks(ks, len(reference_classes))
    predictions = votes(search, reference_classes, ks) if search is not None else {}
    middles = directions(sums, torch.bincount(reference_classes, minlength=num_classes)).to(query.device)
    near, nearest, own = _by_centroid(middles, query, labels, chance)
    return QueryScores(
        nearest_centroid=near,
        correct=correctness(near, labels, reference_classes, num_classes),
        own_cosine=own,
        nearest_cosine=nearest,
        knn_predictions=predictions,
        knn_correct={k: correctness(found, labels, reference_classes, num_classes) for k, found in predictions.items()},
    )


def _by_centroid(middles: Tensor, query: Tensor, labels: Tensor, chance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest class, cosine to it and cosine to the own class of each query, (m,) each."""
    known = (~middles.isnan().any(dim=1)).nonzero().squeeze(1)
    if len(known) == 0:
        raise ValueError("reference: the vectors of every class add up to zero; expected a class with a centroid")
    near = torch.empty_like(labels)
    most, own = (torch.empty(len(query), dtype=torch.float64, device=query.device) for _ in range(2))
    for rows in row_blocks(len(query), max(len(known), query.shape[1])):
        vectors = unit(query[rows])
        cosines = vectors @ middles[known].T
        near[rows] = known[drawn_highest(cosines, chance[rows])]
        most[rows] = cosines.amax(dim=1)
        own[rows] = (vectors * middles[labels[rows]]).sum(dim=1)
    return near, most.clamp(-1, 1), own.clamp(-1, 1)
