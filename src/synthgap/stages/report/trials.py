"""All reference x query trials (M table 6), as a table and as a matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from synthgap.stages.report import formats
from synthgap.stages.report.figures import Figure, as_float
from synthgap.stages.report.formats import Unit
from synthgap.stages.report.sets import SetView
from synthgap.stages.report.tables import Row, RunTables

TrialMetric = tuple[str, str, Unit]
FIRST: tuple[TrialMetric, ...] = (("centroid_accuracy", "Centroid accuracy", "percent"),)
LAST: tuple[TrialMetric, ...] = (
    ("gaussian_shared_accuracy", "Gaussians, shared covariance", "percent"),
    ("gaussian_own_accuracy", "Gaussians, own covariance", "percent"),
    ("kernel_density_accuracy", "Kernel density", "percent"),
    ("logistic_accuracy", "Logistic regression", "percent"),
    ("average_cosine_similarity", "Average cosine", "cosine"),
    ("nearest_cosine_similarity", "Cosine to the nearest", "cosine"),
)
"""Figures of a trial in the order of the table, the neighbours between the two."""


@dataclass(frozen=True, slots=True)
class TrialValue:
    """One figure of one trial."""

    text: str
    sort: float
    strength: float
    """Place between the lowest (0) and the highest (1) value of this figure in the run; 0 where undefined."""
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One reference x query pair."""

    number: int
    reference: SetView
    query: SetView
    values: tuple[TrialValue, ...]
    size: str


@dataclass(frozen=True, slots=True)
class Trials:
    """The section: the rows, and the same trials by (reference, query)."""

    rows: list[Trial]
    references: list[SetView]
    queries: list[SetView]
    cells: Mapping[tuple[str, str], Trial]
    labels: tuple[str, ...]


def _value(row: Row, metric: str, unit: Unit, ends: tuple[float, float]) -> TrialValue:
    found = Figure(
        as_float(row.get(metric)), as_float(row.get(f"{metric}_ci_low")), as_float(row.get(f"{metric}_ci_high"))
    )
    low, high = ends
    strength = round((found.value - low) / (high - low), 3) if found.defined and high > low else 0.0
    return TrialValue(found.text(unit), found.value, strength, found.interval(unit))


def _ends(rows: list[Row], metric: str) -> tuple[float, float]:
    values = [value for row in rows if math.isfinite(value := as_float(row.get(metric)))]
    return (min(values), max(values)) if values else (0.0, 0.0)


def trial_table(tables: RunTables, sets: Mapping[str, SetView]) -> Trials | None:
    """The trials of the run in their own order; ``None`` when it made none."""
    raw = tables["trials"]
    if not raw:
        return None
    ks = sorted(int(name.removeprefix("knn_")) for name in raw[0] if name.startswith("knn_"))
    neighbours: list[TrialMetric] = [(f"knn_{k}", f"k-NN, k = {k}", "percent") for k in ks]
    known = [*FIRST, *neighbours, *LAST]
    present = [item for item in known if any(math.isfinite(as_float(row.get(item[0]))) for row in raw)]
    ends = {metric: _ends(raw, metric) for metric, _, _ in present}
    rows = [
        Trial(
            number=int(row["number"]) if formats.is_number(row.get("number")) else position,
            reference=sets[str(row["reference"])],
            query=sets[str(row["query"])],
            values=tuple(_value(row, metric, unit, ends[metric]) for metric, _, unit in present),
            size=formats.count(row.get("n")),
        )
        for position, row in enumerate(raw, start=1)
    ]
    references, queries = {row.reference.name for row in rows}, {row.query.name for row in rows}
    return Trials(
        rows=rows,
        references=[view for view in sets.values() if view.name in references],
        queries=[view for view in sets.values() if view.name in queries],
        cells={(row.reference.name, row.query.name): row for row in rows},
        labels=tuple(label for _, label, _ in present),
    )
