"""What every source of images gives: rows in a stable order, counted by split and class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.store.keys import shard_name


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a source; its bytes are fetched by ``read``."""

    image_key: str
    """Unique in its source, safe in file names (apart from ``/``), tables and HTML."""
    class_key: str
    split: str
    prompt: str | None
    path: str
    """Where it is, for people: relative to the source."""
    _fetch: Callable[[], bytes] = field(repr=False, compare=False)

    def read(self) -> bytes:
        """The image file's bytes.

        Raises:
            BrokenImage: it cannot be read, or the set says that it failed; with the reason.
        """
        return self._fetch()


@dataclass(frozen=True, slots=True)
class ShardRange:
    """Rows ``start`` to ``stop`` of a split that make one shard of something computed from a source."""

    name: str
    """``<split>/<class_key>-<block>``, or ``<split>/rows-<block>`` where classes are mixed."""
    split: str
    start: int
    stop: int


@dataclass(frozen=True)
class Contents:
    """What a reader found, without the images: one class position per row and split, and how to get at the rows."""

    classes: dict[str, str]
    """Name of each class key."""
    labels: dict[str, NDArray[np.int32]]
    """For each split the position in ``classes`` of each row's class, in the source's order."""
    fingerprint: str
    rows: Callable[[str, int, int], Iterator[ImageRow]]
    """Rows ``start`` to ``stop`` of a split."""
    notes: tuple[str, ...] = ()
    identity: str = ""
    """What stays the same when the source grows; empty for sources that do not."""
    part: Callable[[str, int, int], str] | None = None
    """Fingerprint of rows ``start`` to ``stop`` of a split, for a source that may grow."""


class ImageSource:
    """Labelled images in a stable order.

    Args:
        path: where they are.
        kind: ``folder``, ``set`` or ``parquet``.
        contents: what was found there.

    Raises:
        InputError: there is no image at all.
    """

    def __init__(self, path: Path, kind: str, contents: Contents) -> None:
        self.path = path
        self.kind = kind
        self.name = path.stem if path.is_file() else path.resolve().name
        self.classes = contents.classes
        """Name of each class key, in the source's order."""
        self.splits = tuple(split for split, labels in contents.labels.items() if len(labels))
        self.fingerprint = contents.fingerprint
        """Of names, sizes and times (folders, Parquet) or of the shards' hashes (sets); no image is read for it."""
        self.identity = contents.identity or contents.fingerprint
        """As the fingerprint, but the same after a set has grown: what is computed from it may grow with it."""
        self.notes = contents.notes
        """What was left out and why, in plain words."""
        self._contents = contents
        self._labels = {split: contents.labels[split] for split in self.splits}
        if not self.splits:
            raise InputError(f"{path}: holds no images; expected one folder per class with images in it, or Parquet")
        self.counts = {split: self._count(labels) for split, labels in self._labels.items()}
        """Images of each class by split; every class is there, also with 0."""
        self.empty_classes = tuple(
            key for key in self.classes if not any(counts[key] for counts in self.counts.values())
        )
        """Classes without any image."""

    def _count(self, labels: NDArray[np.int32]) -> dict[str, int]:
        found = np.bincount(labels, minlength=len(self.classes))
        return {key: int(n) for key, n in zip(self.classes, found, strict=True)}

    def __len__(self) -> int:
        return sum(len(labels) for labels in self._labels.values())

    def rows(self, split: str | None = None, start: int = 0, stop: int | None = None) -> Iterator[ImageRow]:
        """Rows of one split, or of all splits one after the other; always in the same order.

        Args:
            split: one of ``splits``, or None for all.
            start: first row of the split.
            stop: row of the split to end before; None for its end.

        Raises:
            InputError: there is no such split.
        """
        if split is None:
            if start or stop is not None:
                raise ValueError("start and stop count within a split; name the split")
            for one in self.splits:
                yield from self.rows(one)
            return
        if split not in self._labels:
            raise InputError(f"{self.path}: has no split {split!r}; it has {', '.join(map(repr, self.splits))}")
        total = len(self._labels[split])
        yield from self._contents.rows(split, min(start, total), total if stop is None else min(stop, total))

    def only(self, split: str) -> ImageSource:
        """The images of one split as a source of their own.

        Raises:
            InputError: there is no such split.
        """
        if split not in self._labels:
            raise InputError(f"{self.path}: has no split {split!r}; it has {', '.join(map(repr, self.splits))}")
        contents = replace(
            self._contents,
            labels={split: self._labels[split]},
            fingerprint=fingerprint("split", split, self.fingerprint),
            identity=fingerprint("split", split, self.identity),
        )
        return ImageSource(self.path, self.kind, contents)

    def shards(self, size: int = 1000) -> list[ShardRange]:
        """Cut the source into shards of at most ``size`` rows, in its order.

        A shard holds one class where the source is ordered by class; a shuffled source is cut into plain ranges.
        """
        return [part for split in self.splits for part in self._shards(split, size)]

    def part_fingerprint(self, part: ShardRange) -> str:
        """Fingerprint of a shard's rows; the whole source's where it cannot grow."""
        known = self._contents.part
        return self.fingerprint if known is None else known(part.split, part.start, part.stop)

    def _shards(self, split: str, size: int) -> Iterator[ShardRange]:
        labels, keys = self._labels[split], list(self.classes)
        runs = [(keys[labels[start]], start, stop) for start, stop in _runs(labels)]
        if len(runs) > len({key for key, _, _ in runs}):  # a class comes back later: not ordered by class
            runs = [("rows", 0, len(labels))]
        for key, start, stop in runs:
            for block, first in enumerate(range(start, stop, size)):
                yield ShardRange(shard_name(split, key, block), split, first, min(first + size, stop))


def _runs(labels: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Bounds of the longest stretches of equal labels."""
    cuts = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    return list(pairwise(cuts))
