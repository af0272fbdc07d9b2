"""Folders of ``clip-retrieval inference``: vectors in ``.npy`` parts, and a Parquet part with as many rows for each.

``img_emb/img_emb_0.npy`` and ``text_emb/text_emb_0.npy`` go with ``metadata/metadata_0.parquet``, which has
``image_path``, ``caption`` and whatever else was written with ``--enable_metadata``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import file_fingerprint, fingerprint
from synthgap.store.embedding_arrays import Arrays, set_of_arrays
from synthgap.store.embedding_set import EmbeddingSet
from synthgap.store.keys import SPLIT_NAMES
from synthgap.store.npy import open_npy
from synthgap.store.parquet_rows import open_file, read_columns

IMAGES, TEXTS = "img_emb", "text_emb"
CLASSES = ("class_key", "label", "class", "class_name", "category")
"""Columns that name a row's class, the preferred one first."""


def is_clip_retrieval(path: Path) -> bool:
    """Whether a path is such a folder, or the folder of images' or texts' vectors in it."""
    return path.is_dir() and _vectors_of(path) is not None


def read_clip_retrieval(path: Path, name: str | None = None) -> EmbeddingSet:
    """Read the images' vectors of a folder, or the texts' where there are no others or ``text_emb`` is the path.

    A row's class is in one of the columns ``CLASSES``, else the folder that its ``image_path`` lies in; its split is the
    folder above where that has a split's name, else ``train``.

    Raises:
        InputError: no metadata, parts that do not fit, no class, or as ``set_of_arrays``.
    """
    folder = _vectors_of(path)
    if folder is None:
        raise InputError(f"{path}: has neither {IMAGES} nor {TEXTS} with .npy files; expected a clip-retrieval folder")
    vectors, tables = _parts(folder)
    columns = _columns(path, tables)
    arrays: Arrays = {
        "embeddings": _embeddings(vectors, tables),
        "modality": np.asarray("prompt" if folder.name == TEXTS else "image"),
    }
    paths = [str(value).replace("\\", "/") for value in columns.get("image_path", [])]
    label = next((column for column in CLASSES if column in columns), None)
    arrays["labels"] = np.asarray(columns[label]) if label else np.asarray(_parents(path, paths))
    if paths:
        arrays["image_keys"], arrays["splits"] = np.asarray(_keys(paths)), np.asarray([_split(one) for one in paths])
    found = fingerprint([file_fingerprint(file) for file in [*vectors, *tables]])
    return set_of_arrays(path, arrays, name or path.resolve().name, found)


def _vectors_of(path: Path) -> Path | None:
    """The folder of the vectors to read."""
    candidates = [path] if path.name in (IMAGES, TEXTS) else [path / IMAGES, path / TEXTS]
    return next((folder for folder in candidates if any(folder.glob("*.npy"))), None)


def _parts(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files of vectors by number, and the metadata of each."""
    vectors = sorted(folder.glob("*.npy"), key=_number)
    tables = {_number(file): file for file in (folder.parent / "metadata").glob("*.parquet")}
    for file in vectors:
        if _number(file) not in tables:
            raise InputError(
                f"{file}: has no metadata/metadata_{_number(file)}.parquet in {folder.parent}; expected one part for each"
            )
    return vectors, [tables[_number(file)] for file in vectors]


def _number(file: Path) -> int:
    found = re.search(r"(\d+)$", file.stem)
    return int(found.group(1)) if found else 0


def _columns(path: Path, tables: Sequence[Path]) -> dict[str, list[Any]]:
    """What is told of each row; columns that every part has."""
    shared = set.intersection(*(set(open_file(file).schema_arrow.names) for file in tables))
    wanted = [name for name in ("image_path", *CLASSES) if name in shared]
    if not wanted:
        raise InputError(
            f"{path}: its metadata has {', '.join(sorted(shared)) or 'no column'}; expected image_path, or one of {', '.join(CLASSES)}"
        )
    parts = [read_columns(file, wanted) for file in tables]
    found = {name: [value for part in parts for value in part[name].to_pylist()] for name in wanted}
    for name, values in found.items():
        if missing := sum(value is None for value in values):
            raise InputError(
                f"{path}: {counted(missing, 'row')} of its metadata without {name!r}; expected one in every row"
            )
    return found


def _embeddings(vectors: Sequence[Path], tables: Sequence[Path]) -> np.ndarray:
    """(n, d) float32; one part at a time is read."""
    arrays = [open_npy(file) for file in vectors]
    for file, array, table in zip(vectors, arrays, tables, strict=True):
        rows = open_file(table).metadata.num_rows
        if array.ndim != 2 or len(array) != rows or array.shape[1] != arrays[0].shape[-1] or array.dtype.kind != "f":
            raise InputError(
                f"{file}: holds {array.dtype} {array.shape} for {rows} rows of {table.name}; expected ({rows}, {arrays[0].shape[-1]})"
            )
    if len(arrays) == 1:
        return arrays[0]
    whole = np.empty((sum(map(len, arrays)), arrays[0].shape[1]), dtype=np.float32)
    return np.concatenate(arrays, out=whole, casting="same_kind")


def _parents(path: Path, paths: Sequence[str]) -> list[str]:
    names = [PurePosixPath(one).parent.name for one in paths]
    if not all(names):
        lost = paths[names.index("")]
        raise InputError(
            f"{path}: image_path {lost!r} lies in no folder that could be its class; expected CLASS/IMAGE, or a column {CLASSES[1]!r}"
        )
    return names


def _split(image: str) -> str:
    above = PurePosixPath(image).parent.parent.name
    return above if above in SPLIT_NAMES else "train"


def _keys(paths: Sequence[str]) -> list[str]:
    """Paths below the folder that holds them all: the same wherever that folder is."""
    root = os.path.commonpath([str(PurePosixPath(one).parent.parent) for one in paths]) if _alike(paths) else ""
    return [os.path.relpath(one, root) if root else one for one in paths]


def _alike(paths: Sequence[str]) -> bool:
    return len({one.startswith("/") for one in paths}) == 1
