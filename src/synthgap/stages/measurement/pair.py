"""Two sets in one order of classes, and the rows of one metric between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.records import OVERALL, Measurement
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import MeasureSpec
from synthgap.metrics import ClassIntervals
from synthgap.metrics.bootstrap import bootstrap_images_and_classes
from synthgap.metrics.stacks import Stacks
from synthgap.store.embeddings import EmbeddingSet

NAN = float("nan")


def check_comparable(reference: EmbeddingSet, query: EmbeddingSet) -> None:
    """Refuse two sets whose numbers mean different things, or that share no class."""
    if reference.dim != query.dim:
        raise InputError(
            f"{reference.name!r} has embeddings of {reference.dim} numbers and {query.name!r} of {query.dim}; embed"
            " both with the same encoder"
        )
    encoders = (reference.encoder_fingerprint, query.encoder_fingerprint)
    if all(encoders) and encoders[0] != encoders[1]:
        raise InputError(
            f"{reference.name!r} was embedded by {reference.encoder!r} and {query.name!r} by {query.encoder!r} or"
            " another version of it; embed both with the same encoder"
        )
    if not set(reference.class_keys) & set(query.class_keys):
        some = [", ".join(list(dict.fromkeys(images.class_keys))[:3]) or "none" for images in (reference, query)]
        raise InputError(
            f"{reference.name!r} (classes {some[0]}, …) and {query.name!r} (classes {some[1]}, …) have no class in"
            " common; give both the same class names"
        )


@dataclass(frozen=True)
class Intervals:
    """Ends of the interval overall, and of each class (c,)."""

    overall: tuple[float, float]
    low: Tensor
    high: Tensor

    @classmethod
    def of_classes(cls, found: ClassIntervals) -> Intervals:
        """Intervals whose overall figure is the mean over classes."""
        return cls(found.overall, found.low, found.high)


@dataclass(frozen=True)
class Pair:
    """A reference and a query set, labelled by their place in one order of classes."""

    reference: EmbeddingSet
    query: EmbeddingSet
    spec: MeasureSpec

    @cached_property
    def order(self) -> list[str]:
        """Class keys of both sets, those of the reference first."""
        return list({**self.reference.classes, **self.query.classes})

    @cached_property
    def reference_labels(self) -> Tensor:
        """Class of each reference as a place in ``order``."""
        return torch.from_numpy(self.reference.labels(self.order))

    @cached_property
    def query_labels(self) -> Tensor:
        """Class of each query as a place in ``order``."""
        return torch.from_numpy(self.query.labels(self.order))

    @cached_property
    def a(self) -> Tensor:
        """Embeddings of the references."""
        return torch.from_numpy(self.reference.embeddings)

    @cached_property
    def b(self) -> Tensor:
        """Embeddings of the queries."""
        return torch.from_numpy(self.query.embeddings)

    @cached_property
    def units(self) -> tuple[Tensor, Tensor]:
        """Unit vectors of the references and of the queries."""
        return metrics.uvec(self.a), metrics.uvec(self.b)

    @cached_property
    def stacks(self) -> Stacks:
        """Unit vectors of the classes that have enough images in both sets."""
        samples = list(zip(self.units, (self.reference_labels, self.query_labels), strict=True))
        return Stacks(samples, len(self.order), least=self.spec.min_per_class, scaled=False)

    @cached_property
    def sizes(self) -> tuple[Counter[str], Counter[str]]:
        """Rows per class of the reference and of the query set."""
        return Counter(self.reference.class_keys), Counter(self.query.class_keys)

    def seed(self, what: str) -> int:
        """Seed of a random choice named by what it is for."""
        return derived_seed(self.spec.seed, "measurement", what)

    @property
    def jackknife_seed(self) -> int | None:
        """Seed of the tenths that are left out in turn; None where no intervals are asked for."""
        return self.seed("jackknife") if self.spec.bootstrap else None

    @cached_property
    def correct(self) -> Tensor:
        """Whether each query's nearest reference centroid has its class: 1, 0, or NaN without a reference."""
        return metrics.centroid_accuracy(
            self.a, self.reference_labels, self.b, self.query_labels, len(self.order), self.seed("ties")
        )

    def intervals(self, values: Tensor, labels: Tensor) -> Intervals:
        """Bootstrap of the mean over images, and of the mean of each class."""
        overall, by_class = bootstrap_images_and_classes(
            values, labels, len(self.order), resamples=self.spec.bootstrap, seed=self.seed("bootstrap")
        )
        return Intervals(overall, by_class.low, by_class.high)

    def least(self, images: EmbeddingSet) -> int:
        """Rows that a class must have in a set; a single prompt is a prompt set's whole class."""
        return 1 if images.modality == "prompt" else self.spec.min_per_class

    def why_not(self, key: str, least: tuple[int, int]) -> str:
        """Why a class has no figure between the two sets; empty when it has one."""
        sides = list(zip((self.reference, self.query), self.sizes, least, strict=True))
        sizes = [size[key] for _, size, _ in sides]
        if any(sizes) and not all(sizes) and all(least):
            return f"class only in {sides[0 if sizes[0] else 1][0].name}"
        for images, size, needed in sides:
            if size[key] < needed:
                return f"class has {counted(size[key], images.modality)} in {images.name}, {needed} are needed"
        return ""

    @property
    def enough(self) -> tuple[int, int]:
        """Rows that a class must have in both sets, be they images or prompts."""
        return self.spec.min_per_class, self.spec.min_per_class

    def doubt(self, key: str, least: tuple[int, int]) -> str:
        """Why the figure of a class is to be taken with care; empty where it is not, as for prompts."""
        for images, size, needed in zip((self.reference, self.query), self.sizes, least, strict=True):
            if needed and images.modality == "image" and size[key] < self.spec.few:
                return (
                    f"only {counted(size[key], images.modality)} in {images.name}: the interval of so few is too narrow"
                )
        return ""

    def table(
        self,
        metric: str,
        overall: float,
        by_class: Tensor,
        ends: Intervals,
        least: tuple[int, int] | None = None,
        otherwise: str = "the class's vectors have no centroid",
        sizes: Tensor | None = None,
    ) -> list[Measurement]:
        """Rows of one metric, overall and then each class: NaN, with the reason, for a class that is too small.

        ``otherwise`` is the reason where there are enough images and yet no figure; ``sizes`` the images of each class
        (c,) where the overall figure is a mean over images and not over classes.
        """
        needed = least or (self.least(self.reference), self.least(self.query))
        columns = [column.tolist() for column in (by_class, ends.low, ends.high)]
        rows = [
            self._row(metric, key, value, (low, high), needed, otherwise)
            for key, value, low, high in zip(self.order, *columns, strict=True)
        ]
        known = [key for key, value in zip(self.order, columns[0], strict=True) if np.isfinite(value)]
        counted_in = sum(self.sizes[1][key] for key in known)
        whole = self.overall(metric, overall, ends.overall, counted_in, next((row.reason for row in rows), ""))
        if not np.isfinite(whole.value):
            return [whole, *rows]
        options = {"resamples": self.spec.bootstrap, "seed": self.seed("classes")}
        low, high = metrics.bootstrap_over_classes(by_class, **options, sizes=sizes)
        return [replace(whole, classes_ci_low=low, classes_ci_high=high), *rows]

    def overall(
        self, metric: str, value: float, ends: tuple[float, float], n: int, reason: str = "not defined"
    ) -> Measurement:
        """The row of the whole set."""
        names = (metric, self.reference.name, self.query.name, OVERALL)
        if np.isfinite(value):
            return Measurement(*names, value, *ends, n=n)
        return Measurement(*names, NAN, n=n, reason=reason or "not defined")

    def undefined(self, metric: str, reason: str) -> list[Measurement]:
        """Rows of a metric that is not defined for the two sets at all."""
        names = (metric, self.reference.name, self.query.name)
        return [Measurement(*names, key, NAN, n=0, reason=reason) for key in (OVERALL, *self.order)]

    def _row(
        self, metric: str, key: str, value: float, ends: tuple[float, float], least: tuple[int, int], otherwise: str
    ) -> Measurement:
        names, n = (metric, self.reference.name, self.query.name, key), self.sizes[1][key]
        reason = self.why_not(key, least)
        if reason or not np.isfinite(value):
            return Measurement(*names, NAN, n=n, reason=reason or otherwise)
        return Measurement(*names, value, *ends, n=n, reason=self.doubt(key, least))
