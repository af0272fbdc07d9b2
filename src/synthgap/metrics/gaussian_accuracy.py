"""Gaussian accuracy: each class a Gaussian, so that a class is more than its centroid (M 5 leaves it open)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from synthgap.metrics import _checks, _covariances, _numbers
from synthgap.metrics._blocks import class_sums, members_by_class, row_blocks, unit
from synthgap.metrics._covariances import LEAST_SHRINKAGE, Covariance
from synthgap.metrics._scores import highest
from synthgap.metrics._votes import correctness


def gaussian_predictions(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    num_classes: int,
    *,
    covariance: Literal["shared", "own"],
    shrinkage: float | None,
) -> Int64[Tensor, " m"]:
    """Name the class under whose Gaussian each query has the highest density, all classes being equally likely.

    arXiv:2311.00056 section 5 finds k-NN at times better than centroids and leaves other classifiers open. Here each
    class is the mean and covariance of its references, all as unit vectors. ``shared``: one covariance, of all
    references around the means of their classes (linear discriminant analysis): centroids, with directions in which
    classes vary anyway counting less. ``own``: one for each class, its log-determinant included (quadratic
    discriminant analysis), so that a wide class may reach further than a narrow one.

    With fewer images than dimensions a covariance has no inverse, so it is shrunk: ``(1 - s) S + s tr(S) / d I``. Without
    a given ``s`` it is the estimate of Ledoit and Wolf 2004, for each covariance its own, as
    `sklearn.covariance.LedoitWolf` has it. Divisors are ``n_c - 1`` and, shared, ``n - c``.

    A class whose own covariance cannot be estimated takes the shared one: a single member, members that are all
    alike, and, where ``s`` is estimated, members at two places only, such as two images. Where no class has members
    that differ, such as one prompt per class, the shared covariance is the identity: the nearest mean wins. The mean of a
    small class is off by more, which lowers its densities: take references of one number per class.

    In many dimensions of which classes fill few, own covariances can tell far fewer queries right than a shared one, with
    the estimated share as well: small variances that are hardly known decide. docs/metrics.md has figures.

    One covariance is held at a time; with ``own`` they are estimated again for each block of queries.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        num_classes: Number of classes.
        covariance: ``shared`` or ``own``.
        shrinkage: Share s of the scaled identity, above 1e-9 and at most 1, or None to estimate it.

    Returns:
        Class of each query; of equal densities (logarithms within 1e-9) the lowest. A class without members is never named.

    Raises:
        ValueError: Wrong shapes or widths, no reference, labels of another length or out of range, rows zero or not
            finite, another covariance, or a shrinkage out of range.

    Example:
        >>> import torch
        >>> narrow, wide = torch.tensor([[9.0, 0.0], [9.0, 1.0], [9.0, 2.0]]), torch.tensor([[1.0, 9.0], [9.0, 9.0]])
        >>> reference, labels = torch.cat([narrow, wide]), torch.tensor([0, 0, 0, 1, 1])
        >>> query = torch.tensor([[9.0, 4.0]])
        >>> gaussian_predictions(reference, labels, query, 2, covariance="shared", shrinkage=0.1)
        tensor([0])
        >>> gaussian_predictions(reference, labels, query, 2, covariance="own", shrinkage=0.1)
        tensor([1])
    """
    reference = _checks.embeddings("reference", reference)
    query = _checks.embeddings("query", query, width=reference.shape[1])
    _checks.members("reference", reference)
    labels = _checks.labels("reference_labels", reference_labels, len(reference), num_classes).to(reference.device)
    if covariance not in ("shared", "own"):
        raise ValueError(f"covariance: found {covariance!r}; expected 'shared' or 'own'")
    if shrinkage is not None:
        expected = f"a share above {LEAST_SHRINKAGE} and at most 1, or None to estimate it"
        shrinkage = _numbers.number("shrinkage", shrinkage, expected, above=LEAST_SHRINKAGE, most=1)
    means = class_sums(reference, labels, num_classes) / torch.bincount(labels, minlength=num_classes).unsqueeze(1)
    shared = _covariances.pooled(reference, labels, means, shrinkage)
    members = members_by_class(labels, num_classes)
    known = torch.tensor([key for key, rows in enumerate(members) if len(rows)], device=reference.device)
    found = torch.empty(len(query), dtype=torch.long, device=query.device)
    for rows in row_blocks(len(query), max(len(known), query.shape[1])):
        block = unit(query[rows].to(reference.device))
        if covariance == "shared":
            scores = _of_shared(block, means[known], shared)
        else:
            classes = ((reference[members[key]], means[key]) for key in known.tolist())
            scores = torch.stack([_of_own(block, e, mean, shared, shrinkage) for e, mean in classes], dim=1)
        found[rows] = known[highest(scores)].to(query.device)
    return found


def gaussian_accuracy(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "m d"],
    query_labels: Int[Tensor, " m"],
    num_classes: int,
    *,
    covariance: Literal["shared", "own"],
    shrinkage: float | None,
) -> Float64[Tensor, " m"]:
    """Tell for each query whether the Gaussian of the highest density is that of its own class.

    Gaussians and their covariances as in `gaussian_predictions`.

    Args:
        reference: Embeddings of the reference set's train split, any scale.
        reference_labels: Class of each reference in [0, num_classes).
        query: Embeddings of the query set's eval split, of the same width.
        query_labels: Class of each query in [0, num_classes).
        num_classes: Number of classes.
        covariance: ``shared`` or ``own``.
        shrinkage: Share of the scaled identity, above 1e-9 and at most 1, or None to estimate it.

    Returns:
        1 for right, 0 for wrong, NaN for a query whose class has no member among the references.

    Raises:
        ValueError: As in `gaussian_predictions`, or query labels of another length or out of range.

    Example:
        >>> import torch
        >>> query, labels = torch.tensor([[5.0, 1.0], [0.2, 0.1], [1.0, 0.0]]), torch.tensor([0, 1, 2])
        >>> gaussian_accuracy(torch.eye(2), torch.tensor([0, 1]), query, labels, 3, covariance="own", shrinkage=None)
        tensor([1., 0., nan], dtype=torch.float64)
    """
    found = gaussian_predictions(
        reference, reference_labels, query, num_classes, covariance=covariance, shrinkage=shrinkage
    )
    labels = _checks.labels("query_labels", query_labels, len(found), num_classes)
    return correctness(found, labels, reference_labels, num_classes)


def _of_shared(block: Tensor, means: Tensor, shared: Covariance) -> Tensor:
    """Log-densities (r, c) of the block, up to a number that the classes share."""
    origin = means.mean(dim=0)  # taken off first, it keeps the digits of classes close together
    middles = shared.whitened(means - origin)
    return torch.addmm(-middles.square().sum(dim=1) / 2, shared.whitened(block - origin), middles.T)


def _of_own(block: Tensor, e: Tensor, mean: Tensor, shared: Covariance, shrinkage: float | None) -> Tensor:
    """Log-density (r,) of the block under the Gaussian of one class, up to a number that the classes share."""
    spread = _covariances.own(e, mean, shrinkage) or shared
    return -(spread.squared_lengths(block - mean) + spread.log_determinant) / 2
