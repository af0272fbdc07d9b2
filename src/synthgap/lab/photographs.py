"""The photographs a world learns from: any labelled image set, decoded, without duplicates, split by content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.specs import LabSpec
from synthgap.lab.loop import Report
from synthgap.store.images import BrokenImage, decode_image
from synthgap.store.sources import ImageSource, open_images
from synthgap.vocabulary.lists import class_list


@dataclass(frozen=True)
class Photographs:
    """Decoded images with labels, one split of a world."""

    images: NDArray[np.uint8]
    """(n, size, size, 3)"""
    labels: NDArray[np.int64]
    """(n,) index into the world's classes"""
    data: tuple[bytes, ...] = ()
    """The files as they are, for the splits that are shipped."""


@dataclass(frozen=True)
class Split:
    """A world's photographs: what it learns from, and what no part of it ever sees."""

    entries: tuple[ClassEntry, ...]
    pool: Photographs
    train: Photographs
    evaluation: Photographs
    left_out: int
    """Exact duplicates and broken files."""


def matched_entries(source: ImageSource, classes: str) -> dict[str, ClassEntry]:
    """Pair the set's class keys with the entries of a class list, by key, name or lemma."""
    entries = class_list(classes)
    known = {name.lower(): entry for entry in entries for name in (*entry.lemmas, entry.name, entry.class_key)}
    pairs = {key: known.get(key.lower()) or known.get(name.lower()) for key, name in source.classes.items()}
    missing = [source.classes[key] for key, entry in pairs.items() if entry is None]
    if missing:
        raise InputError(
            f"{source.path}: class {missing[0]!r} is not in the list {classes!r} ({entries[0].name}, {entries[-1].name}, ...); "
            "name the classes of the folder with --classes"
        )
    return {key: entry for key, entry in pairs.items() if entry is not None}


def read_photographs(images: Path, spec: LabSpec, report: Report | None = None) -> Split:
    """Read, decode and split a labelled image set.

    Exact duplicates (the same bytes) are dropped. Within each class the order is that of the content's hash, so the
    split does not depend on file names: the first ``shipped_train`` and the next ``shipped_eval`` images of each class
    are never trained on.
    """
    source = open_images(images)
    pairs = matched_entries(source, spec.classes)
    entries = tuple(dict.fromkeys(pairs.values()))
    found: dict[str, tuple[str, int, NDArray[np.uint8], bytes]] = {}
    total = 0
    for row in source.rows():
        total += 1
        try:
            data = row.read()
            digest = hashlib.sha256(data).hexdigest()
            if digest not in found:
                found[digest] = (
                    digest,
                    entries.index(pairs[row.class_key]),
                    decode_image(data, size=spec.image_size),
                    data,
                )
        except BrokenImage:
            continue
        if report is not None and total % 1000 == 0:
            report(total, len(source), "reading photographs")
    parts: dict[str, list[tuple[str, int, NDArray[np.uint8], bytes]]] = {"pool": [], "train": [], "evaluation": []}
    for label, entry in enumerate(entries):
        ordered = _by_content(found, label)
        last = spec.shipped_train + spec.shipped_eval
        if len(ordered) <= last:
            raise InputError(
                f"{images}: class {entry.name!r} has {len(ordered)} different images; more than {last} are needed, "
                "as that many are kept apart (shipped_train + shipped_eval)"
            )
        parts["train"] += ordered[: spec.shipped_train]
        parts["evaluation"] += ordered[spec.shipped_train : last]
        parts["pool"] += ordered[last:]
    made = {name: _photographs(rows, keep=name != "pool") for name, rows in parts.items()}
    return Split(entries, made["pool"], made["train"], made["evaluation"], total - len(found))


def _by_content(
    found: dict[str, tuple[str, int, NDArray[np.uint8], bytes]], label: int
) -> list[tuple[str, int, NDArray[np.uint8], bytes]]:
    return [found[digest] for digest in sorted(found) if found[digest][1] == label]


def _photographs(rows: list[tuple[str, int, NDArray[np.uint8], bytes]], *, keep: bool) -> Photographs:
    images = np.stack([row[2] for row in rows])
    labels = np.array([row[1] for row in rows], dtype=np.int64)
    return Photographs(images, labels, tuple(row[3] for row in rows) if keep else ())
