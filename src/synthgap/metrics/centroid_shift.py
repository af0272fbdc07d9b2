"""Centroid shift: how far the meaning of a class moved between two sets (M 3, reason 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import class_centroids, members_by_class, unit
from synthgap.metrics._resampling import ClassIntervals, class_intervals, draw_counts


def centroid_shift(
    a: Float[Tensor, "n d"],
    a_labels: Int[Tensor, " n"],
    b: Float[Tensor, "m d"],
    b_labels: Int[Tensor, " m"],
    num_classes: int,
) -> Float64[Tensor, " c"]:
    """Measure the angle between the centroids that two sets have of a class: ``codiff(M_a, M_b)``.

    arXiv:2311.00056 section 3, reason 3: a shift of the centroid is a shift of the concept that is represented.
    Between two samples of one population it is not 0 but falls with their size: compare with a baseline of that size.

    Args:
        a: Embeddings of one set, any scale.
        a_labels: Class of each row of ``a`` in [0, num_classes).
        b: Embeddings of the other set, of the same width.
        b_labels: Class of each row of ``b``.
        num_classes: Number of classes c.

    Returns:
        float64 in [0, 2]; NaN for a class that has no centroid in one of the sets.

    Raises:
        ValueError: Wrong shapes or widths, labels of another length or out of range, rows zero or not finite.

    Example:
        >>> import torch
        >>> a, b = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
        >>> centroid_shift(a, torch.tensor([0, 1]), b, torch.tensor([0, 1]), num_classes=3)
        tensor([1.0000, 0.2929,    nan], dtype=torch.float64)
    """
    a = _checks.embeddings("a", a)
    b = _checks.embeddings("b", b, width=a.shape[1])
    of_a = class_centroids(a, _checks.labels("a_labels", a_labels, len(a), num_classes).to(a.device), num_classes)
    of_b = class_centroids(b, _checks.labels("b_labels", b_labels, len(b), num_classes).to(b.device), num_classes)
    return (of_a - of_b.to(of_a.device)).square().sum(dim=1) / 2


def centroid_shift_bootstrap(
    a: Float[Tensor, "n d"],
    a_labels: Int[Tensor, " n"],
    b: Float[Tensor, "m d"],
    b_labels: Int[Tensor, " m"],
    num_classes: int,
    *,
    resamples: int,
    seed: int,
) -> ClassIntervals:
    """Find 95 % intervals of `centroid_shift`, resampling the images of each class in both sets.

    The scatter of two centroids adds to their distance, in a resample once more than in the sample. The percentile
    interval is therefore shifted by that bias, so that it speaks of the figure expected from this number of images.
    Where the sets hardly differ, so that scatter is most of the figure, the interval is wider than it need be.

    Args:
        a: Embeddings of one set, any scale.
        a_labels: Class of each row of ``a`` in [0, num_classes).
        b: Embeddings of the other set, of the same width.
        b_labels: Class of each row of ``b``.
        num_classes: Number of classes c.
        resamples: Number of bootstrap resamples; 0 gives NaN.
        seed: Seed of the resamples.

    Returns:
        Interval of each class, and of the mean over the classes that both sets have. NaN for a class of which one of
        the sets has no image, or both a single one.

    Raises:
        ValueError: As in `centroid_shift`, or a negative number of resamples or seed.

    Example:
        >>> import torch
        >>> e = torch.randn(400, 16, generator=torch.Generator().manual_seed(0)) + 1
        >>> labels = torch.zeros(200, dtype=torch.long)
        >>> found = centroid_shift_bootstrap(e[:200], labels, e[200:], labels, 1, resamples=200, seed=0)
        >>> bool(found.low < centroid_shift(e[:200], labels, e[200:], labels, 1) < found.high)
        True
    """
    value = centroid_shift(a, a_labels, b, b_labels, num_classes)
    a, b = a.cpu(), b.cpu()
    resamples, generator = _checks.whole("resamples", resamples, 0), _checks.generator(seed)
    replicates = torch.full((resamples, num_classes), torch.nan, dtype=torch.float64)
    groups = [members_by_class(labels.cpu().long(), num_classes) for labels in (a_labels, b_labels)]
    pairs = list(zip(*groups, strict=True))
    for key, (of_a, of_b) in enumerate(pairs):
        if resamples and len(of_a) and len(of_b):
            replicates[:, key] = _shifts(unit(a[of_a]), unit(b[of_b]), resamples, generator)
    sizes = torch.tensor([max(len(of_a), len(of_b)) if len(of_a) and len(of_b) else 0 for of_a, of_b in pairs])
    return class_intervals(replicates, sizes, around=value.cpu(), least=0.0)


def _shifts(a: Tensor, b: Tensor, resamples: int, generator: torch.Generator) -> Tensor:
    """Shift of each resample of one class, (resamples,), given its unit vectors in both sets."""
    if len(a) + len(b) > a.shape[1]:
        moved = _resampled(a, resamples, generator) - _resampled(b, resamples, generator)
        return moved.square().sum(dim=1) / 2
    # fewer products than the rows have entries
    left, right = (torch.cat([counts for _, counts in draw_counts(len(x), resamples, generator)]) for x in (a, b))
    lengths = [torch.linalg.vecdot(counts @ (x @ x.T), counts).sqrt() for x, counts in ((a, left), (b, right))]
    cosines: Tensor = torch.linalg.vecdot(left @ (a @ b.T), right) / lengths[0] / lengths[1]
    return 1 - cosines


def _resampled(vectors: Tensor, resamples: int, generator: torch.Generator) -> Tensor:
    """Centroid of each resample of the unit vectors of one class, (resamples, d)."""
    blocks = [counts @ vectors for _, counts in draw_counts(len(vectors), resamples, generator)]
    return unit(torch.cat(blocks)) if blocks else vectors.new_empty(0, vectors.shape[1])
