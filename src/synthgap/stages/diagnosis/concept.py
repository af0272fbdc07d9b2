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
from synthgap.stages.diagnosis.case import Sample, class_sums, evenly, merged, own_codiff
from synthgap.stages.diagnosis.intervals import (
    Array,
    Estimates,
    Z,
    difference,
    lower_median,
    spread_around,
    student,
    wilson,
)

ENOUGH_CLASSES = 5
"""From this many classes on, a shift that all share is told from the fault of one."""
LOOKED_AT = 1000
"""Images of a class whose directions are looked at."""
BEYOND = 0.95
"""Natural images nearer to their centroid than this quantile are the inner ones."""
ALIGNED = 0.25
"""From this alignment on, images lie on one side of the natural ones."""
SAME = 0.35
"""Images less than this part of the way between classes off a class show that class."""
OUTLIER = 3.0
"""Robust standard deviations beyond the other classes' shift."""


@dataclass(frozen=True, slots=True)
class Concept:
    """The signs per class, shapes (c,)."""

    accuracy: Array
    """Centroid accuracy of the synthetic images, references natural."""
    kept: Estimates
    """The same once the shift that all classes share is taken out, where that is more."""
    baseline: Array
    """The same for natural images that are no references."""
    loss: Estimates
    """Share of the natural accuracy above chance that is lost even then."""
    shift: Estimates
    """How far the class has moved, of the way to another class, beyond what the other classes have moved."""
    outlying: NDArray[np.bool_]
    """Whether that is outside the spread of the other classes."""
    astray: Estimates
    """Share of the images that lie beyond the natural ones, all on one side, beyond what is usual."""
    taken_for: list[tuple[int, float]]
    """The other class that most images lie nearest to, with the share; (-1, 0) where there is none."""
    shows: list[int]
    """That class where these images lie as its natural images do, else -1."""
    to_middle: Array
    """Of the squared shift that is the class's own, the share that points to the middle of all natural classes."""


def measure_concept(
    reference: Sample, query: Sample, synthetic: Sample, narrowing: Array, single: Tensor, *, seed: int
) -> Concept:
    """Measure the signs of every class.

    Args:
        reference: Natural images that the centroids are taken from.
        query: Other natural images, for the baseline.
        synthetic: The images to judge.
        narrowing: Per class, the share of natural spread that the synthetic images lack for certain, in [0, 1].
        single: Which synthetic images are no variation of an earlier one (n,): one picture is one piece of evidence.
        seed: Draws ties between centroids.
    """
    count = len(reference.rows)
    predicted = _predict(reference, synthetic.e, seed)
    hits = class_sums(predicted == synthetic.labels, synthetic.labels, count)
    usual_hits = class_sums(_predict(reference, query.e, seed) == query.labels, query.labels, count)
    images, told = synthetic.only(single), predicted[single]
    moved_back, kept_hits = images, class_sums(told == images.labels, images.labels, count)
    shared = _shared_shift(reference, query, images)
    if shared is not None:
        moved_back = replace(images, e=metrics.uvec(images.e - shared))
        back = _predict(reference, moved_back.e, seed)
        kept_hits = np.maximum(kept_hits, class_sums(back == images.labels, images.labels, count))
    baseline = wilson(usual_hits, query.counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = wilson(kept_hits, images.counts)
        loss = difference(baseline, kept).scaled(1 / (baseline.value - 1 / count)).where(baseline.low > 1 / count)
        accuracy = hits / synthetic.counts
    shift, outlying = _unusual(_squared_shift(reference, query, moved_back, narrowing))
    taken_for = _taken_for(predicted, synthetic, count)
    return Concept(
        accuracy=accuracy,
        kept=kept,
        baseline=baseline.value,
        loss=loss,
        shift=shift,
        outlying=outlying,
        astray=_astray(merged(reference, query), moved_back),
        taken_for=taken_for,
        shows=[_shows(reference, moved_back, index, other, seed) for index, (other, _) in enumerate(taken_for)],
        to_middle=_to_middle(merged(reference, query), moved_back),
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


def _squared_shift(reference: Sample, query: Sample, synthetic: Sample, narrowing: Array) -> Estimates:
    """Squared distance of the class's natural and synthetic centroids over that between natural classes (the median one).

    It is the mean ``codiff`` of synthetic images to the natural centroid less that to their own: images are compared
    with images, so that a wider set does not look shifted by that alone. A set that is certainly too narrow may lie
    anywhere natural images lie; there the mean ``codiff`` of natural images is taken off, and their own variance
    enters by the share of spread that is lacking.
    """
    natural, n = merged(reference, query), synthetic.counts
    count, whole = len(natural.rows), natural.counts
    centres, all_centres = (metrics.centroids(part.e, part.labels, count) for part in (reference, natural))
    own_centres = metrics.centroids(synthetic.e, synthetic.labels, count)
    far, own = own_codiff(synthetic, all_centres), own_codiff(synthetic, own_centres)
    near, back = own_codiff(natural, all_centres), own_codiff(natural, own_centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_s, _ = _moments(far, synthetic)
        mean_own, _ = _moments(own, synthetic)
        mean_near, _ = _moments(near, natural)
        # What both centroids lean towards their own images is taken out.
        lean_s, lean_n = mean_own / (n - 1), mean_near / (whole - 1)
        # Of two centroids that are the same even the difference wanders: by its trace, squared.
        wander = 2 * (lean_s + lean_n) ** 2 / _directions(natural, synthetic)
        variance = _moments(far - own, synthetic)[1] / n + _moments(back - near, natural)[1] / whole + wander
        value = mean_s - mean_own - lean_s - lean_n
        mean_n, var_n = _moments(own_codiff(query, centres), query)
        mean_r, var_r = _moments(own_codiff(synthetic, centres), synthetic)
        narrower = (narrowing > 0) & (mean_r < mean_n + value)
        variance = np.where(narrower, var_r / n + (1 / query.counts + narrowing) * var_n, variance)
        freedom = np.where(narrower, np.minimum(query.counts, n), np.minimum(whole, n)) - 1
        squared = student(np.where(narrower, mean_r - mean_n, value), variance, freedom)
        unit = _between(centres) * np.maximum(1 - mean_n, 0.0)
        return squared.scaled(1 / unit).where(unit > 0)


def _directions(natural: Sample, synthetic: Sample) -> Array:
    """In how many directions the images of a class spread: trace squared over the trace of the square, at least 1."""
    found = []
    for index in range(len(natural.rows)):
        parts = [evenly(images.of(index), LOOKED_AT).double() for images in (natural, synthetic)]
        e = torch.cat([part - part.mean(dim=0) for part in parts if len(part) > 1] or [torch.ones(1, 1)])
        gram = e @ e.T
        trace = gram.diagonal().mean()
        square = (gram.fill_diagonal_(0.0) ** 2).sum() / max(1, len(e) * (len(e) - 1))
        found.append(float(trace**2 / square) if square > 0 else 1.0)
    directions: Array = np.maximum(np.array(found), 1.0)
    return directions


def _unusual(squared: Estimates) -> tuple[Estimates, NDArray[np.bool_]]:
    """The shift beyond what is usual, and whether it is outside what the other classes have moved by."""
    usual = _usual(squared)
    return _signed_root(squared).scaled(1.0, usual**0.5), _outlying(squared, usual)


def _usual(found: Estimates) -> float:
    return max(0.0, lower_median(found.value))


def _outlying(found: Estimates, usual: float) -> NDArray[np.bool_]:
    """Outside the spread of the classes, less the part of it that chance makes; below `ENOUGH_CLASSES` none is known."""
    if len(found.value) < ENOUGH_CLASSES:
        return np.asarray(found.value > usual)
    chance = float(np.nanmedian((found.high - found.low) / (2 * Z)))
    apart = max(0.0, spread_around(found.value, usual) ** 2 - chance**2) ** 0.5
    return np.asarray(found.value - usual > OUTLIER * apart)


def _astray(natural: Sample, synthetic: Sample) -> Estimates:
    """The share of images that lie beyond the natural ones on one side, less that of natural images and the usual one.

    Beyond is further from the natural centroid than `BEYOND` of the natural images, each measured without itself.
    NaN where they lie beyond on all sides, as those of a set that is only wider, or no more than in other classes.
    """
    count = len(natural.rows)
    out_s, out_n, one_sided = np.zeros(count), np.zeros(count), np.zeros(count, dtype=bool)
    for index in range(count):
        inside, found = natural.of(index).double(), synthetic.of(index).double()
        if len(inside) < 3 or not len(found):
            continue
        total = inside.sum(dim=0)
        distance = 1 - (inside * metrics.uvec(total - inside)).sum(dim=1)
        limit = distance.quantile(BEYOND)
        centre = metrics.uvec(total)
        beyond = found[1 - found @ centre > limit] - centre
        out_s[index], out_n[index] = len(beyond), int((distance > limit).sum())
        one_sided[index] = len(beyond) > 1 and _alignment(beyond) > ALIGNED
    more = difference(wilson(out_s, synthetic.counts), wilson(out_n, natural.counts))
    usual = _usual(more) if count >= ENOUGH_CLASSES else 0.0
    return more.scaled(1.0, usual).where(one_sided & _outlying(more, usual))


def _to_middle(natural: Sample, synthetic: Sample) -> Array:
    """The share of each class's squared shift that points to the middle of all natural classes; NaN for no shift.

    Images that lose their class for none in particular end up there; another concept lies off that line, as far from
    the middle as classes do. NaN below `ENOUGH_CLASSES`, where the middle is hardly off the line to any other class.
    """
    means, own = (_class_means(images).double() for images in (natural, synthetic))
    if len(means) < ENOUGH_CLASSES:
        return np.full(len(means), np.nan)
    # What two means of the same images would be apart by chance is taken out.
    chance = torch.stack([_chance(images) for images in (natural, synthetic)]).sum(dim=0)
    shift, way = own - means, means.mean(dim=0) - means
    along = (shift * way).sum(dim=1) / torch.linalg.vector_norm(way, dim=1)
    square = (shift**2).sum(dim=1) - chance
    share: Array = (along.clamp_min(0) ** 2 / square).where(square > 0, torch.nan).numpy()
    return share


def _chance(images: Sample) -> Tensor:
    """Expected squared distance of each class's mean from the true one, float64 (c,)."""
    return torch.stack(
        [
            e.double().var(dim=0, correction=0).sum() / max(1, len(e) - 1)
            for e in map(images.of, range(len(images.rows)))
        ]
    )


def _alignment(e: Tensor) -> float:
    """Mean inner product of two different vectors over the mean square of one: 0 on all sides, 1 for one direction."""
    n, square = len(e), float((e**2).sum())
    return (float((e.sum(dim=0) ** 2).sum()) - square) / ((n - 1) * square) if square > 0 else 0.0


def _shows(reference: Sample, synthetic: Sample, index: int, other: int, seed: int) -> int:
    """The class ``other`` if the images taken for it lie less than `SAME` of the way off its own, else -1."""
    if other < 0:
        return -1
    own = synthetic.of(index)
    taken = own[_predict(reference, own, seed) == other].double() if len(own) else own
    if len(taken) < 2:
        return -1
    centres = metrics.centroids(reference.e, reference.labels, len(reference.rows))
    middle = metrics.uvec(taken.mean(dim=0))
    lean = float((1 - taken @ middle).mean()) / (len(taken) - 1)
    squared = float(1 - middle @ centres[other].double()) - lean
    return other if squared < SAME**2 * float(_between(centres)[other]) else -1


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
