"""The figures of the whole set, each beside what natural images reach against natural images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from synthgap.stages.report import formats
from synthgap.stages.report.definitions import HEADLINE, Definition
from synthgap.stages.report.figures import Figure, Figures

WITHOUT_DIFFERENCE = {"permutation_p_value"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A dot with its interval on an axis, in percent of the axis' length."""

    at: float
    low: float
    width: float


@dataclass(frozen=True, slots=True)
class Headline:
    """One row of the headline table, ready to print."""

    definition: Definition
    value: str
    interval: str
    size: str
    reason: str
    baseline: str
    baseline_interval: str
    difference: str
    verdict: str
    """``outside``, ``inside`` or empty when it cannot be told."""
    mark: Mark | None
    baseline_mark: Mark | None
    ends: tuple[str, str]
    terms: str


def mark(found: Figure, start: float, end: float) -> Mark | None:
    """Place a figure on the axis from ``start`` to ``end``; ``None`` when it is not defined."""
    if not found.defined or not end > start:
        return None

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - start) / (end - start))), 2)

    low = found.low if math.isfinite(found.low) else found.value
    high = found.high if math.isfinite(found.high) else found.value
    return Mark(place(found.value), place(low), round(place(high) - place(low), 2))


def _axis(definition: Definition, both: tuple[Figure, Figure]) -> tuple[float, float]:
    ends = [end for item in both for end in (item.value, item.low, item.high) if math.isfinite(end)]
    if definition.unit != "number":
        return min([definition.floor, *ends]), 1.0
    return min([0.0, *ends]), 1.12 * max([0.0, *ends])


def _difference(definition: Definition, found: Figure, baseline: Figure) -> str:
    if not (found.defined and baseline.defined) or definition.name in WITHOUT_DIFFERENCE:
        return ""
    if definition.unit == "percent":
        return formats.points(found.value - baseline.value)
    if definition.unit == "cosine":
        return f"{found.value - baseline.value:+.3f}".replace("-", "−")
    # Below zero a ratio would mislead: a bias-corrected Fréchet distance of two natural halves may come out there.
    return formats.ratio(found.value / baseline.value) if baseline.value > 0 and found.value >= 0 else ""


def _verdict(found: Figure, baseline: Figure) -> str:
    ends = (found.low, found.high, baseline.low, baseline.high)
    if not all(math.isfinite(end) for end in ends):
        return ""
    return "inside" if found.low <= baseline.high and baseline.low <= found.high else "outside"


def _terms(figures: Figures) -> str:
    mean, covariance = figures.main("frechet_mean_term"), figures.main("frechet_covariance_term")
    if not (mean.defined and covariance.defined):
        return ""
    return f"means {formats.number(mean.value)} + covariances {formats.number(covariance.value)}"


def _headline(definition: Definition, figures: Figures) -> Headline:
    found, baseline = figures.main(definition.name), figures.baseline(definition.name)
    start, end = _axis(definition, (found, baseline))
    unit = definition.unit
    return Headline(
        definition=definition,
        value=found.text(unit),
        interval=found.interval(unit),
        size=f"n = {formats.count(found.n)}" if found.n else "",
        reason="" if found.defined else found.reason,
        baseline=baseline.text(unit),
        baseline_interval=baseline.interval(unit),
        difference=_difference(definition, found, baseline),
        verdict=_verdict(found, baseline),
        mark=mark(found, start, end),
        baseline_mark=mark(baseline, start, end),
        ends=("0%" if start == 0 else formats.shown(start, unit), formats.shown(end, unit))
        if unit == "percent"
        else (formats.shown(start, unit), formats.shown(end, unit)),
        terms=_terms(figures) if definition.name == "frechet_distance" else "",
    )


def headlines(figures: Figures, definitions: Sequence[Definition] = HEADLINE) -> list[Headline]:
    """The rows of a table of figures, in reading order; a measure that the run did not make is left out."""
    measured = set(figures.metrics())
    return [_headline(definition, figures) for definition in definitions if definition.name in measured]
