"""What a classifier learns from each set, and how much of the error is shift and how much diversity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from synthgap.core.records import OVERALL
from synthgap.stages.report import formats
from synthgap.stages.report.figures import Figure, Figures, figure
from synthgap.stages.report.headline import Mark, mark
from synthgap.stages.report.sets import SetView
from synthgap.stages.report.tables import RunTables


@dataclass(frozen=True, slots=True)
class Lesson:
    """Accuracy of a classifier trained on one set."""

    name: str
    style: str
    value: str
    interval: str
    size: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Learning:
    """The accuracies on one test set, the natural classifier first, then the best."""

    test_set: str
    lessons: list[Lesson]
    chance: float
    """Accuracy of guessing, in percent; 0 when the number of classes is not known."""


@dataclass(frozen=True, slots=True)
class ErrorShares:
    """The error of one set, taken apart."""

    set: SetView
    total: str
    diversity: str
    shift: str
    diversity_width: float
    shift_width: float
    negative: bool
    """The shift part came out below zero: own centroids misplace more images than the prompts do."""


def learning(tables: RunTables, figures: Figures, sets: Mapping[str, SetView]) -> list[Learning]:
    """One chart per test set, the natural one first."""
    rows = [(row, figure(row)) for row in tables["classifier"] if row["class_key"] == OVERALL]
    tests = sorted({str(row["test_set"]) for row, _ in rows}, key=lambda name: (name != figures.natural, name))
    chance = round(100 / len(figures.names), 2) if figures.names else 0.0
    charts = []
    for test in tests:
        here = [(str(row["train_set"]), found) for row, found in rows if str(row["test_set"]) == test]
        here.sort(
            key=lambda item: (item[0] != figures.natural, -item[1].value if item[1].defined else math.inf, item[0])
        )
        charts.append(Learning(test, [_lesson(name, found, sets) for name, found in here], chance))
    return charts


def _lesson(name: str, found: Figure, sets: Mapping[str, SetView]) -> Lesson:
    return Lesson(
        name=name,
        style=sets[name].style if name in sets else "oth",
        value=found.text("percent"),
        interval=found.interval("percent"),
        size=f"n = {formats.count(found.n)}" if found.n else "",
        mark=mark(found, 0.0, 1.0),
    )


def error_shares(figures: Figures, sets: Mapping[str, SetView]) -> list[ErrorShares]:
    """The error of every synthetic set by shift and by diversity (M reason 3); sets without these figures are left out."""
    shares = []
    for view in sets.values():
        total, diversity, shift = (figures.of(f"error_{part}", view.name) for part in ("total", "diversity", "shift"))
        if view.kind != "synthetic" or not (total.defined and diversity.defined and shift.defined):
            continue
        shares.append(
            ErrorShares(
                set=view,
                total=formats.percent(total.value),
                diversity=formats.percent(diversity.value),
                shift=formats.percent(shift.value),
                diversity_width=round(100 * max(0.0, diversity.value), 2),
                shift_width=round(100 * max(0.0, shift.value), 2),
                negative=shift.value < 0,
            )
        )
    return shares
