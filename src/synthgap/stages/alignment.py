"""One set of class keys for a natural set and its synthetic sets, and what had to be left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthgap.core.errors import InputError
from synthgap.store.embeddings import EmbeddingSet, Skipped
from synthgap.store.match import align_classes


@dataclass(frozen=True)
class Aligned:
    """The sets with the natural set's class keys, restricted to the classes that all of them have images of."""

    natural: EmbeddingSet
    synthetic: tuple[EmbeddingSet, ...]
    renamed: Mapping[str, Mapping[str, str]]
    """Set name -> the common class key of each of its own class keys that take part."""
    left_out: Mapping[str, tuple[str, str]]
    """Class key that takes no part -> (its name, why)."""

    @property
    def names(self) -> dict[str, str]:
        """Name of each common class."""
        return self.natural.classes


def align(natural: EmbeddingSet, synthetic: Sequence[EmbeddingSet], least: int = 2) -> Aligned:
    """Match the classes of every synthetic set with the natural set's, by key or else by name.

    Raises:
        InputError: Fewer than ``least`` classes are in all sets; the message lists some of each.
    """
    pairs = [_partners(natural, images) for images in synthetic]
    common = [key for key in natural.classes if all(key in found for found in pairs)]
    check_classes([(images.name, _present(images)) for images in (natural, *synthetic)], least)
    left_out: dict[str, tuple[str, str]] = {}
    for key in natural.classes:
        absent = [images.name for images, found in zip(synthetic, pairs, strict=True) if key not in found]
        if absent and key in set(natural.class_keys):
            where = f"class only in {natural.name}" if len(absent) == len(synthetic) else f"class is not in {absent[0]}"
            left_out[key] = (natural.classes[key], where)
        elif absent:
            left_out[key] = (natural.classes[key], f"class has no images in {natural.name}")
    for images, found in zip(synthetic, pairs, strict=True):
        matched = set(found.values())
        for key, name in images.classes.items():
            if key not in matched and key not in left_out:
                empty = key not in set(images.class_keys)
                why = f"class has no images in {images.name}" if empty else f"class only in {images.name}"
                left_out[key] = (name, why)
    renamed = {natural.name: {key: key for key in common}}
    for images, found in zip(synthetic, pairs, strict=True):
        renamed[images.name] = {found[key]: key for key in common}
    names = {key: natural.classes[key] for key in common}
    kept = [_with_keys(images, renamed[images.name], names) for images in (natural, *synthetic)]
    return Aligned(kept[0], tuple(kept[1:]), renamed, left_out)


def rename_classes(images: EmbeddingSet, renamed: Mapping[str, str], names: Mapping[str, str]) -> EmbeddingSet:
    """A further set, such as prompts, under the common class keys; its other classes are dropped."""
    return _with_keys(images, renamed, names)


def without_direction(images: EmbeddingSet) -> EmbeddingSet:
    """The set with its zero vectors, which have no direction, moved to the skipped rows.

    Raises:
        InputError: No row is left.
    """
    zero = ~np.any(images.embeddings, axis=1)
    reason = "the embedding is a zero vector, which has no direction"
    lost = [
        Skipped(images.image_keys[row], images.class_keys[row], reason, images.splits[row])
        for row in np.flatnonzero(zero)
    ]
    if len(lost) == len(images):
        why = Counter(row.reason for row in [*images.skipped, *lost]).most_common(1)
        raise InputError(f"{images.name!r} has no usable image{f'; {why[0][1]} times: {why[0][0]}' if why else ''}")
    return replace(images.subset(~zero), skipped=[*images.skipped, *lost]) if lost else images


def matched_to(reference: EmbeddingSet, query: EmbeddingSet) -> EmbeddingSet:
    """The query set under the reference set's class keys where classes match; all its classes kept."""
    pairs, _, _ = align_classes(reference.classes, query.classes)
    renamed = {key: key for key in query.classes} | {own: key for key, own, _ in pairs}
    names = {renamed[key]: name for key, name in query.classes.items()}
    return _with_keys(query, renamed, names)


def _partners(natural: EmbeddingSet, images: EmbeddingSet) -> dict[str, str]:
    """The synthetic key of each natural class that both sets have images of."""
    pairs, _, _ = align_classes(natural.classes, images.classes)
    here, there = set(natural.class_keys), set(images.class_keys)
    return {key: own for key, own, _ in pairs if key in here and own in there}


def _with_keys(images: EmbeddingSet, renamed: Mapping[str, str], names: Mapping[str, str]) -> EmbeddingSet:
    mask = np.array([key in renamed for key in images.class_keys], dtype=np.bool_)
    kept = images if mask.all() else images.subset(mask)
    return replace(kept, class_keys=[renamed[key] for key in kept.class_keys], classes=dict(names))


def check_classes(sets: Sequence[tuple[str, Mapping[str, str]]], least: int = 2) -> None:
    """Refuse sets, each a name and the names of the classes it has images of, that share fewer classes than needed.

    The first is the natural set. Nothing but names is needed, so this can be asked before anything is computed.
    """
    (_, natural), *others = sets
    matched = [{key for key, _, _ in align_classes(natural, classes)[0]} for _, classes in others]
    common = set(natural).intersection(*matched)
    if len(common) < least:
        found = "; ".join(f"{name!r} has {_some(classes)}" for name, classes in sets[:4])
        raise InputError(
            f"the sets have {len(common)} class{'' if len(common) == 1 else 'es'} in common and {least} are needed:"
            f" {found}; give them the same class names"
        )


def _some(classes: Mapping[str, str]) -> str:
    names = list(classes.values())
    return (", ".join(names[:4]) or "no class") + (", …" if len(names) > 4 else "")


def _present(images: EmbeddingSet) -> dict[str, str]:
    """The classes that the set has rows of."""
    here = set(images.class_keys)
    return {key: name for key, name in images.classes.items() if key in here}
