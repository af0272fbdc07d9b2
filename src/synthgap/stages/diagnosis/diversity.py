"""Does a class of the synthetic set spread as natural images do? (M reasons 2 and 3)

Three signs, each as a share of what natural images have, so that no constant belongs to an encoder:
the spread around the own centroid, the natural images that have a synthetic one near, and the images that are not
copies of an earlier one. The shift between the sets does not enter: each set is centred first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthgap import metrics
from synthgap.stages.diagnosis.case import Sample, class_sums, evenly, own_codiff
from synthgap.stages.diagnosis.intervals import (
    Array,
    Estimates,
    Z,
    difference,
    student,
    wilson,
)

NEIGHBOURS = 5
"""The ball of a natural image reaches to its fifth natural neighbour."""
PAIRS_AT_MOST = 500
"""Images per class that enter pairwise comparisons, so that a class of thousands stays cheap."""
PRIOR_IMAGES = 10
"""What the other classes tell of a class's variance weighs as much as so many images of its own."""
COPIES_AT_MOST = 2000
"""Images per class among which near copies are looked for."""
COPY = 0.02
"""Nearer than this share of the natural images' median nearest-neighbour distance, an image is a copy."""
VARIED = 1 / 3
"""Nearer than this share of that distance, or of the width of its own set, an image is a variation of another."""
WIDTH = 0.9
"""The width of a set is this quantile of the distances between its images: a few far ones are enough."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """The signs per class, shapes (c,)."""

    ratio: Estimates
    """Centroid distance over that of natural images, both corrected for the number of images."""
    coverage: Estimates
    """Share of natural images that lose their near neighbour when natural is replaced by synthetic, relative."""
    covered: Array
    """Share of natural images with a synthetic one in their ball."""
    covered_baseline: Array
    """The same with as many other natural images."""
    copies: Estimates
    """Share of images that copy an earlier one, minus that share among natural images."""
    varied: Estimates
    """The same for variations of an earlier one, copies among them."""
    distinct: Array
    """Images that are no copy."""
    single: Tensor
    """Synthetic images that are no variation of an earlier one, bool (n,)."""


def measure_diversity(reference: Sample, query: Sample, natural: Sample, synthetic: Sample) -> Diversity:
    """Measure the signs of every class; ``natural`` is ``reference`` and ``query`` together."""
    count = len(synthetic.rows)
    copied_s, copied_n, varied_s, varied_n = (np.zeros(count) for _ in range(4))
    single = torch.ones(len(synthetic.e), dtype=torch.bool)
    lost = np.full((count, 4), np.nan)
    for index in range(count):
        near = _neighbour_scale(natural.of(index))
        copied_s[index], copied_n[index] = (_copied(images.of(index), near) for images in (synthetic, natural))
        again = _varied(synthetic.of(index), near)
        single[synthetic.rows[index]] = ~again
        varied_s[index], varied_n[index] = int(again.sum()), int(_varied(natural.of(index), near).sum())
        lost[index] = _coverage(reference.of(index), query.of(index), synthetic.of(index))
    copies, varied = (
        difference(wilson(of_s, synthetic.counts), wilson(of_n, natural.counts))
        for of_s, of_n in ((copied_s, copied_n), (varied_s, varied_n))
    )
    distinct = np.maximum(synthetic.counts - copied_s, 1.0)
    return Diversity(
        ratio=spread_ratio(
            natural, synthetic, np.maximum(synthetic.counts - varied_s, 1.0), _inflation(reference, query)
        ),
        coverage=student(lost[:, 0], lost[:, 1], np.full(count, np.inf)),
        covered=lost[:, 2],
        covered_baseline=lost[:, 3],
        copies=copies,
        varied=varied,
        distinct=distinct,
        single=single,
    )


def spread_ratio(
    natural: Sample, synthetic: Sample, distinct: Array | None = None, inflation: float = 1.0
) -> Estimates:
    """Centroid distance of synthetic over natural per class, with an interval on the logarithm.

    A centroid taken from n images lies nearer to them than the true one by (n - 1) / n, so a small set would look
    less diverse; both are corrected. ``distinct`` is the number of synthetic images that are no copies;
    ``inflation`` widens the interval where natural halves differ by more than chance allows.
    """
    log_s, var_s = _log_spread(synthetic, synthetic.counts if distinct is None else distinct)
    log_n, var_n = _log_spread(natural, natural.counts)
    freedom = np.minimum(natural.counts, synthetic.counts if distinct is None else distinct) - 1
    inside = student(log_s - log_n, inflation**2 * (var_s + var_n), freedom)
    with np.errstate(over="ignore"):
        return Estimates(np.exp(inside.value), np.exp(inside.low), np.exp(inside.high))


def narrowing(ratio: Estimates) -> Array:
    """The share of the natural images' spread that a set lacks for certain, in [0, 1]; ``ratio`` is of squares."""
    lacking: Array = np.clip(1 - np.sqrt(np.nan_to_num(ratio.high, nan=1.0)), 0.0, 1.0)
    return lacking


def _log_spread(images: Sample, independent: Array) -> tuple[Array, Array]:
    """Logarithm of the corrected centroid distance per class, and the variance of that estimate (delta method)."""
    count = len(images.rows)
    centres = metrics.centroids(images.e, images.labels, count)
    squared = own_codiff(images, centres) ** 2
    n = images.counts
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = class_sums(squared, images.labels, count) / n
        variance = np.maximum(class_sums(squared**2, images.labels, count) / n - mean**2, 0) * n / (n - 1)
        corrected = np.maximum(mean, 1e-300) * (n / (n - 1)) ** 2
        relative = _steadied(variance / np.maximum(mean, 1e-300) ** 2, n)
        return np.log(corrected), np.where(n >= 2, relative / np.maximum(independent, 1), np.nan)


def _steadied(relative: Array, n: Array) -> Array:
    """Relative variance per image, drawn towards the middle class's as far as a class is too small to tell its own.

    Of two images both are equally far from their centroid, which looks like certainty. The own part is taken at the
    upper end of what chance allows, by the usual 1 / sqrt(2 n) of a standard deviation.
    """
    enough = relative[(n >= PRIOR_IMAGES) & np.isfinite(relative)]
    middle = float(np.median(enough)) if len(enough) else 1.0
    own = np.nan_to_num(relative) * (1 + 1 / np.sqrt(2 * np.maximum(n, 1))) ** 2
    weight = np.maximum(n - 1, 0) / (np.maximum(n - 1, 0) + PRIOR_IMAGES)
    steadied: Array = weight * own + (1 - weight) * middle
    return steadied


def _inflation(reference: Sample, query: Sample) -> float:
    """How much more the spreads of two natural halves differ than chance allows, at least 1."""
    log_a, var_a = _log_spread(reference, reference.counts)
    log_b, var_b = _log_spread(query, query.counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.abs(log_a - log_b) / np.sqrt(var_a + var_b)
    z = z[np.isfinite(z)]
    # The median of a few |z| wanders; below a handful of classes it says nothing.
    return max(1.0, 1.4826 * float(np.median(z))) if len(z) >= NEIGHBOURS else 1.0


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # In float64: the difference of nearly equal vectors decides what a copy is.
    return torch.cdist(a.double(), b.double())


def _neighbour_scale(natural: Tensor) -> float:
    """Median distance of a natural image to its nearest neighbour; NaN below two images."""
    natural = evenly(natural, PAIRS_AT_MOST)
    if len(natural) < 2:
        return float("nan")
    between = _distances(natural, natural).fill_diagonal_(float("inf"))
    return float(between.min(dim=1).values.median())


def _copied(e: Tensor, near: float) -> float:
    """Number of images that copy an earlier one: exact copies among all, near ones among some."""
    if len(e) < 2 or not np.isfinite(near):
        return 0.0
    exact = len(e) - len(torch.unique(e, dim=0))
    some = evenly(e, COPIES_AT_MOST)
    alike = torch.tril(_distances(some, some) <= COPY * near, diagonal=-1).any(dim=1)
    return max(float(exact), float(alike.double().mean()) * len(e))


def _varied(e: Tensor, near: float) -> Tensor:
    """Which images vary an earlier one, bool (n,); the first of each block of `COPIES_AT_MOST` counts as new.

    A set that is narrow throughout is no variation of one picture: its images are as far apart as its width allows.
    """
    if len(e) < 2 or not np.isfinite(near):
        return torch.zeros(len(e), dtype=torch.bool)
    found = []
    for part in e.split(COPIES_AT_MOST):
        between = _distances(part, part)
        width = float(between.flatten()[:: max(1, between.numel() // 1_000_000)].quantile(WIDTH))
        found.append(torch.tril(between <= VARIED * min(near, width), diagonal=-1).any(dim=1))
    return torch.cat(found)


def _coverage(reference: Tensor, query: Tensor, synthetic: Tensor) -> tuple[float, float, float, float]:
    """Relative loss of coverage with its variance, the coverage, and its baseline of the same size.

    Each set is centred at its own mean, so a shift of the whole class does not count as lost diversity.
    """
    balls, size = evenly(reference, PAIRS_AT_MOST), min(len(query), len(synthetic), PAIRS_AT_MOST)
    if len(balls) <= NEIGHBOURS or size < 2:
        return (float("nan"),) * 4
    query, synthetic = evenly(query, size), evenly(synthetic, size)
    balls, query, synthetic = (part - part.mean(dim=0) for part in (balls, query, synthetic))
    radius = _distances(balls, balls).kthvalue(NEIGHBOURS + 1, dim=1).values
    usual, found = (
        float((_distances(balls, part).min(dim=1).values <= radius).double().mean()) for part in (query, synthetic)
    )
    if usual == 0:
        return float("nan"), float("nan"), found, usual
    # Both the natural images looked at and the images that cover them are a sample.
    variance = (found * (1 - found) + usual * (1 - usual)) * (1 / len(balls) + 1 / size) / usual**2
    floor = (1 / len(balls) / Z) ** 2
    return 1 - found / usual, max(variance, floor), found, usual
