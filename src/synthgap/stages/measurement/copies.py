"""Copies: images of a class that are almost the same, and synthetic ones that are almost a natural one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.metrics.memorisation import stacked_memorisation
from synthgap.metrics.near_duplicates import stacked_near_duplicates
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.within import few, members, per_image

OPPOSITE = -1 + 1e-9
"""Cosine of two images as unlike as can be, but for rounding: nothing is less alike than such a threshold."""

WHY = "the reference set has fewer than two images of the class"


def measure_copies(pair: Pair) -> list[Measurement]:
    """Share of near duplicates among the query set's images, and share of them that are near a reference image.

    What counts as near is told by the reference set, class by class: the cosine that ``spec.copy_level`` of its images
    do not exceed with their nearest other image. New natural images would therefore give ``1 - copy_level`` for
    ``memorised_share``; for ``near_duplicate_share`` the baseline tells.
    """
    near: list[tuple[int, Tensor]] = []
    alike: list[tuple[int, Tensor]] = []
    for stack in pair.stacks:
        thresholds, copied = stacked_memorisation(stack, level=pair.spec.copy_level)
        grouped = stacked_near_duplicates(stack, 1, thresholds.clamp_max(1.0))
        for place, (index, size) in enumerate(zip(stack.classes, stack.sizes[1].tolist(), strict=True)):
            near.append((index, copied[place, :size].double()))
            if float(thresholds[place]) > OPPOSITE:
                alike.append((index, grouped[place, :size].double()))
    for index in pair.stacks.alone:
        a, b = (few(pair, e) for e in members(pair, index, pair.units))
        found = metrics.memorisation(natural=a, synthetic=b, level=pair.spec.copy_level)
        near.append((index, found.near))
        if math.isfinite(found.threshold) and found.threshold > OPPOSITE:
            groups = metrics.near_duplicates(b, threshold=min(1.0, found.threshold), most_pairs=0).groups
            sizes = torch.bincount(groups, minlength=len(b))
            alike.append((index, (sizes[groups] > 1).double()))
    return [*per_image(pair, "memorised_share", near, WHY), *per_image(pair, "near_duplicate_share", alike, WHY)]
