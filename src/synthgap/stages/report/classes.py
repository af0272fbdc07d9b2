"""The table of classes, worst first: cause, severity, what to change, key numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthgap.core.records import OVERALL
from synthgap.stages.report import formats
from synthgap.stages.report.figures import Figure, Figures, as_float
from synthgap.stages.report.headline import Mark, mark
from synthgap.stages.report.tables import Row, RunTables

CAUSES: dict[str, tuple[str, str]] = {
    "ambiguous": ("ambiguous", "The name has several senses, and the generator draws another one."),
    "over-adherent": ("over-adherent", "The prompt is followed too closely at this guidance: typical, and all alike."),
    "under-adherent": ("under-adherent", "The prompt is followed too little at this guidance: images lose the class."),
    "low-diversity": ("low diversity", "The images spread less than natural ones, though they mean the right thing."),
    "concept-missing": (
        "concept missing",
        "The encoder's idea of the prompt finds neither natural nor synthetic images.",
    ),
    "wrong-concept": (
        "wrong concept",
        "The images are faithful to the prompt, but the prompt does not mean the natural class.",
    ),
    "sound": ("sound", "Inside the natural-against-natural baseline."),
}
"""Cause -> (words for people, what it means), after M section 3."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class of the table; sortable numbers beside the texts."""

    index: int
    key: str
    name: str
    cause: str
    cause_style: str
    """Name of the tag's colour: a known cause, or ``other``."""
    flagged: bool
    severity: float
    severity_text: str
    severity_interval: str
    severity_mark: Mark | None
    suggestion: str
    evidence: str
    accuracy: Figure
    accuracy_baseline: Figure
    shift: Figure
    shift_ratio: float
    diversity: Figure
    diversity_natural: Figure
    diversity_ratio: float


@dataclass(frozen=True, slots=True)
class CauseCount:
    """How many classes have a cause, for the filter above the table."""

    style: str
    label: str
    meaning: str
    count: int


def _quotient(above: Figure, below: Figure) -> float:
    return above.value / below.value if above.defined and below.defined and below.value > 0 else float("nan")


def _findings(tables: RunTables, figures: Figures) -> list[Row]:
    """The findings of the run; a class without one is part of the table too, as not diagnosed."""
    rows = tables["findings"] or [row for row in tables.summary.get("findings") or [] if isinstance(row, dict)]
    found = [row for row in rows if row.get("class_key") not in (None, OVERALL)]
    diagnosed = {str(row["class_key"]) for row in found}
    return found + [{"class_key": key} for key in figures.names if key not in diagnosed]


def _row(index: int, finding: Row, figures: Figures) -> ClassRow:
    key = str(finding["class_key"])
    severity = Figure(
        as_float(finding.get("severity")), as_float(finding.get("ci_low")), as_float(finding.get("ci_high"))
    )
    # A class that could not be judged comes as sound without a severity: no fault was seen, but none was looked for.
    unjudged = "not judged" if finding.get("cause") == "sound" and not severity.defined else ""
    cause = unjudged or str(finding.get("cause") or "not diagnosed")
    shift, diversity = figures.main("centroid_shift", key), figures.main("centroid_distance", key)
    natural_diversity = figures.of("centroid_distance", figures.natural, key)
    if not natural_diversity.defined:
        natural_diversity = figures.baseline("centroid_distance", key)
    return ClassRow(
        index=index,
        key=key,
        name=figures.name(key),
        cause=CAUSES[cause][0] if cause in CAUSES else cause,
        cause_style=cause if cause in CAUSES else "other",
        flagged=bool(finding.get("flagged")),
        severity=severity.value,
        severity_text=f"{severity.value:.2f}" if severity.defined else formats.NOTHING,
        severity_interval=f"{severity.low:.2f} – {severity.high:.2f}" if severity.interval("number") else "",
        severity_mark=mark(severity, 0.0, 1.0),
        suggestion=str(finding.get("suggestion") or ""),
        evidence=str(finding.get("evidence") or ""),
        accuracy=figures.main("centroid_accuracy", key),
        accuracy_baseline=figures.baseline("centroid_accuracy", key),
        shift=shift,
        shift_ratio=_quotient(shift, figures.baseline("centroid_shift", key)),
        diversity=diversity,
        diversity_natural=natural_diversity,
        diversity_ratio=_quotient(diversity, natural_diversity),
    )


def class_rows(tables: RunTables, figures: Figures) -> list[ClassRow]:
    """One row per class, worst first: by severity, then by centroid accuracy, then by name; undefined comes last."""

    def worst_first(finding: Row) -> tuple[float, float, str, str]:
        key, severity = str(finding["class_key"]), as_float(finding.get("severity"))
        accuracy = figures.main("centroid_accuracy", key).value
        return (
            -severity if math.isfinite(severity) else math.inf,
            accuracy if math.isfinite(accuracy) else math.inf,
            figures.name(key),
            key,
        )

    ordered = sorted(_findings(tables, figures), key=worst_first)
    return [_row(index, finding, figures) for index, finding in enumerate(ordered)]


def cause_counts(rows: list[ClassRow]) -> list[CauseCount]:
    """How many classes have each cause, in the order in which the papers give the causes."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row.cause_style, row.cause] = counts.get((row.cause_style, row.cause), 0) + 1
    order = [*CAUSES, "other"]
    return [
        CauseCount(style, label, CAUSES[style][1] if style in CAUSES else "", number)
        for (style, label), number in sorted(counts.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]
