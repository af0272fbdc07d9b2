"""Shards: the unit of work. A Parquet file of rows, and a marker written last that says it is whole.

``data/<split>/<class_key>-<block>.parquet`` counts only together with ``done/<split>/<class_key>-<block>.json``, which
holds its rows and the SHA-256 of its bytes. A shard without marker, or with other bytes than its marker says, is not
done and is simply written again.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from synthgap.core.errors import InputError
from synthgap.store.atomic import atomic_file, own_errors, read_json, sha256_of, write_json
from synthgap.store.keys import check_shard

ROW_GROUP_ROWS = 100
"""Small enough for random access and the Hub's viewer, large enough for compression."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShardDone:
    """What the marker of a finished shard says."""

    shard: str
    rows: int
    ok: int
    failed: int
    sha256: str
    """Of the Parquet file's bytes, in hexadecimal."""
    bytes: int
    plan: str = ""
    """Fingerprint of what the rows were planned to be, where there is a plan: another plan makes the shard outdated."""
    flagged: int | None = None
    """Images that a safety checker flagged; None where none looked."""


def data_path(folder: Path, shard: str) -> Path:
    """Where a shard's rows are."""
    check_shard(shard)
    return folder / "data" / f"{shard}.parquet"


def marker_path(folder: Path, shard: str) -> Path:
    """Where a shard's marker is."""
    check_shard(shard)
    return folder / "done" / f"{shard}.json"


def write_shard(
    folder: Path,
    shard: str,
    rows: Iterable[Row],
    schema: pa.Schema,
    *,
    plain_columns: tuple[str, ...] = (),
    plan: str = "",
) -> ShardDone:
    """Write a shard and then its marker; rows are taken as they come, ``ROW_GROUP_ROWS`` in memory at a time.

    The same rows give the same bytes.

    Args:
        folder: the set's folder.
        shard: ``<split>/<class_key>-<block>``.
        rows: one mapping per row; ``status`` other than ``ok`` counts as failed; a missing key is null.
        schema: columns of the file.
        plain_columns: Parquet column paths stored as they are, because their bytes are compressed already.
        plan: fingerprint of what the rows were planned to be.

    Raises:
        RunError: the disk is full, or another process writes this very shard.
    """
    target = data_path(folder, shard)
    ok = failed = 0
    flags: list[bool] = []
    with atomic_file(target, wait=False) as handle, parquet_writer(handle, target, schema, plain_columns) as writer:
        for group in groups(rows, ROW_GROUP_ROWS):
            good = sum(row.get("status", "ok") == "ok" for row in group)
            ok, failed = ok + good, failed + len(group) - good
            flags += [row["safety_flag"] for row in group if row.get("safety_flag") is not None]
            table = pa.Table.from_pylist(group, schema=schema)
            with own_errors(target):
                writer.write_table(table)
    with own_errors(target):
        size, digest = target.stat().st_size, sha256_of(target)
    done = ShardDone(shard, ok + failed, ok, failed, digest, size, plan, sum(flags) if flags else None)
    write_json(marker_path(folder, shard), asdict(done))
    return done


@contextlib.contextmanager
def parquet_writer(
    handle: BinaryIO, target: Path, schema: pa.Schema, plain_columns: tuple[str, ...] = ()
) -> Iterator[pq.ParquetWriter]:
    """A Parquet writer whose options are pinned, so that the same rows give the same bytes."""
    leaves = _leaves(schema)
    described = [leaf for leaf in leaves if leaf not in plain_columns]
    writer = pq.ParquetWriter(
        handle,
        schema,
        version="2.6",
        data_page_version="1.0",
        compression={leaf: "zstd" if leaf in described else "none" for leaf in leaves},
        use_dictionary=described,
        write_statistics=described,  # the "least" image of a row group is of no use, and would be stored four times
        write_page_index=True,
        write_page_checksum=True,
        use_content_defined_chunking=True,
    )
    try:
        yield writer
        with own_errors(target):
            writer.close()
    except BaseException:
        with contextlib.suppress(Exception):  # or its destructor writes to a closed file
            writer.close()
        raise


def _leaves(schema: pa.Schema) -> list[str]:
    """Parquet's names of the stored columns: ``image.bytes`` for a field of a struct, ``x.list.element`` for a list's."""
    names: list[str] = []
    for field in schema:
        if pa.types.is_struct(field.type):
            names += [f"{field.name}.{field.type.field(i).name}" for i in range(field.type.num_fields)]
        elif pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            names.append(f"{field.name}.list.element")
        else:
            names.append(field.name)
    return names


def groups(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of ``size``, the last one shorter."""
    iterator = iter(rows)
    while group := list(itertools.islice(iterator, size)):
        yield group


def read_marker(folder: Path, shard: str) -> ShardDone | None:
    """What a shard's marker says; None where there is none, or none that can be read."""
    try:
        done = ShardDone(**read_json(marker_path(folder, shard)))
    except (InputError, TypeError):
        return None
    return done if done.shard == shard else None


def finished(folder: Path, shard: str, *, verify: bool = True) -> ShardDone | None:
    """The marker of a shard that is whole, else None.

    Args:
        folder: the set's folder.
        shard: ``<split>/<class_key>-<block>``.
        verify: hash the file's bytes; otherwise only its size is compared.
    """
    done, path = read_marker(folder, shard), data_path(folder, shard)
    try:
        if done is None or path.stat().st_size != done.bytes:
            return None
        return done if not verify or sha256_of(path) == done.sha256 else None
    except OSError:
        return None
