"""Is it a matter of guidance: too alike for too much of it (M reason 2), or not the class for too little?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from synthgap.stages.diagnosis.case import Sample, SweepSet, merged, sample
from synthgap.stages.diagnosis.concept import Concept, measure_concept
from synthgap.stages.diagnosis.diversity import narrowing, spread_ratio
from synthgap.stages.diagnosis.intervals import Estimates, difference

MENDED = 0.25
"""Another guidance must give back this share of the lacking diversity, or accuracy, to be called the cause."""
STEPS = 10
"""Parts that the way from one set's guidance to the next is cut in."""
Point = tuple[float, float, float]
"""Guidance, diversity over natural, accuracy."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One set of the sweep against the same natural images."""

    name: str
    guidance_scale: float
    ratio: Estimates
    gain: Estimates
    """Its diversity over that of the set that is judged."""
    concept: Concept


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a lower guidance gives and takes."""

    guidance_scale: float
    ratio: float
    """Its diversity over that of natural images."""
    accuracy: float
    now: float
    """Accuracy at the present guidance."""
    needed: float
    kept: bool
    """Whether the accuracy that natural images reach is kept."""
    between: bool
    """Whether the figures are read off between two sets."""

    @property
    def words(self) -> str:
        """The trade in a sentence."""
        by = ", read off between the sets of the sweep" if self.between else ""
        gain = f"At guidance {self.guidance_scale:g} diversity is {self.ratio:.2f} of natural and accuracy {self.accuracy:.2f}"
        if self.kept:
            return f"{gain} (now {self.now:.2f}{by})."
        return f"A lower guidance does not mend it with accuracy kept: {gain[0].lower()}{gain[1:]} (now {self.now:.2f}, needed {self.needed:.2f})."


def measure_sweep(
    sets: Sequence[SweepSet], order: Sequence[str], reference: Sample, query: Sample, synthetic: Sample, *, seed: int
) -> list[SweepPoint]:
    """Spread and accuracy of every set of the sweep, in the order of falling guidance."""
    natural, points = merged(reference, query), []
    for item in sorted(sets, key=lambda item: -item.guidance_scale):
        images = sample(item.images, order)
        ratio, every = spread_ratio(natural, images), torch.ones(len(images.e), dtype=torch.bool)
        concept = measure_concept(reference, query, images, narrowing(ratio), every, seed=seed)
        points.append(SweepPoint(item.name, item.guidance_scale, ratio, spread_ratio(synthetic, images), concept))
    return points


def find_remedy(
    index: int, guidance_scale: float, ratio: Estimates, now: Concept, points: Sequence[SweepPoint], *, kept: float
) -> Remedy | None:
    """The lower guidance whose diversity is nearest to natural images', accuracy kept, or else what it would cost.

    Accuracy is kept where it is at least that of natural images, or the present one where that is less, but for
    ``kept``: more than natural images reach is a sign of images too typical, and no loss. Between neighbouring sets
    accuracy and the logarithm of diversity are taken to change evenly with guidance. None where diversity does not
    clearly rise as guidance falls: then guidance is not the cause.
    """
    own, accuracy = ratio.at(index), float(now.accuracy[index])
    needed = float(np.fmin(accuracy, now.baseline[index])) - kept
    mended = (point.ratio.at(index).value - own.value >= MENDED * (1 - own.value) for point in points)
    if not any(point.gain.at(index).low > 1 and enough for point, enough in zip(points, mended, strict=True)):
        return None
    path = [(guidance_scale, own.value, accuracy)]
    path += [(one.guidance_scale, one.ratio.at(index).value, float(one.concept.accuracy[index])) for one in points]
    tried = {one.guidance_scale for one in points}
    steps = [_between(left, right, t) for left, right in pairwise(path) for t in np.linspace(0, 1, STEPS + 1)[1:]]
    offers = [
        Remedy(round(scale, 1), there, accurate, accuracy, needed, accurate >= needed, round(scale, 1) not in tried)
        for scale, there, accurate in steps
        if there - own.value >= MENDED * (1 - own.value)
    ]
    good = [offer for offer in offers if offer.kept]
    return min(good or offers, key=lambda offer: abs(np.log(offer.ratio)), default=None)


@dataclass(frozen=True, slots=True)
class Rise:
    """What a higher guidance gives."""

    guidance_scale: float
    accuracy: float
    now: float
    needed: float
    """Accuracy of natural images."""
    between: bool
    """Whether the figures are read off between two sets."""

    @property
    def words(self) -> str:
        """The gain in a sentence."""
        by = ", read off between the sets of the sweep" if self.between else ""
        return (
            f"At guidance {self.guidance_scale:g} accuracy is {self.accuracy:.2f} (now {self.now:.2f}, natural"
            f" {self.needed:.2f}{by})."
        )


def find_rise(index: int, guidance_scale: float, now: Concept, points: Sequence[SweepPoint]) -> Rise | None:
    """The least higher guidance at which accuracy meets natural images', or the best one where none does.

    ``points`` are the sets at higher guidance. Accuracy, the shift that all classes share taken out, is taken to change
    evenly between neighbouring sets. None where no set clearly gives back `MENDED` of what is lost: then guidance is
    not the cause.
    """
    needed, kept = float(now.baseline[index]), float(now.kept.value[index])
    gains = [difference(point.concept.kept, now.kept).at(index) for point in points]
    if not any(gain.low > 0 and gain.value >= MENDED * (needed - kept) for gain in gains):
        return None
    path = [(guidance_scale, kept)]
    path += sorted((point.guidance_scale, float(point.concept.kept.value[index])) for point in points)
    steps = [
        tuple(left[at] + t * (right[at] - left[at]) for at in (0, 1))
        for left, right in pairwise(path)
        for t in np.linspace(0, 1, STEPS + 1)[1:]
    ]
    scale, accuracy = next((step for step in steps if step[1] >= needed), max(steps, key=lambda step: step[1]))
    scale = round(scale, 1)
    return Rise(scale, accuracy, path[0][1], needed, scale not in {point.guidance_scale for point in points})


def _between(left: Point, right: Point, t: float) -> Point:
    scale, accuracy = (left[at] + t * (right[at] - left[at]) for at in (0, 2))
    return scale, float(np.exp((1 - t) * np.log(left[1]) + t * np.log(right[1]))), accuracy
