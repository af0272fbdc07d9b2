"""Image folders: one folder per class, optionally inside one folder per split.

Names may be anything a file system allows; only what ends like an image counts, hidden files never do.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.store.images import BrokenImage
from synthgap.store.keys import EVAL_NAMES, SPLIT_NAMES, TRAIN_NAMES, class_keys, printable, safe_key
from synthgap.store.rows import Contents, ImageRow, ImageSource

EXTENSIONS = frozenset(
    f".{ending}"
    for ending in "jpg jpeg jpe jfif png bmp dib webp tif tiff gif ppm pgm pbm pnm avif jp2".split()  # noqa: SIM905
)
"""Endings of image files, in any case of letters."""

_JUNK_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"})
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@ -]*(/[A-Za-z0-9_][A-Za-z0-9_.+=,@ -]*)*")


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    """Below the source, with ``/``; bytes that are no UTF-8 as surrogates."""
    size: int
    mtime_ns: int


@dataclass
class _Split:
    """Files of one split in the order of (class, path), with the class position of each."""

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


def open_folder(path: Path) -> ImageSource:
    """Index an image folder; no image is opened.

    Where every folder at the top has the name of a split (train, val, eval, test …) and holds class folders, these are
    splits; otherwise each folder at the top is a class, and all images are in the split ``train``.

    Raises:
        InputError: no class folders, no images, or a folder that cannot be read.
    """
    top = _folders(path)
    stray = sum(_is_image(entry) for entry in _scan(path))
    if stray and not top:
        raise InputError(
            f"{path}: holds {counted(stray, 'image')} but no class folders; put the images of each class into a folder of its name"
        )
    by_split = _layout(path, top)
    keys = class_keys(sorted({name for names in by_split.values() for name, _ in names}, key=os.fsencode))
    position = {label: index for index, label in enumerate(keys)}
    digest, splits = hashlib.sha256(), {split: _Split() for split in by_split}
    above = frozenset({_identity(path)})
    for split, names in by_split.items():
        for name, below in names:
            for file in sorted(_images_below(path, below, above), key=lambda file: os.fsencode(file.path)):
                digest.update(os.fsencode(f"{split}\0{file.path}\0{file.size}\0{file.mtime_ns}\n"))
                splits[split].paths.append(file.path)
                splits[split].labels.append(position[name])
    classes = dict(keys.values())
    contents = Contents(
        classes=classes,
        labels={split: np.asarray(found.labels, dtype=np.int32) for split, found in splits.items()},
        fingerprint=digest.hexdigest()[:16],
        rows=_Reader(path, list(classes), splits).rows,
        notes=(f"left out: {counted(stray, 'image')} directly in {path.name}, of no class",) if stray else (),
    )
    return ImageSource(path, "folder", contents)


def _layout(path: Path, top: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Class folders of each split as (name, path below the source), in the order of their names."""
    lower = {name.lower() for name in top}
    if top and lower <= SPLIT_NAMES and len(lower) == len(top):
        order = [*TRAIN_NAMES, *EVAL_NAMES]
        inside = {name: _folders(path / name) for name in sorted(top, key=lambda name: order.index(name.lower()))}
        if all(inside.values()):
            return {split.lower(): [(name, f"{split}/{name}") for name in names] for split, names in inside.items()}
    return {"train": [(name, name) for name in top]}


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise InputError(f"{printable(str(folder))}: cannot be read: {error.strerror}") from None


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _scan(folder) if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name in _JUNK_FOLDERS:
        return False
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link to itself
        return False


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether an entry counts as an image by its name; a dangling link does, so that it is reported as unreadable."""
    if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in EXTENSIONS:  # noqa: PTH122
        return False
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return entry.is_symlink()


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _images_below(root: Path, below: str, above: frozenset[tuple[int, int]]) -> Iterator[_File]:
    """Image files in a folder and in the folders inside it; a link back to a folder above is not followed."""
    folder = root / below
    here = _identity(folder)
    if here in above:
        return
    for entry in _scan(folder):
        if _is_folder(entry):
            yield from _images_below(root, f"{below}/{entry.name}", above | {here})
        elif _is_image(entry):
            try:
                found = entry.stat()
                yield _File(f"{below}/{entry.name}", found.st_size, found.st_mtime_ns)
            except OSError:
                yield _File(f"{below}/{entry.name}", -1, 0)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Rows of the indexed files."""

    root: Path
    classes: list[str]
    splits: dict[str, _Split]

    def rows(self, split: str, start: int, stop: int) -> Iterator[ImageRow]:
        found = self.splits[split]
        for path, label in zip(found.paths[start:stop], found.labels[start:stop], strict=True):
            fetch = partial(_read, self.root / path)
            yield ImageRow(image_key(path), self.classes[label], split, None, printable(path), fetch)


def image_key(path: str) -> str:
    """The path itself where it is plain, else a readable slug with a hash that no plain path can have.

    >>> image_key("train/frog/0001.jpg")
    'train/frog/0001.jpg'
    """
    return path if len(path) <= 200 and _PLAIN_PATH.fullmatch(path) else safe_key(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenImage(f"cannot be read: {error.strerror}") from None
