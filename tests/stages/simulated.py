"""Simulated embeddings with faults of known kind and strength, for the tests of measurement and diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from synthgap.store.embeddings import EmbeddingSet

Vectors = NDArray[np.float64]


def make_set(name: str, parts: Sequence[Vectors], *, modality: str = "image", split: str = "train") -> EmbeddingSet:
    """A set with one class per part: keys c000, c001, …, names class 0, class 1, …"""
    keys = [f"c{number:03d}" for number, part in enumerate(parts) for _ in range(len(part))]
    return EmbeddingSet(
        name=name,
        embeddings=np.concatenate(parts).astype(np.float32),
        class_keys=keys,
        image_keys=[f"{name}-{row:05d}" for row in range(len(keys))],
        classes={f"c{number:03d}": f"class {number}" for number in range(len(parts))},
        modality=modality,  # type: ignore[arg-type]
        splits=[split] * len(keys),
    )


class World:
    """Classes as clouds in a cone, some nearer to each other than others, each with its own shape and spread."""

    def __init__(
        self,
        classes: int,
        *,
        seed: int = 0,
        dim: int = 48,
        separation: float = 1.0,
        decay: float = 0.5,
        tail: float = 0.0,
    ) -> None:
        """``decay`` is how fast the spread falls from one direction to the next, ``tail`` a Student's degrees of freedom."""
        self.rng = np.random.default_rng(seed)
        self.classes, self.dim, self.tail = classes, dim, tail
        cone = self.direction(1.5)
        families = [self.direction(0.6) for _ in range(max(1, classes // 5))]
        self.means = [
            cone + separation * (families[self.rng.integers(len(families))] + self.direction(1.0))
            for _ in range(classes)
        ]
        shape = np.arange(1, dim + 1) ** -decay
        self.shapes = [shape / np.linalg.norm(shape) * self.rng.uniform(0.7, 1.3) for _ in range(classes)]
        self.turns = [np.linalg.qr(self.rng.normal(size=(dim, dim)))[0] for _ in range(classes)]

    def direction(self, length: float) -> Vectors:
        """A random vector of this length."""
        vector = self.rng.normal(size=self.dim)
        return length * vector / np.linalg.norm(vector)

    def draw(self, index: int, n: int, *, spread: float = 1.0, offset: Vectors | float = 0.0) -> Vectors:
        """Images of a class."""
        noise = self.rng.normal(size=(n, self.dim)) * self.shapes[index] * spread
        if self.tail:
            noise /= np.sqrt(self.rng.chisquare(self.tail, size=(n, 1)) / (self.tail - 2))
        return self.means[index] + offset + noise @ self.turns[index].T

    def images(self, name: str, n: int, change: Callable[[int, int], Vectors] | None = None) -> EmbeddingSet:
        """``n`` images of every class, drawn by ``change(class, n)`` where given."""
        return make_set(name, [(change or self.draw)(index, n) for index in range(self.classes)])

    def elsewhere(self, index: int) -> Vectors:
        """The offset from a class to a concept that is no class of this world."""
        centre = np.mean(self.means, axis=0)
        return centre + self.direction(1.2) - self.means[index]

    def prompts(self, name: str = "prompts", moved: dict[int, Vectors] | None = None) -> EmbeddingSet:
        """One prompt per class, all far from the images (the modality gap) but in the classes' directions."""
        gap = self.direction(3.0)
        rows = [
            (mean + (moved or {}).get(index, 0.0) + gap + self.direction(0.15))[None]
            for index, mean in enumerate(self.means)
        ]
        return make_set(name, rows, modality="prompt")
