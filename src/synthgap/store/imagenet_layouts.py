"""ImageNet's test sets as they are handed out: a flat validation set with its labels in a file, folders in folders.

The validation set of ILSVRC-2012 is 50,000 files in one folder, ``ILSVRC2012_val_00000001.JPEG`` and so on. Their
labels come in the files' names (``ILSVRC2012_val_00000001_n01751748.JPEG``, as in the Hub's archive) or in one of three
files, looked for beside the images and in the folders above:

* ``LOC_val_solution.csv`` of Kaggle: the image's name and, first in the next column, its WordNet id;
* ``imagenet_2012_validation_synset_labels.txt`` (TensorFlow): line n is the WordNet id of image n;
* ``ILSVRC2012_validation_ground_truth.txt`` of the development kit: line n is image n's ILSVRC2012_ID, which is *not*
  the position in the sorted WordNet ids; ``meta.mat`` or ``map_clsloc.txt`` beside it says which id is which class.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.store.folders import image_key
from synthgap.store.images import BrokenImage
from synthgap.store.rows import Contents, ImageRow, ImageSource

WNID = re.compile(r"n\d{8}")
VALIDATION_FILE = re.compile(r"ILSVRC2012_val_(\d{8})(?:_(n\d{8}))?\.jpe?g", re.IGNORECASE)
V2_VARIANT = re.compile(r"v2.*(matched-frequency|threshold-?0\.7|top-images)")
"""Which variant of ImageNet-v2 a folder's name in small letters speaks of."""

_KAGGLE, _TENSORFLOW, _DEVKIT = (
    "LOC_val_solution.csv",
    "imagenet_2012_validation_synset_labels.txt",
    "ILSVRC2012_validation_ground_truth.txt",
)
_DEVKIT_FOLDERS = (".", "data", "ILSVRC2012_devkit_t12/data", "ILSVRC2012_devkit_t12")
_BELOW = (".", "val", "CLS-LOC/val", "Data/CLS-LOC/val", "ILSVRC/Data/CLS-LOC/val")
"""Where Kaggle's tree has the flat folder."""
_ABOVE = 4
"""Folders from Kaggle's flat folder up to ``LOC_val_solution.csv``."""
_SPLIT = "val"


def v2_variant(name: str) -> str | None:
    """The variant of ImageNet-v2 that a folder's name speaks of.

    >>> v2_variant("imagenetv2-threshold0.7-format-val"), v2_variant("imagenet-r")
    ('threshold-0.7', None)
    """
    found = V2_VARIANT.search(re.sub(r"[_ ]", "-", name.lower()))
    return found.group(1).replace("threshold0", "threshold-0") if found else None


def v2_variants(path: Path) -> dict[str, Path]:
    """Folders in a folder that are variants of ImageNet-v2, by variant."""
    return {variant: path / name for name in _folders(path) if (variant := v2_variant(name))}


def classes_below(path: Path, is_class: Callable[[str], bool]) -> Path | None:
    """The first folder below a folder, at most three levels down, of whose folders two or more are classes."""
    level = [path]
    for _ in range(3):
        level = [folder / name for folder in level for name in _folders(folder)]
        if found := next((folder for folder in level if sum(map(is_class, _folders(folder))) >= 2), None):
            return found
    return None


def validation_folder(path: Path) -> Path | None:
    """The flat validation folder at a path or, as in Kaggle's tree, below it; None where there is none."""
    return next((folder for below in _BELOW if is_flat_validation(folder := path / below)), None)


def is_flat_validation(path: Path) -> bool:
    """Whether a folder holds ILSVRC-2012's validation images as files, not yet moved into folders of classes."""
    try:
        flat = any(VALIDATION_FILE.fullmatch(name) for name in os.listdir(path))  # noqa: PTH208
    except OSError:  # no folder, or one that may not be read: what reads it says so
        return False
    return flat and not any(WNID.fullmatch(name) for name in _folders(path))


def open_flat_validation(path: Path) -> ImageSource:
    """Index the flat validation folder; images without a label are left out and counted in the notes.

    Raises:
        InputError: no file of labels beside the images or above them, or one that cannot be read.
    """
    found = sorted(entry.name for entry in os.scandir(path) if VALIDATION_FILE.fullmatch(entry.name))
    named = {name: match.group(2) for name in found if (match := VALIDATION_FILE.fullmatch(name))}
    truth = None if all(named.values()) else _truth(path)
    labels = {name: wnid or (truth.of(name) if truth else None) for name, wnid in named.items()}
    labelled = sorted((wnid, name) for name, wnid in labels.items() if wnid is not None)
    if truth and not labelled:
        raise InputError(
            f"{truth.file}: has no label for the {counted(len(found), 'image')} of {path}; expected {truth.expected}"
        )
    classes = sorted({wnid for wnid, _ in labelled})
    position = {wnid: number for number, wnid in enumerate(classes)}
    digest = hashlib.sha256()
    for wnid, name in labelled:
        size, changed = _size_and_time(path / name)
        digest.update(f"{wnid}\0{name}\0{size}\0{changed}\n".encode())
    left_out = len(found) - len(labelled)
    contents = Contents(
        classes={wnid: wnid for wnid in classes},
        labels={_SPLIT: np.asarray([position[wnid] for wnid, _ in labelled], dtype=np.int32)},
        fingerprint=digest.hexdigest()[:16],
        rows=partial(_rows, path, labelled),
        notes=(f"left out: {counted(left_out, 'image')} without a label in {truth.file.name}",)
        if truth and left_out
        else (),
    )
    return ImageSource(path, "folder", contents)


def _rows(root: Path, labelled: list[tuple[str, str]], split: str, start: int, stop: int) -> Iterator[ImageRow]:
    for wnid, name in labelled[start:stop]:
        yield ImageRow(image_key(name), wnid, split, None, name, partial(_read, root / name))


def _size_and_time(file: Path) -> tuple[int, int]:
    """Of an image; a link to nothing is reported as unreadable when it is read."""
    try:
        status = file.stat()
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenImage(f"cannot be read: {error.strerror}") from None


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry))
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link to itself
        return False


@dataclass(frozen=True)
class _Truth:
    """Labels of the validation images."""

    file: Path
    wnids: dict[int, str]
    """WordNet id by the number in an image's name."""
    expected: str

    def of(self, name: str) -> str | None:
        """Label of an image by the number in its name."""
        match = VALIDATION_FILE.fullmatch(name)
        return self.wnids.get(int(match.group(1))) if match else None


def _truth(path: Path) -> _Truth:
    """The nearest file of labels, at the images or above them."""
    here = path.resolve()
    for folder in [here, *list(here.parents)[:_ABOVE]]:
        if (file := folder / _KAGGLE).is_file():
            return _kaggle(file)
        if (file := folder / _TENSORFLOW).is_file():
            return _one_a_line(file, _wnid_of)
        for below in _DEVKIT_FOLDERS:
            if (file := folder / below / _DEVKIT).is_file():
                return _one_a_line(file, _devkit_ids(file).get)
    raise InputError(
        f"{path}: holds ImageNet's validation images and no labels; put {_KAGGLE} (Kaggle), {_TENSORFLOW}, or {_DEVKIT} "
        "and meta.mat (development kit) beside them, or move the images into one folder per class"
    )


def _kaggle(file: Path) -> _Truth:
    found: dict[int, str] = {}
    for row in _csv(file):
        match = VALIDATION_FILE.fullmatch(f"{row[0].removesuffix('.JPEG')}.JPEG") if len(row) > 1 else None
        wnid = _wnid_of(row[1].split(" ", 1)[0]) if match else None
        if match and wnid:
            found[int(match.group(1))] = wnid
    return _Truth(file, found, "lines such as 'ILSVRC2012_val_00000001,n01751748 111 108 441 193'")


def _one_a_line(file: Path, meaning: Callable[[str], str | None]) -> _Truth:
    """Line n is the label of image n."""
    lines = _text(file).split()
    found = {number: wnid for number, text in enumerate(lines, start=1) if (wnid := meaning(text))}
    if len(found) < len(lines):
        strange = next(text for text in lines if meaning(text) is None)
        raise InputError(f"{file}: {strange[:40]!r} is no class; expected one label a line, in the images' order")
    return _Truth(file, found, "one label a line, in the images' order")


def _csv(file: Path) -> list[list[str]]:
    try:
        return list(csv.reader(_text(file).splitlines()))
    except csv.Error as error:
        raise InputError(f"{file}: not CSV: {error}; expected ImageNet's labels") from None


def _text(file: Path) -> str:
    """A file of labels."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text at byte {error.start}; expected ImageNet's labels") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}; expected ImageNet's labels") from None


def _wnid_of(text: str) -> str | None:
    return text if WNID.fullmatch(text) else None


def _devkit_ids(truth: Path) -> dict[str, str]:
    """WordNet id of each ILSVRC2012_ID, from the file beside the development kit's labels."""
    if (file := truth.parent / "map_clsloc.txt").is_file():
        rows = [line.split() for line in _text(file).splitlines()]
        return {row[1]: row[0] for row in rows if len(row) > 1 and WNID.fullmatch(row[0])}
    if (file := truth.parent / "meta.mat").is_file():
        return _meta(file)
    raise InputError(
        f"{truth}: holds ILSVRC2012 ids, whose order is not that of the WordNet ids; put the development kit's meta.mat "
        "or map_clsloc.txt beside it"
    )


def _meta(file: Path) -> dict[str, str]:
    """``synsets`` of meta.mat: plain arrays, nothing in a file of MATLAB 5 is run."""
    from scipy.io import loadmat

    try:
        synsets = loadmat(file, squeeze_me=True, variable_names=["synsets"])["synsets"]
        return {
            str(int(number)): str(wnid) for number, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
        }
    except Exception as error:  # SciPy answers a damaged file with nearly any exception
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{file}: cannot be read ({first}); expected the development kit's meta.mat") from None
