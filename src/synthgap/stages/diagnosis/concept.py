"""Does a class of the synthetic set show what the natural class shows? (M reasons 1 and 4)

Two signs, both as a share of what natural images have: how many images a natural-trained classifier loses, and how
far the class has moved beyond the shift that all classes share, in units of the distance between natural classes.
The second sees a concept that is in no class of the list, such as the performer for "drake".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthgap import metrics
from synthgap.stages.diagnosis.case import Sample, class_sums, evenly, own_codiff
from synthgap.stages.diagnosis.intervals import (
    Array,
    Estimates,
    difference,
    lower_median,
    spread_around,
    student,
    wilson,
)

ENOUGH_CLASSES = 5
"""From this many classes on, a shift that all share is told from the fault of one."""
CUT_AT_MOST = 1000
"""Images of a class that are cut in two."""
OUTLIER = 3.0
"""Robust standard deviations beyond the other classes' shift."""


@dataclass(frozen=True, slots=True)
class Concept:
    """The signs per class, shapes (c,)."""

    accuracy: Array
    """Centroid accuracy of the synthetic images, references natural."""
    kept: Array
    """The same once the shift that all classes share is taken out, where that is more."""
    baseline: Array
    """The same for natural images that are no references."""
    loss: Estimates
    """Share of the natural accuracy above chance that is lost even then."""
    shift: Estimates
    """How far the class has moved, of the way to another class, beyond what the other classes have moved."""
    outlying: NDArray[np.bool_]
    """Whether that is outside the spread of the other classes."""
    taken_for: list[tuple[int, float]]
    """The other class that most images lie nearest to, with the share; (-1, 0) where there is none."""


def measure_concept(
    reference: Sample, query: Sample, synthetic: Sample, narrowing: Array, distinct: Array, *, seed: int
) -> Concept:
    """Measure the signs of every class.

    Args:
        reference: Natural images that the centroids are taken from.
        query: Other natural images, for the baseline.
        synthetic: The images to judge.
        narrowing: Per class, the share of natural spread that the synthetic images lack, in [0, 1].
        distinct: Per class, the synthetic images that are no copies of another.
        seed: Draws ties between centroids.
    """
    count = len(reference.rows)
    predicted = _predict(reference, synthetic.e, seed)
    hits = class_sums(predicted == synthetic.labels, synthetic.labels, count)
    usual_hits = class_sums(_predict(reference, query.e, seed) == query.labels, query.labels, count)
    shared, kept_hits = _shared_shift(reference, query, synthetic), hits
    moved_back = synthetic
    if shared is not None:
        moved_back = replace(synthetic, e=metrics.uvec(synthetic.e - shared))
        back = _predict(reference, moved_back.e, seed)
        kept_hits = np.maximum(hits, class_sums(back == synthetic.labels, synthetic.labels, count))
    baseline = wilson(usual_hits, query.counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = wilson(kept_hits / synthetic.counts * distinct, distinct)
        loss = difference(baseline, kept).scaled(1 / (baseline.value - 1 / count)).where(baseline.low > 1 / count)
        accuracy = hits / synthetic.counts
    shift = _shift(reference, query, moved_back, narrowing, distinct)
    usual = max(0.0, lower_median(shift.value))
    spread = spread_around(shift.value, usual) if count >= ENOUGH_CLASSES else 0.0
    return Concept(
        accuracy=accuracy,
        kept=kept.value,
        baseline=baseline.value,
        loss=loss,
        shift=shift.scaled(1.0, usual),
        outlying=shift.value - usual > OUTLIER * spread,
        taken_for=_taken_for(predicted, synthetic, count),
    )


def _predict(reference: Sample, e: Tensor, seed: int) -> Tensor:
    return metrics.nearest_centroid(reference.e, reference.labels, e, num_classes=len(reference.rows), seed=seed)


def _class_means(images: Sample) -> Tensor:
    count = len(images.rows)
    sums = torch.zeros(count, images.e.shape[1]).index_add_(0, images.labels, images.e)
    return sums / torch.from_numpy(images.counts).float().unsqueeze(1)


def _shared_shift(reference: Sample, query: Sample, synthetic: Sample, steps: int = 100) -> Tensor | None:
    """The shift (d,) of most classes' means: their geometric median, which a minority cannot move far.

    None below `ENOUGH_CLASSES` classes, where no majority can be told.
    """
    natural = (_class_means(reference) + _class_means(query)) / 2
    shifts = _class_means(synthetic) - natural
    shifts = shifts[torch.isfinite(shifts).all(dim=1)]
    if len(shifts) < ENOUGH_CLASSES:
        return None
    middle = shifts.median(dim=0).values
    for _ in range(steps):
        weights = 1 / torch.linalg.vector_norm(shifts - middle, dim=1).clamp_min(1e-9)
        middle = (weights.unsqueeze(1) * shifts).sum(dim=0) / weights.sum()
    return middle


def _shift(reference: Sample, query: Sample, synthetic: Sample, narrowing: Array, distinct: Array) -> Estimates:
    """Distance between the class's natural and synthetic centroids over that between natural classes (the median one).

    Its square is the mean ``codiff`` of synthetic images to the natural centroid, less that of held-out natural
    images or, where the synthetic images spread wider, less that to their own centroid: images are compared with
    images, so that neither a wider set nor one that repeats a natural picture looks shifted by that alone. A set that
    is too narrow may still lie anywhere natural images lie, so the natural images' own variance enters by the share
    of spread that is lacking.
    """
    count, n = len(reference.rows), synthetic.counts
    centres = metrics.centroids(reference.e, reference.labels, count)
    own_centres = metrics.centroids(synthetic.e, synthetic.labels, count)
    far, own = own_codiff(synthetic, centres), own_codiff(synthetic, own_centres)
    natural, other = own_codiff(query, centres), own_codiff(query, own_centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_n, var_n = _moments(natural, query)
        mean_own, _ = _moments(own, synthetic)
        # What both centroids lean towards their own images is taken out.
        mean_own = mean_own * n / (n - 1) + mean_n / reference.counts
        wider = mean_own > mean_n
        mean_s, var_s = _moments(far, synthetic)
        _, var_gap = _moments(far - own, synthetic)
        _, var_back = _moments(natural - other, query)
        narrow = var_s / distinct + var_n / query.counts + narrowing * var_n
        variance = np.where(wider, var_gap / distinct + var_back / query.counts, narrow)
        squared = student(mean_s - np.where(wider, mean_own, mean_n), variance, np.minimum(query.counts, distinct) - 1)
        unit = _between(centres) * np.maximum(1 - mean_n, 0.0)
        return _signed_root(squared.scaled(1 / unit).where(unit > 0))


def _between(centres: Tensor) -> Array:
    """Median ``codiff`` of each class's centroid to those of the other classes."""
    between = 1 - (centres.double() @ centres.double().T).fill_diagonal_(float("nan")).numpy()
    known = [row[np.isfinite(row)] for row in between]
    return np.array([np.median(row) if len(row) else np.nan for row in known])


def _signed_root(squared: Estimates) -> Estimates:
    parts = (squared.value, squared.low, squared.high)
    return Estimates(*(np.sign(part) * np.sqrt(np.abs(part)) for part in parts))


def _moments(values: Tensor, images: Sample) -> tuple[Array, Array]:
    """Mean and variance over the images of each class."""
    count, n = len(images.rows), images.counts
    mean = class_sums(values, images.labels, count) / n
    return mean, np.maximum(class_sums(values**2, images.labels, count) / n - mean**2, 0.0) * n / (n - 1)


def _taken_for(predicted: Tensor, synthetic: Sample, count: int) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for index, rows in enumerate(synthetic.rows):
        votes = torch.bincount(predicted[rows], minlength=count)
        if len(rows):
            votes[index] = 0
        other = int(votes.argmax())
        found.append((other, float(votes[other]) / len(rows)) if len(rows) and votes[other] > 0 else (-1, 0.0))
    return found


@dataclass(frozen=True, slots=True)
class Mixture:
    """A class whose images fall into two clusters, of which one matches the natural images."""

    share_off: float
    """Share of images in the cluster that does not match."""
    apart: float
    """Distance between the clusters' means in standard deviations along the line between them."""
    apart_natural: float
    """The same for natural images cut in two the same way."""


def find_mixture(reference: Tensor, query: Tensor, synthetic: Tensor) -> Mixture | None:
    """Whether one part of a class's images matches the natural ones and another part, a cluster of its own, does not.

    Any set can be cut in two, and the cut halves look apart; so as many natural images are cut the same way, and the
    synthetic cut must be wider by half. None where it is not, or where both parts match, or neither.
    """
    natural = torch.cat([reference, query])
    size = min(len(natural), len(synthetic), CUT_AT_MOST)
    if size < 4:
        return None
    synthetic = evenly(synthetic, size)
    first, apart = _cut(synthetic)
    _, apart_natural = _cut(evenly(natural, size))
    share = float(first.double().mean())
    if apart < 1.5 * apart_natural or min(share, 1 - share) < 0.1:
        return None
    centre = metrics.uvec(reference.mean(dim=0))
    usual = (1 - query @ centre).double()
    limit = float(usual.mean() + 2 * usual.std())
    parts = [float((1 - synthetic[part] @ centre).mean()) for part in (first, ~first)]
    inside = [distance <= limit for distance in parts]
    if inside[0] == inside[1]:
        return None
    return Mixture(1 - share if inside[0] else share, apart, apart_natural)


def _cut(e: Tensor, steps: int = 20) -> tuple[Tensor, float]:
    """Cut vectors in two by 2-means from the first principal direction; the mask of one part, and how far apart."""
    centred = (e - e.mean(dim=0)).double()
    axis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    # An eigenvector's sign is arbitrary: the largest entry decides it, so that the mask is always the same one.
    axis = axis * torch.sign(axis[axis.abs().argmax()])
    part = centred @ axis > 0
    for _ in range(steps):
        if part.all() or not part.any():
            return part, 0.0
        difference_of_means = centred[part].mean(dim=0) - centred[~part].mean(dim=0)
        along = centred @ difference_of_means
        threshold = (along[part].mean() + along[~part].mean()) / 2
        moved = along > threshold
        if torch.equal(moved, part):
            break
        part = moved
    if min(int(part.sum()), int((~part).sum())) < 2:
        return part, 0.0
    along = centred @ (difference_of_means / torch.linalg.vector_norm(difference_of_means).clamp_min(1e-12))
    within = float(torch.sqrt((along[part].var() + along[~part].var()) / 2))
    return part, float(along[part].mean() - along[~part].mean()) / max(within, 1e-12)
