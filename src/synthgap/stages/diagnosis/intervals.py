"""95 % intervals that stay honest for twenty images a class, where a bootstrap of all-equal values has no width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Z = 1.959963984540054
"""Two-sided 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether figure and interval are defined."""
        return bool(np.isfinite([self.value, self.low, self.high]).all())


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Estimates:
    """One figure per class, shapes (c,), with its 95 % interval; NaN where it is not defined."""

    value: Array
    low: Array
    high: Array

    def at(self, index: int) -> Estimate:
        """The figure of one class."""
        return Estimate(float(self.value[index]), float(self.low[index]), float(self.high[index]))

    def scaled(self, factor: Array | float, offset: Array | float = 0.0) -> Estimates:
        """``(figure - offset) * factor`` for a positive factor."""
        return Estimates((self.value - offset) * factor, (self.low - offset) * factor, (self.high - offset) * factor)

    def where(self, keep: NDArray[np.bool_]) -> Estimates:
        """The same with NaN where ``keep`` is false."""
        nan = float("nan")
        return Estimates(*(np.where(keep, part, nan) for part in (self.value, self.low, self.high)))


def wilson(hits: Array, n: Array) -> Estimates:
    """A share with Wilson's score interval; NaN for n = 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / n
        centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return Estimates(share, centre - half, centre + half)


def difference(a: Estimates, b: Estimates) -> Estimates:
    """``a - b`` of independent figures by Newcombe's method: it squares and adds the distances to the ends."""
    value = a.value - b.value
    down = np.hypot(a.value - a.low, b.high - b.value)
    up = np.hypot(a.high - a.value, b.value - b.low)
    return Estimates(value, value - down, value + up)


def student(value: Array, variance: Array, freedom: Array) -> Estimates:
    """``value`` with a Student interval for the given variance of the estimate and degrees of freedom (at least 1)."""
    half = stats.t.ppf(0.975, np.maximum(freedom, 1.0)) * np.sqrt(variance)
    return Estimates(value, value - half, value + half)


def spread_around(values: Array, centre: float) -> float:
    """Robust standard deviation around a centre: 1.4826 times the median absolute deviation; 0 without values."""
    known = values[np.isfinite(values)]
    return 1.4826 * float(np.median(np.abs(known - centre))) if len(known) else 0.0


def lower_median(values: Array) -> float:
    """The middle value, the lower of two, so that in a pair the better class is what is usual; NaN without values."""
    known = np.sort(values[np.isfinite(values)])
    return float(known[(len(known) - 1) // 2]) if len(known) else float("nan")
