"""Planning: a spec becomes the list of images to draw, each with its prompt and its seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from synthgap.core.errors import FingerprintError, InputError
from synthgap.core.records import ClassEntry
from synthgap.core.seeds import EVAL_INDEX, image_seed
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import PromptWriter
from synthgap.store.keys import eval_split, shard_name, train_split
from synthgap.store.match import align_classes
from synthgap.store.plan import PlannedImage, Settings, blocks
from synthgap.store.sources import open_images
from synthgap.vocabulary import resolve

TRAIN, EVAL = "train", "eval"

Layout = Mapping[tuple[str, str], tuple[int, ...]]
"""Rows of each shard by (split, class key), in order."""


@dataclass(frozen=True)
class Plan:
    """What will be drawn: classes, how many images of each, and who writes their prompts. Iterates over the images."""

    spec: GenerateSpec
    classes: tuple[ClassEntry, ...]
    counts: Mapping[tuple[str, str], int]
    """Images by (split, class key)."""
    writer: PromptWriter
    layout: Layout = field(default_factory=dict)
    """Shards that are there already."""
    notes: tuple[str, ...] = ()
    """How ambiguous and unknown class names were read, one line each; for the user to see."""

    def __len__(self) -> int:
        """Number of images."""
        return sum(self.counts.values())

    @property
    def class_names(self) -> dict[str, str]:
        """Name of each class key, in the plan's order."""
        return {entry.class_key: entry.name for entry in self.classes}

    def __iter__(self) -> Iterator[PlannedImage]:
        """Every image to be: train before eval, class after class, index after index."""
        for split in (TRAIN, EVAL):
            for entry in self.classes:
                yield from self._images(entry, split)

    def _images(self, entry: ClassEntry, split: str) -> Iterator[PlannedImage]:
        place = (split, entry.class_key)
        start = 0
        for block, rows in enumerate(
            blocks(self.layout.get(place, ()), self.counts.get(place, 0), self.spec.shard_size)
        ):
            shard = shard_name(split, entry.class_key, block)
            yield from (self._image(entry, split, start + number, shard) for number in range(rows))
            start += rows

    def _image(self, entry: ClassEntry, split: str, position: int, shard: str) -> PlannedImage:
        key = entry.class_key
        # Far above any train index, so that growing the train split never moves an eval image's seed.
        index = position + (EVAL_INDEX if split == EVAL else 0)
        prompt = self.writer.write(entry, index)
        guidance, steps = self._settings.get(key, (None, None))
        return PlannedImage(
            image_key=f"{key}-{split}-{position:07d}",
            class_key=key,
            split=split,
            shard=shard,
            index=index,
            seed=image_seed(self.spec.seed, key, index),
            prompt=prompt.text,
            recipe=prompt.recipe,
            guidance_scale=guidance,
            num_inference_steps=steps,
        )

    @cached_property
    def _settings(self) -> dict[str, Settings]:
        """Guidance and steps of each class that has its own; one that is told to have the set's has none."""
        return {
            key: (
                None if one.guidance_scale == self.spec.guidance_scale else one.guidance_scale,
                None if one.num_inference_steps == self.spec.num_inference_steps else one.num_inference_steps,
            )
            for key, one in self.writer.adjustments.items()
        }


def plan_set(spec: GenerateSpec, layout: Layout | None = None, known: Mapping[str, str] | None = None) -> Plan:
    """Plan the set of a spec: a pure function of it and of the files it names.

    The seed of an image follows from the run seed, its class and its index alone (design section 3), so sets that
    differ in recipe or guidance compare image by image (M Fig. 5).

    Args:
        spec: what to draw.
        layout: the shards of a set that is to grow; they stay as they are.
        known: class names by key of that set: its classes come first and in its order, so that labels stay.

    Raises:
        InputError: an unknown class, list, recipe or file, or a class that is named twice.
        FingerprintError: fewer images of a class are asked for than there are.
    """
    resolution = resolve(spec.classes)
    order = {key: number for number, key in enumerate(known or {})}
    classes = tuple(sorted(resolution.entries, key=lambda entry: order.get(entry.class_key, len(order))))
    counts = _counts(spec, classes)
    for (split, key), rows in (layout or {}).items():
        if sum(rows) > counts.get((split, key), 0):
            raise FingerprintError(
                f"{sum(rows)} {split} images of {(known or {}).get(key, key)!r} are there and {counts.get((split, key), 0)} are asked "
                "for; ask for at least as many, or give another folder"
            )
    writer = PromptWriter.of(spec, classes)
    return Plan(spec, classes, counts, writer, layout or {}, (*resolution.notes, *writer.notes))


def class_list(text: str, classes: Mapping[str, str]) -> str | None:
    """What names exactly these classes, in any order: the text itself, else WordNet ids; None where neither does."""
    for one in (text, ",".join(classes)):
        try:
            if {entry.class_key: entry.name for entry in resolve(one).entries} == dict(classes):
                return one
        except InputError:
            continue
    return None


def _counts(spec: GenerateSpec, classes: tuple[ClassEntry, ...]) -> dict[tuple[str, str], int]:
    """Images by (split, class key): the same of every class, or as many as another set has."""
    if spec.counts_like is None:
        wanted = ((TRAIN, spec.per_class), (EVAL, spec.eval_per_class))
        return {(split, entry.class_key): count for split, count in wanted for entry in classes}
    return _counts_like(spec.counts_like, spec.counts_times, classes)


def _counts_like(path: Path, times: int, classes: tuple[ClassEntry, ...]) -> dict[tuple[str, str], int]:
    """As many images of each class and split as a set of images has: its imbalance is kept (S 5)."""
    source = open_images(path)
    pairs, missing, _ = align_classes({entry.class_key: entry.name for entry in classes}, source.classes)
    if missing:
        name = next(entry.name for entry in classes if entry.class_key == missing[0])
        known = ", ".join(list(source.classes.values())[:5])
        raise InputError(
            f"{path}: has no class {name!r} to count; it has {known}; name its folders by WordNet id or name"
        )
    splits = ((TRAIN, train_split(source.splits)), (EVAL, eval_split(source.splits)))
    return {
        (split, key): times * source.counts[theirs][match]
        for split, theirs in splits
        if theirs is not None
        for key, match, _ in pairs
    }
