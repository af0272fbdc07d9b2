"""What is learned from: one image set or several in given shares, under one list of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from synthgap.core.counting import counted
from synthgap.core.errors import InputError, RunError
from synthgap.core.specs import LearningResources
from synthgap.models.preprocessing import Preprocessing
from synthgap.store.images import BrokenImage, Pixels, decode_image
from synthgap.store.match import align_classes
from synthgap.store.rows import ImageRow, ImageSource
from synthgap.store.sources import train_split

HELD_SIDE = 64
"""Images that are seen in squares of this side or less are kept decoded."""


@dataclass(frozen=True)
class ImageShare:
    """One set of a mixture."""

    source: ImageSource
    share: float | None = None
    """Of all images; None for a set that is used whole."""


@dataclass(frozen=True)
class Example:
    """One image to learn from: where it is, and its file where that is in memory or its own file."""

    key: str
    """Of the set's number and the image's key."""
    label: int
    source: ImageSource
    split: str
    position: int
    row: ImageRow | None

    def read(self) -> bytes:
        """The file's bytes. Raises BrokenImage."""
        row = self.row or next(self.source.rows(self.split, self.position, self.position + 1))
        return row.read()


@dataclass
class Examples:
    """Images and labels in a fixed order; the pixels are decoded when they are asked for, or kept."""

    members: list[Example]
    classes: dict[str, str]
    held: NDArray[np.uint8] | None = None
    """(n, 3, side, side), where the images are small and fit."""
    broken: dict[str, str] = field(default_factory=dict)
    """Key and reason of each image that could not be decoded."""

    def __len__(self) -> int:
        return len(self.members)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Position in ``classes`` of each image's class, (n,)."""
        return np.fromiter((one.label for one in self.members), dtype=np.int64, count=len(self.members))

    def decoded(self, index: int) -> tuple[Pixels, int]:
        """Pixels (h, w, 3) and label of an image; in place of one that is broken the next sound one.

        Raises RunError where none is sound.
        """
        for step in range(len(self.members)):
            one = self.members[(index + step) % len(self.members)]
            if one.key in self.broken:
                continue
            try:
                return decode_image(one.read()), one.label
            except BrokenImage as broken:
                self.broken[one.key] = broken.reason
        raise RunError(
            f"none of {counted(len(self.members), 'image')} can be decoded; the first: {next(iter(self.broken.values()))}"
        )

    def hold(self, preprocessing: Preprocessing, resources: LearningResources) -> Examples:
        """Decode all images to their squares now, where these are small and fit in memory; broken ones are left out."""
        side = preprocessing.image_size[0]
        if not self.members or side > HELD_SIDE or len(self) * 3 * side * side > resources.memory * 2**30:
            return self

        def prepare(one: Example) -> NDArray[np.uint8] | str:
            try:
                found: NDArray[np.uint8] = preprocessing.prepare(decode_image(one.read())).numpy()
                return found
            except BrokenImage as broken:
                return broken.reason

        with ThreadPoolExecutor(resources.workers) as pool:
            ready = list(pool.map(prepare, self.members))
        broken = {one.key: found for one, found in zip(self.members, ready, strict=True) if isinstance(found, str)}
        sound = [found for found in ready if not isinstance(found, str)]
        if not sound:
            raise InputError(
                f"none of {counted(len(self), 'image')} can be decoded; the first: {next(iter(broken.values()), '')}"
            )
        members = [one for one in self.members if one.key not in broken]
        return Examples(members, self.classes, np.stack(sound), broken)


def gather(
    shares: Sequence[ImageShare], *, images: int | None, validation_share: float, seed: int, memory: float
) -> tuple[Examples, Examples]:
    """Choose what is learned from and what is kept apart.

    Images are drawn evenly over each set's classes, by the hash of their keys: fewer are always a part of more.

    Raises:
        InputError: a share without the others', fewer images than asked for, no class in common, or a single class.
    """
    classes, keys = _classes([one.source for one in shares])
    if len(classes) < 2:
        raise InputError(f"{shares[0].source.path}: has one class; a classifier needs at least two")
    pools = [_ordered(number, one.source, keys[number], classes, seed, memory) for number, one in enumerate(shares)]
    train, apart = [], []
    for pool, quota in zip(pools, _quotas(shares, pools, images), strict=True):
        cut = int(quota * validation_share)
        apart += pool[:cut]
        train += pool[cut:quota]
    if len({one.label for one in train}) < 2:
        raise InputError(
            f"{counted(len(train), 'image')} to learn from, all of one class; give more images, or --validation-share 0"
        )
    return Examples(train, classes), Examples(apart, classes)


def matched(source: ImageSource, classes: dict[str, str], split: str | None, memory: float) -> Examples:
    """All images of a set whose classes are among ``classes``, by key or name; of one split, or of all.

    Raises InputError where no class is.
    """
    pairs, _, _ = align_classes(source.classes, classes)
    if not pairs:
        raise InputError(f"{source.path}: has no class in common with the images to learn from")
    position = {key: number for number, key in enumerate(classes)}
    label = {own: position[other] for own, other, _ in pairs}
    return Examples(list(_members(0, source, split, label, memory)), classes)


def common_classes(sources: Sequence[ImageSource]) -> dict[str, str]:
    """Name by key of all classes to learn; raises InputError where a set has none in common with the first."""
    return _classes(sources)[0]


def _classes(sources: Sequence[ImageSource]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """All classes that have images, and for each set the common key of each own key."""
    classes: dict[str, str] = {}
    keys: list[dict[str, str]] = []
    for source in sources:
        present = {key: name for key, name in source.classes.items() if key not in source.empty_classes}
        pairs, _, rest = align_classes(classes, present)
        if keys and not pairs:
            raise InputError(f"{source.path}: has no class in common with {sources[0].path}; a mixture needs the same")
        classes |= {key: present[key] for key in rest}
        keys.append({own: common for common, own, _ in pairs} | {key: key for key in rest})
    return classes, keys


def _ordered(
    number: int, source: ImageSource, keys: dict[str, str], classes: dict[str, str], seed: int, memory: float
) -> list[Example]:
    """A set's images so that every beginning of the list has the classes in the set's own proportions."""
    position = {key: place for place, key in enumerate(classes)}
    label = {own: position[common] for own, common in keys.items()}
    by_class: dict[int, list[tuple[bytes, Example]]] = {}
    for one in _members(number, source, train_split(source.splits), label, memory):
        digest = hashlib.sha256(f"{seed}\x1f{one.key}".encode()).digest()
        by_class.setdefault(one.label, []).append((digest, one))
    ranked: list[tuple[Fraction, bytes, Example]] = []
    for members in by_class.values():
        members.sort(key=lambda pair: pair[0])
        ranked += [(Fraction(2 * rank + 1, 2 * len(members)), *pair) for rank, pair in enumerate(members)]
    return [one for _, _, one in sorted(ranked, key=lambda item: item[:2])]


def _members(
    number: int, source: ImageSource, split: str | None, label: dict[str, int], memory: float
) -> Iterator[Example]:
    """Rows of a set with a label. Rows of folders read their own files; others hold their bytes, as far as these fit."""
    left = memory * 2**30
    for one in (split,) if split is not None else source.splits:
        for position, row in enumerate(source.rows(one)):
            if row.class_key not in label:
                continue
            if source.kind != "folder" and left > 0:
                with suppress(BrokenImage):  # it is told when it is decoded
                    left -= len(row.read())
            keep = row if source.kind == "folder" or left > 0 else None
            yield Example(f"{number}/{one}/{row.image_key}", label[row.class_key], source, one, position, keep)


def _quotas(shares: Sequence[ImageShare], pools: Sequence[Sequence[Example]], images: int | None) -> list[int]:
    """How many images each set gives."""
    given = [one.share for one in shares if one.share is not None]
    if len(given) not in (0, len(shares)):
        raise InputError(
            f"{len(given)} of {counted(len(shares), 'set')} have a share; give every set one, as SET@0.5, or none"
        )
    sizes = [len(pool) for pool in pools]
    weights = [share / sum(given) for share in given] or [size / max(1, sum(sizes)) for size in sizes]
    most = int(min(size / weight for size, weight in zip(sizes, weights, strict=True) if weight > 0) + 1e-9)
    total = most if images is None else images
    ends = [round(total * sum(weights[: place + 1])) for place in range(len(weights))]
    quotas = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    for one, quota, size in zip(shares, quotas, sizes, strict=True):
        if quota > size:
            raise InputError(
                f"{one.source.path}: has {counted(size, 'image')} to learn from and {quota} of {total} are its share; "
                f"at most {counted(most, 'image')} in all, or another share"
            )
    return quotas
