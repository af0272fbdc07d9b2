"""Precision, recall, density and coverage, class by class: a synthetic frog covers no natural cat."""

from __future__ import annotations

from torch import Tensor

from synthgap import metrics
from synthgap.core.counting import counted
from synthgap.core.records import Measurement
from synthgap.metrics.support_overlap import stacked_support_overlap
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.within import few, members, per_image


def measure_overlap(pair: Pair) -> list[Measurement]:
    """How far the regions of the query set's classes overlap those of the reference set's; on unit vectors.

    The set's figure is the mean over all images. ``n`` counts the images that the figure is a mean over: those of the
    query set for precision and density, those of the reference set for recall and coverage.
    """
    k = pair.spec.overlap_k
    values: dict[str, list[tuple[int, Tensor]]] = {name: [] for name in ("precision", "recall", "density", "coverage")}
    alone = list(pair.stacks.alone)
    for stack in pair.stacks:
        found = stacked_support_overlap(stack, k=k)
        sizes = [size.tolist() for size in stack.sizes]
        for place, index in enumerate(stack.classes):
            if not bool(found.sound[place]):
                alone.append(index)
                continue
            n, m = sizes[0][place], sizes[1][place]
            parts = (
                found.precise[place, :m],
                found.recalled[place, :n],
                found.balls[place, :m],
                found.covered[place, :n],
            )
            for of, part in zip(values.values(), parts, strict=True):
                of.append((index, part))
    for index in alone:
        a, b = (few(pair, e) for e in members(pair, index, pair.units))
        one = metrics.support_overlap(natural=a, synthetic=b, k=k)
        for of, part in zip(values.values(), (one.precise, one.recalled, one.balls, one.covered), strict=True):
            of.append((index, part))
    why = f"{k} neighbours need more than {counted(k, 'image')} of the class in each set"
    return [row for metric, images in values.items() for row in per_image(pair, metric, images, why)]
