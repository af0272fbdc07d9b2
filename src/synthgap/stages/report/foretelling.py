"""Which figure of the comparison goes along with what networks lose, class by class: Spearman's rank correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, t

from synthgap.core.records import OVERALL
from synthgap.stages.report import formats
from synthgap.stages.report.definitions import BEYOND, HEADLINE
from synthgap.stages.report.figures import Figures, as_float
from synthgap.stages.report.sets import SetView
from synthgap.stages.report.tables import Row

LEAST = 5
"""Classes that a rank correlation needs to be shown at all."""
SHOWN = 6
RELATIVE = {"centroid_accuracy", "knn_accuracy@1", "knn_accuracy@5", "centroid_distance", "vendi_score"}
"""Taken as a share of what natural images of the class have; more is nearer to natural."""


@dataclass(frozen=True, slots=True)
class Foretold:
    """One figure: its correlation with the loss in each set."""

    name: str
    label: str
    values: list[tuple[str, bool]]
    """Text, and whether it is further from 0 than chance alone brings one figure in twenty."""
    mean: str


@dataclass(frozen=True, slots=True)
class Foretelling:
    """The table, the figure that goes along best first."""

    sets: list[SetView]
    rows: list[Foretold]
    measures: int
    """That were asked; the best of many is partly luck."""
    classes: int
    level: str
    """Correlation that chance alone exceeds once in twenty."""


def foretelling(rows: Sequence[Row], figures: Figures, sets: Mapping[str, SetView]) -> Foretelling | None:
    """Correlate each figure of a class with what networks of that set lose against networks of natural images.

    Both are asked on natural images. Signs are turned so that 1 means: the more this figure says that a class is far
    from natural, the more is lost. None where fewer than `LEAST` classes have both.

    Args:
        rows: of ``matrix.parquet``, top-1 by class.
        figures: of the run.
        sets: of the run.
    """
    natural = figures.natural
    accuracy = {
        (str(row["train_set"]), str(row["class_key"])): as_float(row["value"])
        for row in rows
        if str(row["test_set"]) == natural and row["class_key"] != OVERALL
    }
    trained = [
        view for view in sets.values() if view.name != natural and any(name == view.name for name, _ in accuracy)
    ]
    keys = {key: name if (natural, name) in accuracy else key for key, name in figures.names.items()}
    losses = {
        view.name: np.array(
            [
                accuracy.get((natural, name), math.nan) - accuracy.get((view.name, name), math.nan)
                for name in keys.values()
            ]
        )
        for view in trained
    }
    known = min((int(np.isfinite(loss).sum()) for loss in losses.values()), default=0)
    if known < LEAST:
        return None
    found = []
    asked = [one for one in (*HEADLINE, *BEYOND) if one.better != "near" or one.name in RELATIVE]
    for definition in asked:
        sign = 1 if definition.better == "lower" else -1
        values = [
            _spearman(sign * _by_class(definition.name, figures, view.name, list(keys)), losses[view.name])
            for view in trained
        ]
        if any(map(math.isfinite, values)):
            found.append((float(np.nanmean(values)), definition, values))
    found.sort(key=lambda one: -one[0])
    level = _level(known)
    shown = [
        Foretold(
            definition.name,
            definition.label,
            [(_signed(value), math.isfinite(value) and abs(value) > level) for value in values],
            _signed(mean),
        )
        for mean, definition, values in found[:SHOWN]
    ]
    return Foretelling(trained, shown, len(found), known, f"{level:.2f}") if shown else None


def _by_class(metric: str, figures: Figures, name: str, keys: Sequence[str]) -> np.ndarray:
    values = np.array([figures.of(metric, name, key).value for key in keys])
    if metric in RELATIVE:
        values = values / np.array([figures.baseline(metric, key).value or math.nan for key in keys])
    return values


def _spearman(left: np.ndarray, right: np.ndarray) -> float:
    both = np.isfinite(left) & np.isfinite(right)
    if both.sum() < LEAST:
        return math.nan
    ranks = rankdata(left[both]), rankdata(right[both])
    if any(np.ptp(one) == 0 for one in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def _level(classes: int) -> float:
    """Correlation whose t statistic is at the two-sided 5 % point.

    >>> round(_level(10), 3)
    0.632
    """
    point = float(t.ppf(0.975, classes - 2))
    return point / math.sqrt(classes - 2 + point * point)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else formats.NOTHING
