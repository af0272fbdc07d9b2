"""Embeddings of one set in memory, each with its class, image and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthgap.core.errors import InputError

Modality = Literal["image", "prompt"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that has no usable embedding, and why."""

    image_key: str
    class_key: str
    reason: str
    split: str = ""


def why_not_finite(embedding: NDArray[Any]) -> str:
    """The reason of a skipped row whose numbers are not all finite."""
    return f"embedding holds {'NaN' if np.isnan(embedding).any() else 'infinite numbers'}"


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings of the images, or of the prompts, of one set."""

    name: str
    embeddings: NDArray[np.float32]
    """(n, d), finite; not normalised."""
    class_keys: list[str]
    """(n,)"""
    image_keys: list[str]
    """(n,)"""
    classes: dict[str, str]
    """Name of each class key, in the set's order; classes without a row included."""
    modality: Modality
    splits: list[str]
    """(n,) split of each row."""
    encoder: str = ""
    encoder_fingerprint: str = ""
    """Two sets can only be compared where these agree; empty where it is not known."""
    skipped: list[Skipped] = field(default_factory=list)
    fingerprint: str = ""
    """Of the content."""

    def __post_init__(self) -> None:
        n = len(self.embeddings)
        if self.embeddings.ndim != 2 or self.embeddings.dtype != np.float32:
            raise ValueError(f"embeddings are {self.embeddings.dtype} {self.embeddings.shape}; expected float32 (n, d)")
        for column in ("class_keys", "image_keys", "splits"):
            if len(getattr(self, column)) != n:
                raise ValueError(f"{n} embeddings and {len(getattr(self, column))} {column}; expected as many")

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def dim(self) -> int:
        """Numbers per embedding."""
        return int(self.embeddings.shape[1])

    def split_names(self) -> tuple[str, ...]:
        """Splits that have rows, in the order of their first row."""
        return tuple(dict.fromkeys(self.splits))

    def counts(self) -> dict[str, int]:
        """Rows of each class; a class without rows has 0."""
        found = Counter(self.class_keys)
        return {key: found[key] for key in self.classes}

    def labels(self, order: Sequence[str]) -> NDArray[np.int64]:
        """(n,) int64: position of each row's class in ``order``, -1 where it is not in it."""
        position = {key: number for number, key in enumerate(order)}
        return np.asarray([position.get(key, -1) for key in self.class_keys], dtype=np.int64)

    def subset(self, rows: NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]) -> EmbeddingSet:
        """The rows at these positions, or where a (n,) mask is true; all else as it is."""
        index = np.asarray(rows)
        if index.dtype == np.bool_:
            index = np.flatnonzero(index)
        index = index.astype(np.int64)
        return replace(
            self,
            embeddings=self.embeddings[index],
            class_keys=[self.class_keys[i] for i in index],
            image_keys=[self.image_keys[i] for i in index],
            splits=[self.splits[i] for i in index],
        )

    def select(self, split: str | None = None, class_keys: Collection[str] | None = None) -> EmbeddingSet:
        """The rows, and the skipped rows, of one split and of some classes.

        Raises:
            InputError: there is no such split.
        """
        if split is not None and split not in self.splits:
            known = ", ".join(map(repr, self.split_names())) or "none"
            raise InputError(f"{self.name}: has no split {split!r}; it has {known}")
        wanted = None if class_keys is None else set(class_keys)
        mask = np.asarray(
            [
                (split is None or one == split) and (wanted is None or key in wanted)
                for one, key in zip(self.splits, self.class_keys, strict=True)
            ],
            dtype=np.bool_,
        )
        skipped = [
            row
            for row in self.skipped
            if (split is None or row.split == split) and (wanted is None or row.class_key in wanted)
        ]
        classes = {key: name for key, name in self.classes.items() if wanted is None or key in wanted}
        return replace(self.subset(mask), skipped=skipped, classes=classes)

    def renamed(self, name: str) -> EmbeddingSet:
        """The same set under another name."""
        return replace(self, name=name)
