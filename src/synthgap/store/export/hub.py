"""Shuffled Parquet as the Hub and its viewer like it: Hugging Face features, small row groups, page index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthgap.store.atomic import atomic_file, own_errors
from synthgap.store.export.names import extension, file_key
from synthgap.store.features import IMAGE_BYTES
from synthgap.store.shards import ROW_GROUP_ROWS, parquet_writer

GROUP_BYTES = 1 << 27
"""Images of a row group at most, but for a single larger image: 128 MiB, so that 100 large ones stay below the
286 MiB at which the Hub's viewer gives up."""


def parquet_name(split: str, number: int, total: int) -> str:
    """Name of a file: ``data/<split>-00000-of-00012.parquet``."""
    return f"data/{split}-{number:05d}-of-{total:05d}.parquet"


def write_parquet(target: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows to a Parquet file, atomically; the same rows give the same bytes.

    Raises:
        RunError: the disk is full.
    """
    with atomic_file(target) as handle, parquet_writer(handle, target, schema, (IMAGE_BYTES,)) as writer:
        for group in _row_groups(rows):
            table = pa.Table.from_pylist(group, schema=schema)
            with own_errors(target):
                writer.write_table(table)


def _row_groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        data = row["image"]
        if group and (len(group) == ROW_GROUP_ROWS or size + len(data) > GROUP_BYTES):
            yield group
            group, size = [], 0
        path = f"{file_key(row['image_key'])}.{extension(data)}"
        group.append(row | {"image": {"bytes": data, "path": path}})
        size += len(data)
    if group:
        yield group
