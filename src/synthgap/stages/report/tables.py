"""Read the tables of a run folder. What is missing or broken is a note for the reader, never a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgap.core.errors import InputError

Row = dict[str, Any]

COLUMNS: dict[str, tuple[str, ...]] = {
    "measurements": ("metric", "reference", "query", "class_key", "value"),
    "findings": ("class_key", "cause", "severity", "flagged", "suggestion", "evidence"),
    "trials": ("reference", "query", "centroid_accuracy"),
    "map": ("set", "modality", "class_key", "x", "y"),
    "thumbnails": ("set", "class_key", "image_key", "image"),
    "classifier": ("train_set", "test_set", "class_key", "value"),
    "proof/matrix": ("metric", "train_set", "test_set", "class_key", "value"),
    "proof/scaling": ("metric", "train_set", "test_set", "class_key", "images", "value"),
    "transfer/transfer": ("model", "set", "accuracy"),
}
"""The tables that the report reads, with the columns that it cannot do without."""
PARTS = {
    "proof/matrix": ("classifiers", "train_set"),
    "proof/scaling": ("scaling", "train_set"),
    "transfer/transfer": ("transfer", "model"),
}
"""The part of a study that writes a table, and the column whose values the summary names."""
NOT_HERE = "not part of this study"


@dataclass(frozen=True)
class RunTables:
    """All that the report knows: the summary, the rows of each table, and why a table has none."""

    summary: Mapping[str, Any]
    rows: Mapping[str, list[Row]]
    missing: Mapping[str, str]
    """Table name -> reason, for tables without rows."""
    optional: frozenset[str] = frozenset()
    """Names of the tables of proof that are no part of this run: nobody asked for them."""

    def __getitem__(self, table: str) -> list[Row]:
        return self.rows[table]


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path} not found: expected the folder of a finished run; make one with 'synthgap compare NATURAL SYNTHETIC --out {path.parent}'"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({getattr(error, 'strerror', None) or error}): run the command that made {path.parent} again"
        ) from error
    if not isinstance(summary, dict) or not summary.get("natural") or not summary.get("synthetic"):
        raise InputError(
            f"{path} does not name its 'natural' and 'synthetic' sets: run the command that made {path.parent} again"
        )
    return summary


def _read_rows(path: Path, columns: tuple[str, ...]) -> tuple[list[Row], str]:
    if not path.is_file():
        return [], f"{path.name} is not part of this run"
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return [], f"{path.name} cannot be read ({str(error).splitlines()[0]})"
    lacking = [column for column in columns if column not in table.column_names]
    if lacking:
        return [], f"{path.name} lacks the column {', '.join(lacking)}"
    rows: list[Row] = table.to_pylist()
    return rows, "" if rows else f"{path.name} has no rows"


def _of_the_study(found: Mapping[str, tuple[list[Row], str]], parts: Any) -> dict[str, tuple[list[Row], str]]:
    """The tables of the parts as this study wrote them: the folder may hold those of an earlier one, with other parts.

    ``parts`` are the summary's; one that is of no study has none, and its folder's tables are shown as they are.
    """
    if not isinstance(parts, Mapping):
        return {}
    kept = {}
    for name, (part, column) in PARTS.items():
        rows, why = found[name]
        own = parts.get(part)
        shown = [row for row in rows if row[column] in own] if isinstance(own, list) else []
        kept[name] = (shown, why if isinstance(own, list) and (shown or why) else NOT_HERE)
    return kept


def read_run(run: Path) -> RunTables:
    """Read ``summary.json`` and every table of a run folder.

    Raises
    ------
    InputError
        When ``summary.json`` is missing, is not JSON, or does not name the two sets; all other tables are optional.
    """
    summary = _read_summary(run / "summary.json")
    found = {name: _read_rows(run / f"{name}.parquet", columns) for name, columns in COLUMNS.items()}
    found |= _of_the_study(found, summary.get("parts"))
    optional = (name for name in PARTS if found[name][1] == NOT_HERE or not (run / f"{name}.parquet").is_file())
    return RunTables(
        summary=summary,
        rows={name: rows for name, (rows, _) in found.items()},
        missing={name: reason for name, (_, reason) in found.items() if reason},
        optional=frozenset(optional),
    )
