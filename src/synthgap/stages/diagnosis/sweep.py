"""Is the lack of diversity a matter of guidance? (M reason 2: adherence to the prompt)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgap.stages.diagnosis.case import Sample, SweepSet, sample
from synthgap.stages.diagnosis.concept import Concept, measure_concept
from synthgap.stages.diagnosis.diversity import spread_ratio
from synthgap.stages.diagnosis.intervals import Estimates

MENDED = 0.25
"""A lower guidance must give back this share of the lacking diversity to be called the cause."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One set of the sweep against the same natural images."""

    name: str
    guidance_scale: float
    ratio: Estimates
    concept: Concept


@dataclass(frozen=True, slots=True)
class Remedy:
    """The guidance to draw a class at."""

    guidance_scale: float
    ratio: float
    """Its diversity over that of natural images."""
    accuracy: float


def measure_sweep(
    sets: Sequence[SweepSet], order: Sequence[str], reference: Sample, query: Sample, natural: Sample, *, seed: int
) -> list[SweepPoint]:
    """Spread and accuracy of every set of the sweep, in the order of falling guidance."""
    points = []
    for item in sorted(sets, key=lambda item: -item.guidance_scale):
        images = sample(item.images, order)
        ratio = spread_ratio(natural, images)
        lacking = np.clip(1 - np.sqrt(np.nan_to_num(ratio.value, nan=1.0)), 0.0, 1.0)
        concept = measure_concept(reference, query, images, lacking, np.maximum(images.counts, 1.0), seed=seed)
        points.append(SweepPoint(item.name, item.guidance_scale, ratio, concept))
    return points


def find_remedy(
    index: int, guidance_scale: float, ratio: Estimates, accuracy: float, points: Sequence[SweepPoint], *, kept: float
) -> Remedy | None:
    """The guidance below the present one whose diversity is nearest to natural images', accuracy kept.

    ``kept`` is the loss of accuracy that is allowed. None where diversity does not clearly rise as guidance falls, or
    where it rises only at the cost of accuracy: then guidance is not what to change.
    """
    own, spread = ratio.at(index), []
    for point in points:
        there = point.ratio.at(index)
        rises = there.low > own.high and there.value - own.value >= MENDED * (1 - own.value)
        keeps = point.concept.accuracy[index] >= accuracy - kept
        if point.guidance_scale < guidance_scale and rises and keeps:
            spread.append(Remedy(point.guidance_scale, there.value, float(point.concept.accuracy[index])))
    return min(spread, key=lambda remedy: abs(np.log(remedy.ratio))) if spread else None
