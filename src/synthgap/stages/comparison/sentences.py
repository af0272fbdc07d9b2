"""Three plain sentences on a comparison: how far, why, what to change. Built from the numbers, nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from synthgap.core.counting import counted
from synthgap.core.records import OVERALL, Finding, Measurement

CAUSE_WORDS = {
    "ambiguous": "an ambiguous name or prompt",
    "over-adherent": "a guidance that follows the prompt too closely",
    "under-adherent": "a guidance that follows the prompt too little",
    "low-diversity": "images that are too much alike",
    "concept-missing": "a concept that the prompt does not reach",
    "wrong-concept": "images of something else than the natural class shows",
}


@dataclass(frozen=True)
class Outcome:
    """The numbers of one synthetic set against natural images."""

    natural: str
    synthetic: str
    measurements: Sequence[Measurement]
    """Of the synthetic set against the natural one."""
    baseline: Sequence[Measurement]
    """Of natural images against natural images, at the same size."""
    classifier: Sequence[Mapping[str, Any]]
    findings: Sequence[Finding]
    """Worst first."""
    names: Mapping[str, str]


def sentences(outcome: Outcome) -> list[str]:
    """How far the sets are apart, why, and what to change first: one sentence each."""
    return [_how_far(outcome), _why(outcome), _what(outcome)]


def _overall(rows: Iterable[Measurement], metric: str, query: str | None = None) -> Measurement | None:
    """The whole set's row, if it has a value."""
    found = (row for row in rows if row.metric == metric and row.class_key == OVERALL and query in (None, row.query))
    return next((row for row in found if math.isfinite(row.value)), None)


def _how_far(outcome: Outcome) -> str:
    parts = [part for part in (_accuracy(outcome), _shift(outcome), _diversity(outcome)) if part]
    if not parts:
        return f"How far '{outcome.synthetic}' is from '{outcome.natural}' cannot be told: no measure is defined."
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _accuracy(outcome: Outcome) -> str:
    whole = {row["train_set"]: row for row in outcome.classifier if row["class_key"] == OVERALL}
    own, other = whole.get(outcome.synthetic), whole.get(outcome.natural)
    if own is not None and other is not None:
        within = own["ci_high"] >= other["ci_low"]
        return (
            f"a linear classifier trained on '{outcome.synthetic}' recognises {own['value']:.0%} of natural images, one trained on as"
            f" many natural images {other['value']:.0%}{' (within chance of each other)' if within else ''}"
        )
    found, usual = (_overall(rows, "centroid_accuracy") for rows in (outcome.measurements, outcome.baseline))
    if found is None:
        return ""
    beside = f", of natural images {usual.value:.0%}" if usual else ""
    return f"natural class centres recognise {found.value:.0%} of the images in '{outcome.synthetic}'{beside}"


def _shift(outcome: Outcome) -> str:
    found, usual = (_overall(rows, "centroid_shift") for rows in (outcome.measurements, outcome.baseline))
    if found is None or usual is None:
        return ""
    if not found.ci_low > usual.ci_high:
        return "its classes lie where natural ones do, within the natural baseline"
    times = f", {found.value / usual.value:.0f} times the shift between natural halves" if usual.value > 0 else ""
    return f"its classes have shifted by {found.value:.3g}{times}"


def _diversity(outcome: Outcome) -> str:
    own = _spread(outcome.measurements, outcome.synthetic)
    usual = _spread(outcome.baseline, None)
    if own is None or usual is None or not usual.value > 0:
        return ""
    if own.ci_low <= usual.ci_high and usual.ci_low <= own.ci_high:
        return "its diversity is within the natural baseline"
    return f"its diversity is {own.value / usual.value:.2f} of natural images'"


def _spread(rows: Sequence[Measurement], query: str | None) -> Measurement | None:
    """The set's centroid distance, corrected for the number of images: their centroid lies (n - 1) / n as far away."""
    whole = _overall(rows, "centroid_distance", query)
    classes = [
        row
        for row in rows
        if row.metric == "centroid_distance"
        and row.class_key != OVERALL
        and query in (None, row.query)
        and math.isfinite(row.value)
    ]
    plain, corrected = (sum(row.value * factor(row.n) for row in classes) for factor in (lambda n: 1.0, _unbiased))
    if whole is None or not plain > 0:
        return whole
    scale = corrected / plain
    return replace(whole, value=whole.value * scale, ci_low=whole.ci_low * scale, ci_high=whole.ci_high * scale)


def _unbiased(n: int) -> float:
    return (n / (n - 1)) ** 2 if n > 1 else 1.0


def _why(outcome: Outcome) -> str:
    flagged = [finding for finding in outcome.findings if finding.flagged]
    total = sum(math.isfinite(finding.severity) for finding in outcome.findings)
    others = len(outcome.findings) - total
    unjudged = f"; {others} more could not be judged: too few images to tell" if others else ""
    if not total:
        return "Why cannot be told: no class has enough images in both sets to be judged."
    if not flagged:
        among = f"{counted(total, 'class')} with enough images" if others else counted(total, "class")
        return f"No fault was found in any of the {among}: each is within what natural images differ by{unjudged}."
    cause, count = Counter(finding.cause for finding in flagged).most_common(1)[0]
    worst = ", ".join(f"{_name(outcome, one)} ({one.severity:.2f})" for one in flagged[:3])
    most = f"{'all' if count == len(flagged) else f'{count}'} by {CAUSE_WORDS[cause]}"
    if len(flagged) == 1:
        return f"1 of {counted(total, 'class')} is at fault, {_name(outcome, flagged[0])}, by {CAUSE_WORDS[cause]}{unjudged}."
    return f"{len(flagged)} of {total} classes are at fault, {most}; the worst are {worst}{unjudged}."


def _what(outcome: Outcome) -> str:
    flagged = [finding for finding in outcome.findings if finding.flagged]
    if not flagged:
        if any(not math.isfinite(finding.severity) for finding in outcome.findings):
            return "First, add images to both sets: so few show only gross faults."
        return "Nothing to change class by class."
    cause = Counter(finding.cause for finding in flagged).most_common(1)[0][0]
    first = next(finding for finding in flagged if finding.cause == cause)
    alike = [finding for finding in flagged if finding.suggestion == first.suggestion]
    where = (
        f"in {_name(outcome, first)}" if len(alike) == 1 else f"in {len(alike)} classes, {_name(outcome, first)} first"
    )
    return f"First, {where}: {first.suggestion}"


def _name(outcome: Outcome, finding: Finding) -> str:
    return f"'{outcome.names.get(finding.class_key, finding.class_key)}'"
