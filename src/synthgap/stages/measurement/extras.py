"""The measures beyond those of M, in groups that ``MeasureSpec.extra`` names."""

from __future__ import annotations

from collections.abc import Callable

from synthgap.core.records import Measurement
from synthgap.core.specs import Extra
from synthgap.stages.measurement.copies import measure_copies
from synthgap.stages.measurement.difference import measure_difference
from synthgap.stages.measurement.features import measure_features
from synthgap.stages.measurement.overlap import measure_overlap
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.variety import measure_covered, measure_vendi

Rows = list[Measurement]

OF_BOTH: dict[Extra, Callable[[Pair], Rows]] = {
    "overlap": measure_overlap,
    "variety": measure_covered,
    "copies": measure_copies,
    "difference": measure_difference,
}
"""Figures of one set against the other."""

OF_ONE: dict[Extra, Callable[[Pair], Rows]] = {"variety": measure_vendi, "features": measure_features}
"""Figures of the query set alone; the reference names the rows and gives the order of the classes."""


def measure_both(pair: Pair) -> Rows:
    """The figures of one set against the other that the spec asks for; all rows of both."""
    return [row for name in pair.spec.extra if name in OF_BOTH for row in OF_BOTH[name](pair)]


def measure_alone(pair: Pair) -> Rows:
    """The figures of the query set alone that the spec asks for."""
    return [row for name in pair.spec.extra if name in OF_ONE for row in OF_ONE[name](pair)]
