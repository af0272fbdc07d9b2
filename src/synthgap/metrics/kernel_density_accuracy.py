"""Kernel density accuracy: each class the density of its references, between k-NN and the centroid (M 5 leaves it open)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._blocks import TIE, class_sums, members_by_class, row_blocks, unit
from synthgap.metrics._scores import highest
from synthgap.metrics._votes import correctness

GRID = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)
"""Concentrations tried, in units of 1 / spread, the spread being the mean ``1 - cos`` of a reference and its class."""

MOST_LEFT_OUT = 5_000
"""References that are left out in turn to choose the concentration, evenly from all classes."""


def kernel_density_predictions(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    num_classes: int,
    *,
    concentration: float | None,
) -> Int64[Tensor, " m"]:
    """Name the class whose references are densest around each query, all classes being equally likely.

    arXiv:2311.00056 section 5 finds k-NN at times better than centroids and leaves other classifiers open. The density
    of a class is the mean over its references of a von Mises-Fisher kernel, ``exp(kappa (cos - 1))``: on unit vectors a
    Gaussian kernel of variance ``1 / kappa``. A high concentration listens to the nearest reference only, a low one
    to the mean of the class. A mean, so the number of references does not count as a vote.

    Without a given concentration the references choose it, never the queries: of 1/4, 1, 4, 16, 64 and 256 over the
    mean ``1 - cos`` of a reference and its class, the one under which references left out in turn (at most 5,000, evenly
    from all classes) are most often told right; of equals the one of the lowest cross-entropy. It suits queries like
    the references: duplicates among them (`near_duplicates`), or synthetic references for natural queries, choose
    too high a one.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        num_classes: Number of classes.
        concentration: The kernel's kappa, above 0, or None to choose it; any is as good with one reference per class.

    Returns:
        Class of each query; of equal densities (logarithms within 1e-9) the lowest. A class without members is never named.

    Raises:
        ValueError: Wrong shapes or widths, no reference, labels of another length or out of range, rows zero or not
            finite, or a concentration that is not finite and above 0.

    Example:
        >>> import torch
        >>> reference, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.3, 1.0], [-1.0, 0.1]]), torch.tensor([0, 0, 1, 1])
        >>> query = torch.tensor([[0.2, 1.0]])
        >>> kernel_density_predictions(reference, labels, query, 2, concentration=1000.0)  # the nearest reference
        tensor([1])
        >>> kernel_density_predictions(reference, labels, query, 2, concentration=0.1)  # the nearer mean
        tensor([0])
    """
    reference = _checks.embeddings("reference", reference)
    query = _checks.embeddings("query", query, width=reference.shape[1])
    _checks.members("reference", reference)
    labels = _checks.labels("reference_labels", reference_labels, len(reference), num_classes).to(reference.device)
    if concentration is not None:
        expected = "a finite number above 0, or None to choose it"
        most = torch.finfo(torch.float64).max
        concentration = _numbers.number("concentration", concentration, expected, above=0, most=most)
    members = members_by_class(labels, num_classes)
    kappa = _chosen(reference, labels, members) if concentration is None else concentration
    found = torch.empty(len(query), dtype=torch.long, device=query.device)
    for rows in row_blocks(len(query), max(num_classes, query.shape[1])):
        block = unit(query[rows].to(reference.device))
        found[rows] = highest(_log_densities(block, reference, members, [kappa])[0]).to(query.device)
    return found


def kernel_density_accuracy(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    query_labels: Int[Tensor, " m"],
    num_classes: int,
    *,
    concentration: float | None,
) -> Float64[Tensor, " m"]:
    """Tell for each query whether the class whose references are densest around it is its own.

    Densities and the choice of the concentration as in `kernel_density_predictions`.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        query_labels: Class of each query in [0, num_classes).
        num_classes: Number of classes.
        concentration: The kernel's kappa, above 0, or None to choose it by the references.

    Returns:
        1 for right, 0 for wrong, NaN for a query whose class has no member among the references.

    Raises:
        ValueError: As in `kernel_density_predictions`, or query labels of another length or out of range.

    Example:
        >>> import torch
        >>> query, labels = torch.tensor([[5.0, 1.0], [0.2, 0.1], [1.0, 0.0]]), torch.tensor([0, 1, 2])
        >>> kernel_density_accuracy(torch.eye(2), torch.tensor([0, 1]), query, labels, 3, concentration=None)
        tensor([1., 0., nan], dtype=torch.float64)
    """
    found = kernel_density_predictions(reference, reference_labels, query, num_classes, concentration=concentration)
    labels = _checks.labels("query_labels", query_labels, len(found), num_classes)
    return correctness(found, labels, reference_labels, num_classes)


def _log_densities(
    block: Tensor,
    reference: Tensor,
    members: Sequence[Tensor],
    kappas: Sequence[float],
    without: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Log-densities (k, r, c) of unit vectors (r, d) for each concentration, up to a number that the classes share.

    ``without`` are the row and the class of the reference that each of them is and that is left out. -inf for a class
    without members.
    """
    found = block.new_full((len(kappas), len(block), len(members)), -torch.inf)
    for key, rows in enumerate(members):
        for part in row_blocks(len(rows), max(len(block), block.shape[1])):
            away = (block @ unit(reference[rows[part]]).T - 1).clamp_max(0)
            if without is not None:
                away.masked_fill_(without[0].unsqueeze(1) == rows[part], -torch.inf)
            for place, kappa in enumerate(kappas):
                found[place, :, key] = torch.logaddexp(found[place, :, key], (kappa * away).logsumexp(dim=1))
        if without is None:
            found[:, :, key] -= math.log(max(1, len(rows)))
        else:
            found[:, :, key] -= (len(rows) - (without[1] == key).double()).log()
    return found


def _chosen(reference: Tensor, labels: Tensor, members: Sequence[Tensor]) -> float:
    """Concentration of the grid under which references left out in turn are told right most often."""
    shared = [rows for rows in members if len(rows) > 1]
    rows = torch.cat(shared) if shared else labels[:0]
    # the unit vectors of a class add up to n times their mean cosine to its centroid
    lengths = torch.linalg.vector_norm(class_sums(reference[rows], labels[rows], len(members)), dim=1)
    spread = 1 - float(lengths.sum()) / max(1, len(rows))
    if not shared or spread <= TIE:
        return 1.0
    rows = rows[:: math.ceil(len(rows) / MOST_LEFT_OUT)]
    kappas = [factor / spread for factor in GRID]
    right, entropy = torch.zeros(len(kappas)), torch.zeros(len(kappas), dtype=torch.float64)
    for part in row_blocks(len(rows), max(len(kappas) * len(members), reference.shape[1])):
        left_out = rows[part]
        own = labels[left_out]
        scores = _log_densities(unit(reference[left_out]), reference, members, kappas, (left_out, own))
        for place, of_kappa in enumerate(scores):
            right[place] += (highest(of_kappa) == own).sum().cpu()
            entropy[place] += torch.nn.functional.cross_entropy(of_kappa, own, reduction="sum").cpu()
    ranks = list(zip(right.tolist(), (-entropy).tolist(), strict=True))
    return kappas[ranks.index(max(ranks))]
