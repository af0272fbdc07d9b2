"""Find a measurement, wherever the run wrote it: the table first, then the summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from synthgap.core.records import OVERALL
from synthgap.stages.report import formats
from synthgap.stages.report.formats import Unit
from synthgap.stages.report.tables import RunTables

_NAN = float("nan")


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; empty for everything else, so that a summary of another shape leaves gaps and no crash."""
    return value if isinstance(value, Mapping) else {}


def as_float(value: object) -> float:
    """A finite number as a float; NaN for everything else (``None``, NaN, infinities, strings)."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else _NAN


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its interval and size; NaN with a reason where it is not defined."""

    value: float
    low: float = _NAN
    high: float = _NAN
    n: int | None = None
    reason: str = ""

    @property
    def defined(self) -> bool:
        """Whether there is a number at all."""
        return math.isfinite(self.value)

    def text(self, unit: Unit) -> str:
        """The value in its unit."""
        return formats.shown(self.value, unit)

    def interval(self, unit: Unit) -> str:
        """The interval in its unit; empty when there is none."""
        return formats.interval(self.low, self.high, unit)


UNKNOWN = Figure(_NAN, reason="not measured in this run")


def figure(cell: Mapping[str, Any]) -> Figure:
    """A figure from a row of ``measurements.parquet`` or a ``{"value", "ci_low", "ci_high", "n"}`` of the summary."""
    size = cell.get("n")
    return Figure(
        value=as_float(cell.get("value")),
        low=as_float(cell.get("ci_low")),
        high=as_float(cell.get("ci_high")),
        n=int(size) if formats.is_number(size) and size is not None else None,
        reason=str(cell.get("reason") or ""),
    )


def _flat(block: object) -> Iterator[tuple[str, str, Figure]]:
    """Yield (metric, class key or name, figure) of a summary block; ``{"knn_accuracy": {"5": …}}`` is ``knn_accuracy@5``."""
    for metric, cell in mapping(block).items():
        if not isinstance(cell, Mapping):
            continue
        if not {"overall", "per_class"} & cell.keys():
            yield from _flat({f"{metric}@{k}": inner for k, inner in cell.items()})
            continue
        if isinstance(cell.get("overall"), Mapping):
            yield metric, OVERALL, figure(cell["overall"])
        for key, inner in mapping(cell.get("per_class")).items():
            if isinstance(inner, Mapping):
                yield metric, str(key), figure(inner)


class Figures:
    """Every measurement of a run, by metric, query set and class.

    The reference of a figure is the natural set where such a row exists; otherwise the query set itself (a property
    of one set, such as its centroid distance), otherwise whatever reference the run used.
    """

    def __init__(self, tables: RunTables) -> None:
        summary = tables.summary
        self.natural: str = str(summary["natural"])
        self.synthetic: str = str(summary["synthetic"])
        self.names: dict[str, str] = {str(key): str(name) for key, name in mapping(summary.get("classes")).items()}
        self._rows: dict[tuple[str, str, str, str], Figure] = {}
        self._any: dict[tuple[str, str, str], Figure] = {}
        for row in tables["measurements"]:
            metric, query, key = str(row["metric"]), str(row["query"]), str(row["class_key"])
            self._rows[metric, str(row["reference"]), query, key] = figure(row)
            self._any.setdefault((metric, query, key), figure(row))
        self._main = {(metric, key): found for metric, key, found in _flat(summary.get("measurements"))}
        self._baseline = {(metric, key): found for metric, key, found in _flat(summary.get("baseline"))}

    def of(self, metric: str, query: str, class_key: str = OVERALL) -> Figure:
        """The figure of one query set; ``UNKNOWN`` when the run did not measure it."""
        for reference in (self.natural, query):
            if (found := self._rows.get((metric, reference, query, class_key))) is not None:
                return found
        if (found := self._any.get((metric, query, class_key))) is not None:
            return found
        return self._summary(self._main, metric, class_key) if query == self.synthetic else UNKNOWN

    def main(self, metric: str, class_key: str = OVERALL) -> Figure:
        """The figure of the synthetic set of the main pair."""
        return self.of(metric, self.synthetic, class_key)

    def baseline(self, metric: str, class_key: str = OVERALL) -> Figure:
        """What natural images reach against natural images; for a property of one set, the natural set's own."""
        found = self._summary(self._baseline, metric, class_key)
        if found is UNKNOWN and metric == "centroid_distance":
            return self.of(metric, self.natural, class_key)
        return found

    def name(self, class_key: str) -> str:
        """The name of a class for people; its key when the run gave it none."""
        return self.names.get(class_key, class_key)

    def metrics(self) -> list[str]:
        """The metrics that the run measured, each once, in the order of the table."""
        return list(dict.fromkeys([metric for metric, *_ in self._rows] + [metric for metric, _ in self._main]))

    def _summary(self, block: Mapping[tuple[str, str], Figure], metric: str, class_key: str) -> Figure:
        # The summary names classes for people; a run whose names are not unique has used the keys.
        return block.get((metric, class_key)) or block.get((metric, self.name(class_key))) or UNKNOWN
