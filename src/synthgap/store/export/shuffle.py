"""An exact global shuffle of a set of any size, in bounded memory.

Every row gets a key, 64 bits of SHA-256 over (seed, split, image_key), and the rows are put in the order of their
keys: a uniformly random permutation of the split, which depends on nothing but seed and image keys, so that shards,
batches and restarts leave no trace in it. Sorting is external: *runs* of at most ``RUN_BYTES`` of images are sorted in
memory and written to disk, then each output file takes its range of keys from all runs. Memory holds one run or one
output file at a time; the disk holds the set once more until the export is finished.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgap.core.errors import InputError
from synthgap.store.atomic import atomic_file, own_errors, writing
from synthgap.store.export.source import ExportSource, Piece

RUN_BYTES = 1 << 28
"""Images of a run: 256 MiB."""
_BUCKET_BITS = 16
_INDEX = np.dtype([("key", "<u8"), ("offset", "<u8")])
_LENGTHS = struct.Struct("<II")

Row = dict[str, Any]
Tell = Callable[[int], None]
"""Called with the number of rows that were just dealt with; may raise to stop."""


def order_key(seed: int, split: str, image_key: str) -> int:
    """Where a row stands in the shuffled split: an integer in [0, 2**64)."""
    digest = hashlib.sha256(f"{seed}\x1f{split}\x1f{image_key}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one output file: those with keys from ``low`` to before ``high``."""

    low: int
    high: int
    rows: int


@dataclass(frozen=True, slots=True)
class Run:
    """Sorted rows on disk: ``rows`` holds them one after the other, ``index`` their keys and offsets."""

    rows: Path
    index: Path

    def keys(self) -> NDArray[np.void]:
        """Keys and offsets, in the order of the keys."""
        return np.fromfile(self.index, dtype=_INDEX)


def sort_runs(source: ExportSource, split: str, seed: int, scratch: Path, tell: Tell) -> list[Run]:
    """Write the runs of a split, or find those that an earlier, killed export wrote.

    Raises:
        RunError: the disk is full.
    """
    runs = []
    for number, pieces in enumerate(
        _groups(piece for shard in source.shards_of(split) for piece in source.pieces(shard))
    ):
        run = Run(scratch / f"{split}-{number:06d}.rows", scratch / f"{split}-{number:06d}.index")
        if run.index.is_file():  # written last
            tell(run.index.stat().st_size // _INDEX.itemsize)
        else:
            _write_run(run, [(order_key(seed, split, row["image_key"]), row) for row in _rows(source, pieces, tell)])
        runs.append(run)
    return runs


def _groups(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        if group and size + piece.bytes > RUN_BYTES:
            yield group
            group, size = [], 0
        group.append(piece)
        size += piece.bytes
    if group:
        yield group


def _rows(source: ExportSource, pieces: Sequence[Piece], tell: Tell) -> Iterator[Row]:
    for piece in pieces:
        rows = list(source.rows(piece))
        tell(len(rows))
        yield from rows


def _write_run(run: Run, rows: list[tuple[int, Row]]) -> None:
    rows.sort(key=lambda pair: pair[0])
    index = np.empty(len(rows), dtype=_INDEX)
    with atomic_file(run.rows) as handle, own_errors(run.rows):
        for number, (key, row) in enumerate(rows):
            index[number] = key, handle.tell()
            handle.writelines(_packed(row))
    with writing(run.index) as handle:
        handle.write(index.tobytes())


def _packed(row: Row) -> tuple[bytes, bytes, bytes]:
    image = row["image"]
    rest = json.dumps(row | {"image": None}).encode()
    return _LENGTHS.pack(len(rest), len(image)), rest, image


def _unpacked(data: memoryview) -> Row:
    size, image_size = _LENGTHS.unpack_from(data)
    start = _LENGTHS.size + size
    row: Row = json.loads(bytes(data[_LENGTHS.size : start]))
    return row | {"image": bytes(data[start : start + image_size])}


def cut(runs: Sequence[Run], part_bytes: int) -> list[Part]:
    """Cut a split into parts of nearly the same number of rows and about ``part_bytes``; no part is empty.

    The keys are counted in 65,536 buckets and parts end at the edges of buckets, so no list of all keys is needed.
    """
    counts = np.zeros(1 << _BUCKET_BITS, dtype=np.int64)
    for run in runs:
        counts += np.bincount(run.keys()["key"] >> np.uint64(64 - _BUCKET_BITS), minlength=len(counts))
    total = int(counts.sum())
    wanted = min(max(1, -(-sum(run.rows.stat().st_size for run in runs) // part_bytes)), max(total, 1))
    part_of = (np.cumsum(counts) - counts) * wanted // max(total, 1)
    parts = []
    for number in range(wanted):
        buckets = np.flatnonzero((part_of == number) & (counts > 0))
        if len(buckets):
            low, high = int(buckets[0]) << (64 - _BUCKET_BITS), (int(buckets[-1]) + 1) << (64 - _BUCKET_BITS)
            parts.append(Part(low, high, int(counts[buckets].sum())))
    return parts


def read_part(runs: Sequence[Run], part: Part) -> Iterator[Row]:
    """Rows of a part in shuffled order.

    Raises:
        InputError: two images have the same key.
    """
    found: list[tuple[int, memoryview]] = []
    for run in runs:
        found += _slice(run, part)
    found.sort(key=lambda pair: pair[0])
    before = None
    for number, (_, data) in enumerate(found):
        found[number] = (0, memoryview(b""))  # its bytes are not needed twice
        row = _unpacked(data)
        if row["image_key"] == before:  # the same key stands beside itself
            raise InputError(f"two images are called {before!r}; an export needs an image_key for each")
        before = row["image_key"]
        yield row


def _slice(run: Run, part: Part) -> Iterator[tuple[int, memoryview]]:
    """Rows of a run that belong to a part: they lie side by side."""
    index = run.keys()
    # Not np.uint64(part.high): the last part ends at 2**64, which is no 64-bit number.
    start = int(np.searchsorted(index["key"], np.uint64(part.low)))
    stop = int(np.searchsorted(index["key"], np.uint64(part.high - 1), side="right"))
    if start == stop:
        return
    edges = [*index["offset"][start:stop].tolist()]
    edges.append(int(index["offset"][stop]) if stop < len(index) else run.rows.stat().st_size)
    with run.rows.open("rb") as handle:
        handle.seek(edges[0])
        data = memoryview(handle.read(edges[-1] - edges[0]))
    for position, key in enumerate(index["key"][start:stop].tolist()):
        yield key, data[edges[position] - edges[0] : edges[position + 1] - edges[0]]
