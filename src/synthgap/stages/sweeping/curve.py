"""The guidance at which a generator is as diverse as natural images, read off a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from synthgap.core.records import Measurement

Array = NDArray[np.float64]
NAN = float("nan")
Number = tuple[float, float, float]
"""A value and the ends of its interval."""


@dataclass(frozen=True)
class Curve:
    """Diversity and accuracy of one class, or of the set, at rising guidance."""

    guidance: Sequence[float]
    diversity: Sequence[Measurement]
    accuracy: Sequence[Measurement]


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where diversity meets that of natural images, and what accuracy is left there."""

    guidance_scale: Number
    accuracy: Number
    """Interpolated there."""
    cost: float
    """Accuracy at the highest guidance of the sweep less accuracy there."""
    nearest: float
    """The guidance of the sweep whose diversity is nearest to natural images'; of equal ones the highest."""
    n: int
    """Images at each setting."""
    reason: str
    """Why there is no such guidance within the sweep, or why its interval has an open end."""


NOTHING = (NAN, NAN, NAN)


def meet_natural(curve: Curve) -> Meeting:
    """Find the guidance whose diversity is that of natural images (a ratio of 1).

    The logarithm of the ratio is taken to fall, never to rise, with the logarithm of guidance: the least-squares
    falling sequence through the points, straight between neighbours. The interval is where the same lines through the
    points' lower and upper ends cross 1; an end is NaN where its line does not cross within the sweep.

    Returns:
        Guidance, accuracy and cost; NaN with the reason where diversity is not met within the sweep.
    """
    ratio = np.array([row.value for row in curve.diversity], dtype=np.float64)
    known = np.isfinite(ratio) & (ratio > 0)
    n = max((row.n for row in curve.diversity), default=0)
    if known.sum() < 2:
        why = next((row.reason for row in curve.diversity if row.reason), "a crossing needs two settings")
        return Meeting(NOTHING, NOTHING, NAN, NAN, n, why)
    guidance = np.asarray(curve.guidance, dtype=np.float64)[known]
    places = np.log(guidance)
    rows = [row for row, kept in zip(curve.diversity, known, strict=True) if kept]
    distance = np.abs(np.log(ratio[known]))
    nearest = float(guidance[distance == distance.min()].max())
    value = _crossing(places, ratio[known])
    if np.isnan(value):
        return Meeting(NOTHING, NOTHING, NAN, nearest, n, _why_not(places, rows))
    low, high = (_crossing(places, np.array(ends)) for ends in zip(*((r.ci_low, r.ci_high) for r in rows), strict=True))
    accuracy, cost = _accuracy(curve, value)
    numbers = (_guidance(value), _guidance(low), _guidance(high))
    return Meeting(numbers, accuracy, cost, nearest, n, _open_ends(low, high, rows))


def _guidance(place: float) -> float:
    return float(np.exp(place))


def _crossing(places: Array, ratio: Array) -> float:
    """Where the falling line through the logarithms crosses 0; NaN where it does not, or an end is not known."""
    if np.isnan(ratio).any():
        return NAN
    with np.errstate(divide="ignore"):
        # An end at 0 or at infinity is as far as a number can be, and still a number.
        heights = np.clip(np.log(ratio), -50, 50)
    heights = isotonic_regression(heights, increasing=False).x
    above = np.flatnonzero(heights >= 0)
    if len(above) == 0 or heights[-1] > 0:
        return NAN
    last = int(above[-1])
    if heights[last] == 0 or last == len(heights) - 1:
        return float(places[last])
    share = heights[last] / (heights[last] - heights[last + 1])
    return float(places[last] + share * (places[last + 1] - places[last]))


def _why_not(places: Array, rows: Sequence[Measurement]) -> str:
    # The ends of the falling line, not of the points: noise may have put one of them on the other side.
    below = np.log([row.value for row in rows]).mean() < 0
    end = 0 if below else len(rows) - 1
    row = rows[end]
    side = "below" if below else "above"
    return (
        f"not within the sweep: diversity is {side} that of natural images even at guidance {_guidance(places[end]):g} "
        f"({row.value:.2f}, {row.ci_low:.2f} to {row.ci_high:.2f})"
    )


def _open_ends(low: float, high: float, rows: Sequence[Measurement]) -> str:
    if any(np.isnan([row.ci_low, row.ci_high]).any() for row in rows):
        return "no interval: the points have none"
    open_ends = [name for name, end in (("lower", low), ("upper", high)) if np.isnan(end)]
    return f"the {' and the '.join(open_ends)} end of the interval lies outside the sweep" if open_ends else ""


def _accuracy(curve: Curve, place: float) -> tuple[Number, float]:
    """Accuracy and its ends at a place, straight between the points, and what it costs."""
    rows = curve.accuracy
    if len(rows) != len(curve.guidance) or not np.isfinite([row.value for row in rows]).all():
        return NOTHING, NAN
    places = np.log(np.asarray(curve.guidance, dtype=np.float64))
    there = [
        float(np.interp(place, places, [getattr(row, name) for row in rows])) for name in ("value", "ci_low", "ci_high")
    ]
    return (there[0], there[1], there[2]), rows[-1].value - there[0]
