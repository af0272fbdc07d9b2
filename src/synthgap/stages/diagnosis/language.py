"""What the words say: do the prompts, as references, find natural and synthetic images; which sense is drawn? (M reason 4)

Prompts and images lie in different regions of the space (M 4), so an image is only ever asked which of several texts
is nearest, never how near it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from synthgap import metrics
from synthgap.core.records import ClassEntry
from synthgap.stages.diagnosis.case import Sample, class_sums
from synthgap.stages.diagnosis.intervals import Array, Estimate, Estimates, difference, wilson


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
    leaning: Array
    """Where the prompt lies on the way from the natural (0) to the synthetic centroid (1), the modality gap taken out."""


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
    for images in (natural, synthetic):
        nearest = metrics.nearest_centroid(prompts.e, prompts.labels, images.e, num_classes=count, seed=seed)
        found.append(wilson(class_sums(nearest == images.labels, images.labels, count), images.counts))
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
    )


def _leaning(prompts: Sample, natural: Sample, synthetic: Sample) -> Array:
    """The gap is the median over the classes of what lies between prompt and natural images."""
    means = []
    for images in (prompts, natural, synthetic):
        middle = [images.of(index).double().mean(dim=0) for index in range(len(images.rows))]
        means.append(torch.stack(middle).numpy())
    apart, moved = means[0] - means[1], means[2] - means[1]
    apart = apart - np.nanmedian(apart, axis=0)
    moved = moved - np.nanmedian(moved, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        leaning: Array = (apart * moved).sum(axis=1) / (moved**2).sum(axis=1)
    return leaning


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
