"""What a diagnosis is given, and the same as tensors in one order of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import ClassEntry
from synthgap.store.embeddings import EmbeddingSet


@dataclass(frozen=True)
class SweepSet:
    """A set of the same classes, prompts and generator, drawn at another guidance scale."""

    name: str
    guidance_scale: float
    images: EmbeddingSet


@dataclass(frozen=True)
class Case:
    """One synthetic set against natural images, and whatever else is known. Class keys mean the same class in all sets.

    ``natural_reference`` and ``natural_query`` are two disjoint samples of the natural images: what one says about
    the other is the baseline.
    """

    natural_reference: EmbeddingSet
    natural_query: EmbeddingSet
    synthetic: EmbeddingSet
    prompts: EmbeddingSet | None = None
    """The prompts the synthetic set was drawn from, by the same encoder."""
    guidance_scale: float | None = None
    usual_guidance: float | None = None
    """What the generator is drawn at where nobody asks for another; a set drawn at less may follow its prompts too little."""
    recipe: str = ""
    sweep: Sequence[SweepSet] = ()
    senses: Mapping[str, Sequence[ClassEntry]] = field(default_factory=dict)
    """All noun senses of a class's name."""
    sense_embeddings: Mapping[str, Sequence[tuple[str, np.ndarray]]] = field(default_factory=dict)
    """Per class its senses in words with the embedding of that text; the class's own sense first."""
    proposals: Mapping[str, str] = field(default_factory=dict)
    """Per class a prompt that says what is meant."""


@dataclass(frozen=True)
class Sample:
    """Embeddings as unit vectors, float32 (n, d), with their class as a number and the rows of each class."""

    e: Tensor
    labels: Tensor
    rows: list[Tensor]
    image_keys: list[str]

    def of(self, index: int) -> Tensor:
        """The vectors of one class."""
        return self.e[self.rows[index]]

    def only(self, keep: Tensor) -> Sample:
        """The rows where ``keep`` (n,) is true."""
        place = torch.cumsum(keep, dim=0) - 1
        rows = [place[own[keep[own]]] for own in self.rows]
        keys = [key for key, kept in zip(self.image_keys, keep.tolist(), strict=True) if kept]
        return Sample(self.e[keep], self.labels[keep], rows, keys)

    @property
    def counts(self) -> np.ndarray:
        """Images per class, float64 (c,)."""
        return np.array([len(rows) for rows in self.rows], dtype=np.float64)


def sample(images: EmbeddingSet, order: Sequence[str]) -> Sample:
    """The rows of a set that belong to the given classes, labelled by their place in ``order``."""
    place = {key: index for index, key in enumerate(order)}
    keep = np.array([row for row, key in enumerate(images.class_keys) if key in place], dtype=np.int64)
    labels = torch.tensor([place[images.class_keys[row]] for row in keep], dtype=torch.int64)
    by_class = torch.argsort(labels, stable=True)
    rows = list(torch.split(by_class, torch.bincount(labels, minlength=len(order)).tolist()))
    e = metrics.uvec(torch.from_numpy(np.ascontiguousarray(images.embeddings[keep], dtype=np.float32)))
    return Sample(e, labels, rows, [images.image_keys[row] for row in keep])


def merged(a: Sample, b: Sample) -> Sample:
    """Two samples as one."""
    rows = [torch.cat([left, right + len(a.e)]) for left, right in zip(a.rows, b.rows, strict=True)]
    return Sample(torch.cat([a.e, b.e]), torch.cat([a.labels, b.labels]), rows, a.image_keys + b.image_keys)


def class_sums(values: Tensor, labels: Tensor, count: int) -> np.ndarray:
    """Sum of one number per row over each class, float64 (c,)."""
    return torch.zeros(count, dtype=torch.float64).index_add_(0, labels, values.double()).numpy()


def own_codiff(images: Sample, centres: Tensor) -> Tensor:
    """``codiff`` of each image to the centroid of its own class, float64 (n,); a class at a time."""
    found = torch.empty(len(images.e), dtype=torch.float64)
    for index, rows in enumerate(images.rows):
        found[rows] = 1 - images.e[rows].double() @ centres[index].double()
    return found


def evenly(e: Tensor, most: int) -> Tensor:
    """At most that many rows, taken evenly."""
    if len(e) <= most:
        return e
    return e[torch.linspace(0, len(e) - 1, most).round().long()]
