"""Embeddings in Parquet files: a column of vectors and a column of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import file_fingerprint, fingerprint
from synthgap.store.embedding_arrays import Arrays, set_of_arrays
from synthgap.store.embedding_set import EmbeddingSet
from synthgap.store.features import hf_features
from synthgap.store.parquet_images import parquet_files, split_of
from synthgap.store.parquet_rows import open_file, read_columns

VECTORS = ("embedding", "embeddings", "image_embedding", "image_embeddings", "emb", "embed")
LABELS = ("class_key", "label", "labels", "class", "class_name", "category", "target")
KEYS = ("image_key", "key", "id", "image_id", "image_path", "path", "file_name", "filename", "__key__")
"""Names of columns, the preferred one first."""


def is_parquet_of_embeddings(path: Path) -> bool:
    """Whether a Parquet file, or the first of a folder or its ``data``, has a column of vectors and none of images."""
    # Not all that open_images looks at: in a folder of a million images that would take a while.
    files = [path] if path.is_file() else sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")])
    try:
        schema = open_file(files[0]).schema_arrow if files and files[0].suffix.lower() == ".parquet" else pa.schema([])
    except InputError:
        return False
    images = any(pa.types.is_struct(field.type) or pa.types.is_binary(field.type) for field in schema)
    return not images and _column_of(schema, VECTORS) is not None


def read_parquet_embeddings(path: Path, name: str | None = None) -> EmbeddingSet:
    """Read a Parquet file, or a folder of them.

    The vectors are in ``embedding`` or another of ``VECTORS``, lists of one length; the class of a row in ``class_key``,
    ``label`` (a ``ClassLabel`` of Hugging Face, a number or a text) or another of ``LABELS``; its key in one of ``KEYS``;
    its split in ``split``, else in the file's or folder's name. A row without a vector is skipped.

    Raises:
        InputError: a missing column, vectors of several lengths, rows without a label, or as ``set_of_arrays``.
    """
    files = parquet_files(path)
    schema = open_file(files[0]).schema_arrow
    vectors, labels = _wanted(path, schema, VECTORS, "vectors"), _wanted(path, schema, LABELS, "labels")
    keys, split = _column_of(schema, KEYS), _column_of(schema, ("split",))
    parts = [_read(file, [column for column in (vectors, labels, keys, split) if column]) for file in files]
    arrays: Arrays = {
        "embeddings": _embeddings(path, [part[vectors] for part in parts]),
        "labels": _labels(path, labels, [part[labels] for part in parts]),
    }
    names = hf_features(schema).get(labels, {}).get("names")
    if names and arrays["labels"].dtype.kind == "i":
        arrays["class_names"] = np.asarray(names)
    if keys:
        arrays["image_keys"] = _texts(np.concatenate([_values(part[keys]) for part in parts]))
    root = path if path.is_dir() else path.parent
    arrays["splits"] = _texts(
        [
            text
            for file, part in zip(files, parts, strict=True)
            for text in (part[split].to_pylist() if split else [split_of(file.relative_to(root))] * part.num_rows)
        ]
    )
    return set_of_arrays(path, arrays, name or path.stem, fingerprint([file_fingerprint(file) for file in files]))


def _read(file: Path, columns: Sequence[str]) -> pa.Table:
    missing = [column for column in columns if column not in open_file(file).schema_arrow.names]
    if missing:
        raise InputError(f"{file}: has no column {missing[0]!r} as the other files; give the path of one set")
    return read_columns(file, columns)


def _column_of(schema: pa.Schema, names: Sequence[str]) -> str | None:
    """The first of these columns that is there; of vectors, the first that holds lists."""
    lists = names is VECTORS
    return next((name for name in names if name in schema.names and (not lists or _is_list(schema, name))), None)


def _is_list(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    of_lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(of_lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _wanted(path: Path, schema: pa.Schema, names: Sequence[str], what: str) -> str:
    if (found := _column_of(schema, names)) is None:
        raise InputError(
            f"{path}: has no column of {what}; it has {', '.join(schema.names)}; expected one of {', '.join(names)}"
        )
    return found


def _embeddings(path: Path, columns: Sequence[pa.ChunkedArray]) -> NDArray[Any]:
    """Columns of lists as (n, d); a row that is null is NaN."""
    chunks = [chunk for column in columns for chunk in column.chunks if len(chunk)]
    widths = {int(width) for chunk in chunks for width in np.unique(_widths(chunk))}
    if len(widths) != 1:
        found = f"{len(widths)} lengths ({', '.join(map(str, sorted(widths)[:4]))})" if widths else "no length"
        raise InputError(f"{path}: its vectors have {found}; expected one, the same in every row")
    (dim,) = widths
    rows = np.full((sum(map(len, chunks)), dim), np.nan, dtype=np.float32)
    start = 0
    for chunk in chunks:
        there = start + np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False))
        with np.errstate(over="ignore"):
            rows[there] = chunk.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        start += len(chunk)
    return rows


def _widths(chunk: pa.Array) -> NDArray[Any]:
    if pa.types.is_fixed_size_list(chunk.type):
        return np.asarray([chunk.type.list_size])
    return np.asarray(chunk.drop_null().value_lengths())


def _labels(path: Path, name: str, columns: Sequence[pa.ChunkedArray]) -> NDArray[Any]:
    if missing := sum(column.null_count for column in columns):
        raise InputError(f"{path}: {counted(missing, 'row')} without {name!r}; leave rows without a label out")
    values = np.concatenate([_values(column) for column in columns])
    return values if values.dtype.kind in "iufb" else _texts(values)


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = np.asarray(column.to_pylist())
    return values


def _texts(values: Any) -> NDArray[Any]:
    return np.asarray([str(value) for value in values], dtype=np.str_)
