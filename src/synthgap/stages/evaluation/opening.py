"""From what a user writes to a set to be scored on: a path, one of ImageNet's test sets, or a reader of timm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.models.timm_images import TimmImages, open_timm_images
from synthgap.stages.evaluation.benchmarks import V2, Benchmark, by_name, find_benchmark, recognise
from synthgap.stages.evaluation.numbering import wordnet_ids
from synthgap.store.imagenet_layouts import WNID, classes_below, v2_variants, validation_folder
from synthgap.store.images import BrokenImage
from synthgap.store.keys import class_keys, eval_split
from synthgap.store.rows import Contents, ImageRow, ImageSource
from synthgap.store.sources import open_images

TIMM = "timm:"
TIMM_SPLIT = "validation"
"""What is asked of a reader of timm that is not told a split."""


@dataclass(frozen=True)
class ScoredSet:
    """Images to score a classifier on."""

    images: ImageSource
    benchmark: Benchmark | None = None
    """Which of ImageNet's test sets it is, where that is known."""
    wnids: dict[str, str] = field(default_factory=dict)
    """WordNet id of each class key that is a class of ImageNet."""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What it is called in a table."""
        return self.benchmark.label if self.benchmark else self.images.name


def scored_set(images: ImageSource) -> ScoredSet:
    """A set that nothing more is known of than its classes."""
    return ScoredSet(images, wnids=wordnet_ids(images.classes))


def with_name(text: str) -> tuple[str | None, str]:
    """``v2-top-images=PATH`` as name and place; a path that exists is never cut."""
    name, equals, place = text.partition("=")
    if not equals or "/" in name or text.startswith(TIMM) or Path(text).expanduser().exists():
        return None, text
    return name, place


def open_scored(place: str, *, name: str | None = None, split: str | None = None) -> ScoredSet:
    """Open a set to be scored on.

    Args:
        place: a path of anything that `open_images` opens, a folder with ImageNet's flat validation set below it as in
            Kaggle's tree, or ``timm:READER/NAME``, ``timm:READER/NAME@ROOT``, ``timm:PATH``.
        name: which of ImageNet's test sets it is, such as ``val`` or ``v2-top-images``; known by the names of folder
            and files otherwise, where they tell.
        split: to be scored; only a reader of timm needs to know.

    Raises:
        InputError: nothing is there, it is laid out otherwise than that test set, or a class has no images.
    """
    wanted = None if name is None else find_benchmark(name)
    if place.startswith(TIMM):
        images, path = _through_timm(place.removeprefix(TIMM), split or TIMM_SPLIT), Path(place)
    else:
        path = Path(place).expanduser()
        _refuse_variants(path)
        images = open_images(validation_folder(path) or path)
    told = by_name(path.resolve().name)
    if wanted is None or (wanted.label == V2 and told is not None and told.name == V2):
        wanted = told
    found = wordnet_ids(images.classes, wanted.wnids if wanted else None)
    keys = [found.get(key, key) for key in images.classes]
    benchmark = wanted if name else recognise(path, _first_file(images), keys)
    _check_layout(path, images, found, benchmark)
    return ScoredSet(images, benchmark, found, _notes(images, benchmark, split))


def _refuse_variants(path: Path) -> None:
    if found := v2_variants(path):
        each = " ".join(f"v2-{variant}={folder}" for variant, folder in found.items())
        raise InputError(f"{path}: holds {len(found)} of ImageNet-v2's variants in folders; give them as sets: {each}")


def _first_file(images: ImageSource) -> str:
    """Path of an image to be scored; empty where there is none."""
    split = eval_split(images.splits) or images.splits[0]
    return next((row.path for row in images.rows(split, 0, 1)), "")


def _check_layout(path: Path, images: ImageSource, found: dict[str, str], benchmark: Benchmark | None) -> None:
    """Say what is wrong with folders that are not those of a test set."""
    if images.kind != "folder":
        return
    if not found and (benchmark or len(images.classes) == 1):
        below = classes_below(path, partial(_is_class, numbers=benchmark is not None))
        if below is not None:
            raise InputError(f"{path}: its folders of classes are deeper inside; give {below}")
    if benchmark is None:
        return
    known = set(benchmark.wnids)
    strange = [name for key, name in images.classes.items() if found.get(key) not in known]
    if strange:
        raise InputError(
            f"{path}: {len(strange)} of its {len(images.classes)} folders are no classes of {benchmark.label} "
            f"({_some(strange)}); expected WordNet ids (n01440764) or numbers (position in the sorted WordNet ids)"
        )
    if images.empty_classes:
        raise InputError(
            f"{path}: {len(images.empty_classes)} of its {len(images.classes)} class folders hold no images "
            f"({_some(images.empty_classes)}); unpack {benchmark.label} again, or remove them to score the other classes"
        )


def _is_class(name: str, *, numbers: bool) -> bool:
    return bool(WNID.fullmatch(name)) or (numbers and name.isdigit())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _notes(images: ImageSource, benchmark: Benchmark | None, split: str | None) -> tuple[str, ...]:
    if benchmark is None:
        return images.notes
    notes = list(images.notes)
    if benchmark.label == V2:
        notes.append("which variant of ImageNet-v2 this is, is not known; v2-matched-frequency=PATH says it")
    scored = split or eval_split(images.splits)
    count = sum(sum(counts.values()) for one, counts in images.counts.items() if scored in (None, one))
    if count != benchmark.images:
        notes.append(f"{counted(count, 'image')}; the whole of {benchmark.label} is {benchmark.images:,}")
    return tuple(notes)


def _through_timm(text: str, split: str) -> ImageSource:
    """A reader of timm as a source of images."""
    name, at, root = text.rpartition("@")
    if not at or Path(text).expanduser().exists():
        name, root = text, ""
    found = open_timm_images(name, root or None, split)
    keys = class_keys(found.classes)
    labels = np.asarray(found.labels, dtype=np.int32)
    kept = np.flatnonzero(labels >= 0)
    classes = dict(keys[label] for label in found.classes)
    contents = Contents(
        classes=classes,
        labels={split: labels[kept]},
        fingerprint=fingerprint(name, root, split, classes, found.labels),
        rows=partial(_rows, found, kept, list(classes)),
        notes=(f"left out: {counted(len(labels) - len(kept), 'image')} without a label",)
        if len(kept) < len(labels)
        else (),
    )
    return ImageSource(Path(name), "timm", contents)


def _rows(
    found: TimmImages, kept: NDArray[np.int64], classes: list[str], split: str, start: int, stop: int
) -> Iterator[ImageRow]:
    wanted = kept[start:stop]
    if not len(wanted):
        return
    first = int(wanted[0])
    chosen = set(wanted.tolist())
    for number, (path, read) in enumerate(found.read(first, int(wanted[-1]) + 1), start=first):
        if number in chosen:
            key = f"{split}-{number:07d}"
            yield ImageRow(key, classes[found.labels[number]], split, None, path, partial(_bytes, read))


def _bytes(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError as error:
        raise BrokenImage(f"cannot be read: {error.strerror or error}") from None
