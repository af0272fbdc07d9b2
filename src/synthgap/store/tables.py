"""Result tables: small Parquet files with fixed columns, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgap.core.errors import InputError
from synthgap.core.records import Finding, Measurement
from synthgap.store.atomic import atomic_file, own_errors
from synthgap.store.shards import groups, parquet_writer


def _schema(**columns: str) -> pa.Schema:
    kinds = {"text": pa.string(), "number": pa.float64(), "count": pa.int64(), "flag": pa.bool_(), "bytes": pa.binary()}
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


MEASUREMENTS = _schema(
    metric="text", reference="text", query="text", class_key="text",
    value="number", ci_low="number", ci_high="number", n="count", reason="text",
)  # fmt: skip
FINDINGS = _schema(
    class_key="text", cause="text", severity="number", flagged="flag", suggestion="text", evidence="text",
    ci_low="number", ci_high="number", change="text",
)  # fmt: skip
MAP = _schema(set="text", modality="text", class_key="text", image_key="text", x="number", y="number")
THUMBNAILS = _schema(set="text", class_key="text", image_key="text", image="bytes")
CLASSIFIER = _schema(
    train_set="text", test_set="text", class_key="text", value="number", ci_low="number", ci_high="number", n="count"
)


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a table atomically: the columns of the schema, a missing value is null, the same rows the same bytes.

    Raises:
        ValueError: a row has a column that the schema does not know.
        RunError: the disk is full.
    """
    known = set(schema.names)
    with atomic_file(path) as handle, parquet_writer(handle, path, schema) as writer:
        for group in groups(rows, 10_000):
            unknown = {name for row in group for name in row} - known
            if unknown:
                raise ValueError(f"{path}: columns {sorted(unknown)} are not in the table's schema {schema.names}")
            table = pa.Table.from_pylist(group, schema=schema)
            with own_errors(path):
                writer.write_table(table)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Read a table's rows.

    Raises:
        InputError: the file is missing or no Parquet.
    """
    try:
        rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {' '.join(str(error).split())}") from None
    return rows


def write_measurements(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write measurements; NaN stays NaN beside its reason. The intervals over classes stand in the summary."""
    rows = ({name: getattr(row, name) for name in MEASUREMENTS.names} for row in measurements)
    write_table(path, rows, MEASUREMENTS)


def read_measurements(path: Path) -> list[Measurement]:
    """Read measurements back."""
    return [Measurement(**row) for row in read_table(path)]


def write_trials(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write trials: ``number``, ``reference``, ``query``, ``n``, and a number for every figure that the rows have."""
    kinds = {"number": "count", "reference": "text", "query": "text", "n": "count"}
    columns = dict.fromkeys(name for row in rows for name in row)
    write_table(path, rows, _schema(**{name: kinds.get(name, "number") for name in columns}))


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write findings."""
    write_table(path, map(asdict, findings), FINDINGS)


def read_findings(path: Path) -> list[Finding]:
    """Read findings back."""
    return [Finding(**row) for row in read_table(path)]
