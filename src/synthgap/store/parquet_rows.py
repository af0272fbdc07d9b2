"""Rows of several Parquet files as one sequence, read a few at a time."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgap.core.errors import InputError

_BATCH_ROWS = 32
"""Rows decoded at a time: 32 large photographs are a few hundred MB at worst, 32 small ones cost nothing to fetch."""


@dataclass(frozen=True)
class PartFiles:
    """Parquet files, one after the other, as one numbered sequence of rows."""

    paths: Sequence[Path]
    rows: Sequence[int]
    """Rows of each file."""
    _ends: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", list(accumulate(self.rows)))

    def read(self, columns: Sequence[str], start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Rows ``start`` to ``stop`` with the given columns; at most one row group's pages are in memory.

        Raises:
            InputError: a file is gone or damaged.
        """
        for number in range(bisect_right(self._ends, start), len(self.paths)):
            first = self._ends[number] - self.rows[number]
            if first >= stop:
                return
            yield from _read_file(self.paths[number], columns, max(start - first, 0), stop - first)


def open_file(path: Path) -> pq.ParquetFile:
    """Open a Parquet file for reading in small pieces.

    Raises:
        InputError: it is missing, unreadable or no Parquet.
    """
    try:
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from None


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Whole small columns of a file.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return open_file(path).read(columns=list(columns))
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    text = re.sub(r"\s+", " ", str(error)).strip()
    return InputError(f"{path}: cannot be read as Parquet: {text}")


def _read_file(path: Path, columns: Sequence[str], start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Rows of one file; row groups outside the range are not touched."""
    file = open_file(path)
    position, groups = 0, []
    first = None
    for number in range(file.num_row_groups):
        size = file.metadata.row_group(number).num_rows
        if position < stop and position + size > start:
            groups.append(number)
            first = position if first is None else first
        position += size
    if first is None:
        return
    try:
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=list(columns)):
            wanted = batch.slice(
                max(start - first, 0), max(min(stop - first, batch.num_rows) - max(start - first, 0), 0)
            )
            first += batch.num_rows
            yield from wanted.to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from None
