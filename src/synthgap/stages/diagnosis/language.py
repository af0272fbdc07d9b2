"""What the words say: do the prompts, as references, find natural and synthetic images; which sense is drawn? (M reason 4)

Prompts and images lie in different regions of the space (M 4), so an image is only ever asked which of several texts
is nearest, never how near it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import ClassEntry
from synthgap.stages.diagnosis.case import Sample, class_sums
from synthgap.stages.diagnosis.intervals import Array, Estimate, Estimates, difference, spread_around, student, wilson

SAME_PROMPT = 1e-4
"""Prompts of two classes nearer than this, as unit vectors, are the same words: 0 but for rounding."""


@dataclass(frozen=True, slots=True)
class Language:
    """Centroid accuracies with the prompts as references, per class, shapes (c,)."""

    natural: Array
    synthetic: Array
    natural_usual: float
    """Median over the classes."""
    synthetic_usual: float
    miss_natural: Estimates
    """Share of the usual accuracy above chance that natural images of this class lack."""
    miss_synthetic: Estimates
    gap: Estimates
    """How much better the prompts find synthetic than natural images of this class, beyond what is usual."""
    leaning: Estimates
    """Where the prompt lies on the way from the natural (0) to the synthetic centroid (1), the modality gap taken out."""
    twin: list[int]
    """Another class with the very same prompts, which counts as found where this one is; -1 where there is none."""


def measure_language(
    prompts: Sample, natural: Sample, synthetic: Sample, baseline: Array, seed: int
) -> Language | None:
    """Ask the prompts' centroids for every natural and synthetic image.

    ``baseline`` is the centroid accuracy (c,) that natural images reach with natural references: a class that is hard
    even so is not the prompt's fault. None where the prompts find the natural images of the middle class no better
    than chance allows, so that they cannot judge anything.
    """
    count = len(prompts.rows)
    found = []
    same = _same_prompts(prompts)
    first = same.double().argmax(dim=1)
    for images in (natural, synthetic):
        nearest = metrics.nearest_centroid(prompts.e, prompts.labels, images.e, num_classes=count, seed=seed)
        hits = class_sums(first[nearest] == first[images.labels], images.labels, count)
        found.append(wilson(hits, images.counts))
    usual = [float(np.nanmedian(share.value)) for share in found]
    chance = 1 / count
    if not np.nanmedian(found[0].low) > chance:
        return None
    prompted = prompts.counts > 0
    natural_limit = np.fmin(usual[0], baseline)
    gap = difference(found[1], found[0])
    middle = float(np.nanmedian(gap.value))
    return Language(
        natural=found[0].value,
        synthetic=found[1].value,
        natural_usual=usual[0],
        synthetic_usual=usual[1],
        miss_natural=_missing(found[0], natural_limit, chance).where(prompted),
        miss_synthetic=_missing(found[1], np.full(count, usual[1]), chance).where(prompted),
        gap=gap.scaled(1.0, middle).where(prompted),
        leaning=_leaning(prompts, natural, synthetic),
        twin=[
            next((other for other, alike in enumerate(row) if alike and other != at), -1)
            for at, row in enumerate(same.tolist())
        ],
    )


def _same_prompts(prompts: Sample) -> Tensor:
    """Which classes are drawn from the same prompts, bool (c, c), a class without any from its own."""
    count = len(prompts.rows)
    means = torch.stack([prompts.of(index).double().mean(dim=0) for index in range(count)])
    # NaN, of a class without prompts, is near nothing.
    return (torch.cdist(means, means) < SAME_PROMPT) | torch.eye(count, dtype=torch.bool)


def _leaning(prompts: Sample, natural: Sample, synthetic: Sample) -> Estimates:
    """The gap is the median over the classes of what lies between prompt and natural images.

    The interval holds what images of each set vary by along the way (delta method), and what the prompts of the other
    classes scatter by along it: of a prompt itself there is only one.
    """
    means = []
    for images in (prompts, natural, synthetic):
        middle = [images.of(index).double().mean(dim=0) for index in range(len(images.rows))]
        means.append(torch.stack(middle).numpy())
    apart, moved = means[0] - means[1], means[2] - means[1]
    apart = apart - np.nanmedian(apart, axis=0)
    moved = moved - np.nanmedian(moved, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        square = (moved**2).sum(axis=1, keepdims=True)
        value = (apart * moved).sum(axis=1) / square[:, 0]
        by_natural, by_synthetic = (
            (2 * value[:, None] * moved - apart - moved) / square,
            (apart - 2 * value[:, None] * moved) / square,
        )
        along = apart @ (moved / square).T  # (c, c): the prompt of each class along the way of each
    variance = _variance(by_natural, natural) + _variance(by_synthetic, synthetic)
    np.fill_diagonal(along, np.nan)
    variance += np.array([spread_around(column, 0.0) ** 2 for column in along.T])
    return student(value, variance, np.full(len(value), np.inf))


def _variance(gradient: Array, images: Sample) -> Array:
    """Variance of a figure with this gradient (c, d) in each class's mean, float64 (c,)."""
    found = [
        float((images.of(index).double() @ torch.from_numpy(row)).var(correction=0)) / max(1, len(rows) - 1)
        for index, (row, rows) in enumerate(zip(gradient, images.rows, strict=True))
    ]
    return np.array(found)


def _missing(share: Estimates, usual: Array, chance: float) -> Estimates:
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = 1 / (usual - chance)
        lacking = [(usual - part) * scale for part in (share.value, share.high, share.low)]
    return Estimates(*lacking).where(usual > chance)


@dataclass(frozen=True, slots=True)
class OtherSense:
    """The sense that synthetic images are nearest to, where it is not the class's own."""

    sense: str
    share: float
    """Of the synthetic images, the share nearest to another sense than the class's own."""
    share_natural: float
    more: Estimate
    """The difference of the two."""


def find_other_sense(
    natural: torch.Tensor, synthetic: torch.Tensor, senses: Sequence[tuple[str, np.ndarray]]
) -> OtherSense | None:
    """Whether more synthetic than natural images lie nearer to another sense's text than to the class's own.

    ``senses`` holds each sense in words with its text embedding, the class's own first. None for fewer than two.
    """
    if len(senses) < 2 or not len(natural) or not len(synthetic):
        return None
    texts = torch.from_numpy(np.stack([np.asarray(text, dtype=np.float32) for _, text in senses]))
    order = torch.arange(len(senses))
    votes = []
    for images in (natural, synthetic):
        nearest = metrics.nearest_centroid(texts, order, images, num_classes=len(senses), seed=0)
        votes.append(torch.bincount(nearest, minlength=len(senses)).double().numpy())
    shares = [wilson(np.array([vote[1:].sum()]), np.array([vote.sum()])) for vote in votes]
    more = difference(shares[1], shares[0]).at(0)
    # Named is the sense that the synthetic images gained, not the one that texts of this encoder favour anyway.
    gained = votes[1][1:] / votes[1].sum() - votes[0][1:] / votes[0].sum()
    sense = senses[1 + int(gained.argmax())][0]
    return OtherSense(sense, float(shares[1].value[0]), float(shares[0].value[0]), more)


def other_sense_class(key: str, taken_for: str, senses: Mapping[str, Sequence[ClassEntry]]) -> str | None:
    """Words of the sense of this class's name that is another class of the list, if images are taken for that one."""
    for entry in senses.get(key, ()):
        if entry.class_key == taken_for != key:
            return f"{entry.name}: {entry.definition}" if entry.definition else entry.name
    return None
