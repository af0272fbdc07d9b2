"""Labelled images from wherever they are: an image folder, a set folder of ours, Parquet with Hugging Face features.

All three give the same ``ImageSource``: classes, splits, counts and a lazy, stable sequence of rows. Only names, labels
and sizes are kept in memory, never the images.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from synthgap.core.errors import InputError
from synthgap.store.embeddings import embedding_kind
from synthgap.store.folders import open_folder
from synthgap.store.imagenet_layouts import is_flat_validation, open_flat_validation
from synthgap.store.images import BrokenImage
from synthgap.store.keys import eval_split, train_split
from synthgap.store.manifest import kind_of
from synthgap.store.parquet_images import open_parquet, parquet_files
from synthgap.store.rows import ImageRow, ImageSource, ShardRange
from synthgap.store.set_images import open_set

__all__ = [
    "ImageRow",
    "ImageSource",
    "ShardRange",
    "duplicates",
    "eval_split",
    "is_embeddings",
    "keep_apart",
    "open_images",
    "train_split",
]


def open_images(path: Path | str) -> ImageSource:
    """Open labelled images for reading.

    Args:
        path: an image folder (one folder per class, optionally inside split folders; or ImageNet's flat validation
            folder with its labels), a set folder of ours, a Parquet file or a folder of Parquet files with Hugging
            Face features.

    Raises:
        InputError: nothing is there, it holds no images, or it is something else; one line with what was expected.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such folder; expected images: one folder per class, a set folder, or Parquet")
    if is_embeddings(path):
        raise InputError(f"{path}: holds embeddings, not images; 'synthgap measure' compares embeddings")
    if kind_of(path) == "image-set":
        return open_set(path)
    if files := parquet_files(path):
        return open_parquet(path, files)
    if not path.is_dir():
        raise InputError(f"{path}: is a {path.suffix or 'plain'} file; expected a folder of images or a Parquet file")
    return open_flat_validation(path) if is_flat_validation(path) else open_folder(path)


def is_embeddings(path: Path | str) -> bool:
    """Whether a path holds embeddings, in any form that ``load_embeddings`` reads."""
    return embedding_kind(Path(path).expanduser()) is not None


def keep_apart(out: Path, *sources: ImageSource) -> None:
    """Refuse a folder for results that lies among the images of a source, as it would then be read as more of them.

    Raises:
        InputError: it lies there, or is a file.
    """
    if out.expanduser().is_file():
        raise InputError(f"{out}: is a file; expected a folder for the result")
    place = Path(os.path.realpath(out.expanduser()))  # resolve() does not take a link to itself
    for source in sources:
        root = source.path.resolve()
        if source.kind in ("folder", "parquet") and (place == root or root in place.parents):
            raise InputError(f"{out}: lies among the images of {source.path}; give a folder elsewhere for the result")


def duplicates(source: ImageSource) -> int:
    """How many images have the very bytes of an earlier one; nothing is removed. Reads every image once."""
    seen: set[bytes] = set()
    repeated = 0
    for row in source.rows():
        try:
            digest = hashlib.sha256(row.read()).digest()
        except BrokenImage:
            continue
        repeated += digest in seen
        seen.add(digest)
    return repeated
