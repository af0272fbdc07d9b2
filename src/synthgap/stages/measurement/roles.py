"""Which rows of a set are references and which are queries: never the same row in both (M section 3)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

import numpy as np

from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.keys import eval_split, train_split


def reference_rows(images: EmbeddingSet) -> EmbeddingSet:
    """The train split of a set that has both splits; all rows of a set that has one."""
    train, held_out = train_split(images.split_names()), eval_split(images.split_names())
    return images.select(train) if train is not None and held_out is not None else images


def query_rows(images: EmbeddingSet) -> EmbeddingSet:
    """The eval split of a set that has both splits; all rows of a set that has one."""
    train, held_out = train_split(images.split_names()), eval_split(images.split_names())
    return images.select(held_out) if train is not None and held_out is not None else images


def has_roles(images: EmbeddingSet) -> bool:
    """Whether the set comes with a train and an eval split."""
    names = images.split_names()
    return train_split(names) is not None and eval_split(names) is not None


def one_per_class(images: EmbeddingSet) -> bool:
    """Whether no class has more than one row, as with one prompt per class."""
    return max(Counter(images.class_keys).values(), default=0) <= 1


def both_roles(images: EmbeddingSet, seed: int) -> tuple[EmbeddingSet, EmbeddingSet]:
    """References and queries of one set: its own splits, else two halves of each class.

    The halves depend on the seed and the image keys only, not on the order of the rows. The larger half of an odd
    class is for reference. One prompt per class is its own reference, as in M Table 6 row 35: there is nothing else.
    """
    if has_roles(images):
        return reference_rows(images), query_rows(images)
    if images.modality == "prompt" and one_per_class(images):
        return images, images
    counts = Counter(images.class_keys)
    reference = _first_of_each(images, {key: (count + 1) // 2 for key, count in counts.items()}, seed)
    return images.subset(reference), images.subset(~reference)


def at_most(images: EmbeddingSet, counts: Mapping[str, int], seed: int) -> EmbeddingSet:
    """At most that many rows of each class, chosen by the seed and the image keys; a class not named keeps none."""
    return images.subset(_first_of_each(images, counts, seed))


def _first_of_each(images: EmbeddingSet, counts: Mapping[str, int], seed: int) -> np.ndarray:
    """Mask (n,) of the first rows of each class in an order drawn by the seed."""
    drawn = [hashlib.blake2b(f"{seed}\x1f{key}".encode(), digest_size=8).digest() for key in images.image_keys]
    # Image keys may repeat; the row decides then, so that every row is somewhere.
    order = sorted(range(len(drawn)), key=lambda row: (drawn[row], row))
    left = dict(counts)
    mask = np.zeros(len(images), dtype=np.bool_)
    for row in order:
        key = images.class_keys[row]
        if left.get(key, 0) > 0:
            left[key] -= 1
            mask[row] = True
    return mask
