"""Accuracy along the number of images learned from (S Fig. 4), as shapes in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthgap.stages.report import formats
from synthgap.stages.report.figures import Figure, figure
from synthgap.stages.report.sets import SetView
from synthgap.stages.report.tables import Row

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 380, 250, 46, 12, 14, 34
TICK_GAP = 34.0
"""Pixels apart that two numbers of the horizontal axis need."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One training set: the line, the area of its intervals, and its points."""

    set: SetView
    line: str
    band: str
    points: list[tuple[float, float, str]]
    """x, y and what stands there in words."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One test set."""

    test: str
    curves: list[Curve]
    across: list[tuple[float, str]]
    """Numbers of images: x and text."""
    up: list[tuple[float, str]]
    """Shares: y and text."""


def charts(rows: Sequence[Row], sets: Mapping[str, SetView]) -> list[Chart]:
    """A chart for each test set, in the order of the table; ``rows`` are those of all classes together."""
    return [
        _chart(test, [row for row in rows if row["test_set"] == test], sets)
        for test in dict.fromkeys(str(row["test_set"]) for row in rows)
    ]


def _chart(test: str, rows: Sequence[Row], sets: Mapping[str, SetView]) -> Chart:
    sizes = sorted({int(row["images"]) for row in rows})
    ends = [end for row in rows if (found := figure(row)).defined for end in (found.value, found.high)]
    top = min(1.0, math.ceil(10 * max([0.1, *(end for end in ends if math.isfinite(end))])) / 10)
    curves = []
    for name in dict.fromkeys(str(row["train_set"]) for row in rows):
        own = sorted((int(row["images"]), figure(row)) for row in rows if row["train_set"] == name)
        curves.append(_curve(sets.get(name, SetView(name, "other", "oth")), own, sizes, top))
    across: list[tuple[float, str]] = []
    for size in sizes:
        if not across or _x(size, sizes) - across[-1][0] >= TICK_GAP:
            across.append((_x(size, sizes), formats.count(size)))
    step = 0.1 if top <= 0.5 else 0.2
    up = [
        (_y(step * tick, top), formats.percent(step * tick).replace(".0", ""))
        for tick in range(int(top / step + 1e-9) + 1)
    ]
    return Chart(test, curves, across, up)


def _curve(view: SetView, own: Sequence[tuple[int, Figure]], sizes: Sequence[int], top: float) -> Curve:
    known = [(_x(size, sizes), found, size) for size, found in own if found.defined]
    sure = [(x, found) for x, found, _ in known if math.isfinite(found.low) and math.isfinite(found.high)]
    edge = [(x, found.high) for x, found in sure] + [(x, found.low) for x, found in reversed(sure)]
    return Curve(
        view,
        " ".join(f"{x},{_y(found.value, top)}" for x, found, _ in known),
        " ".join(f"{x},{_y(value, top)}" for x, value in edge),
        [
            (
                x,
                _y(found.value, top),
                f"{view.name}, {formats.count(size)} images: {found.text('percent')} ({found.interval('percent')})",
            )
            for x, found, size in known
        ],
    )


def _x(size: int, sizes: Sequence[int]) -> float:
    """Logarithmic."""
    low, high = math.log(sizes[0]), math.log(sizes[-1])
    share = (math.log(size) - low) / (high - low) if high > low else 0.5
    return round(LEFT + share * (WIDTH - LEFT - RIGHT - 16) + 8, 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - min(1.0, value / top) * (HEIGHT - TOP - BOTTOM), 1)
