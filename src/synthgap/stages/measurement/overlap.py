"""Precision, recall, density and coverage, class by class: a synthetic frog covers no natural cat."""

from __future__ import annotations

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.within import by_class, per_image


def measure_overlap(pair: Pair) -> list[Measurement]:
    """How far the regions of the query set's classes overlap those of the reference set's; on unit vectors.

    The set's figure is the mean over all images. ``n`` counts the images that the figure is a mean over: those of the
    query set for precision and density, those of the reference set for recall and coverage.
    """
    k = pair.spec.overlap_k
    found = [(index, metrics.support_overlap(natural=a, synthetic=b, k=k)) for index, a, b in by_class(pair)]
    values = {
        "precision": [(index, one.precise) for index, one in found],
        "recall": [(index, one.recalled) for index, one in found],
        "density": [(index, one.balls) for index, one in found],
        "coverage": [(index, one.covered) for index, one in found],
    }
    why = f"{k} neighbours need more than {k} images of the class in each set"
    return [row for metric, images in values.items() for row in per_image(pair, metric, images, why)]
