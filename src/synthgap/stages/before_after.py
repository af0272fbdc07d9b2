"""One set before and after its classes were drawn otherwise, held against the same natural images, in pairs.

Image k of a class began with the same noise both times, so differences are taken image by image: far fewer images tell
than between two sets (M Fig. 5). Coverage is paired by natural image, and so is the linear classifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import OVERALL
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import MeasureSpec
from synthgap.store.embeddings import EmbeddingSet

NAN = float("nan")
IMAGE_METRICS = ("centroid_accuracy", "coverage", "centroid_distance_ratio", "centroid_shift")
CLASSIFIER = "linear_classifier"
MOST_SWAPS = 2_000
"""Permutations of a figure that is no mean over images: each asks for new centroids."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of a class, or of all classes together, before and after."""

    class_key: str
    metric: str
    before: float
    after: float
    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    n: int
    """Pairs."""
    natural: float = NAN
    """What other natural images reach, as many of them where there are."""


@dataclass(frozen=True)
class Facing:
    """A synthetic set before and after, and the natural images that both are held against; under common class keys.

    Only images that are in both sets count. ``others`` are natural images that are not in ``natural``: they tell what
    natural images themselves would reach.
    """

    natural: EmbeddingSet
    before: EmbeddingSet
    after: EmbeddingSet
    spec: MeasureSpec
    permutations: int
    others: EmbeddingSet | None = None

    @cached_property
    def order(self) -> list[str]:
        """Classes that have natural images, in the natural set's order."""
        here = set(self.natural.class_keys)
        return [key for key in self.natural.classes if key in here]

    def measure(self, class_keys: Sequence[str]) -> list[Difference]:
        """Accuracy, coverage, spread and shift of some classes, and of all classes together.

        * ``centroid_accuracy``: share of the class's images whose nearest natural centroid is its own.
        * ``coverage``: share of its natural images with a synthetic one in the ball to their k-th natural neighbour.
        * ``centroid_distance_ratio``: spread over that of the natural images, both corrected for their number; 1 is
          as natural.
        * ``centroid_shift``: ``codiff`` of the two centroids.

        The p-values of the classes are adjusted for their number by Holm's method; those of all together are not.
        """
        tables = self._classes
        rows = [row for key in class_keys if key in tables for row in self._class_rows(key, tables[key])]
        adjusted: list[Difference] = []
        for metric in IMAGE_METRICS:
            own = [row for row in rows if row.metric == metric]
            ps = metrics.holm(torch.tensor([row.p_value for row in own], dtype=torch.float64)) if own else ()
            adjusted += [replace(row, p_value=float(p)) for row, p in zip(own, ps, strict=True)]
        place = {key: number for number, key in enumerate(class_keys)}
        adjusted.sort(key=lambda row: (place[row.class_key], IMAGE_METRICS.index(row.metric)))
        return [*adjusted, *self._overall(list(tables.values()))]

    def classifier(self, class_keys: Sequence[str]) -> list[Difference]:
        """A linear classifier trained on the set before and after, tested on the natural images: all, and some classes.

        Empty where fewer than two classes can be trained and tested.
        """
        sides = [self.before, self.after, *([self.others] if self.others is not None else [])]
        order = [key for key in self.order if all(key in set(one.class_keys) for one in sides[:2])]
        if len(order) < 2:
            return []
        test = self.natural.select(class_keys=order)
        labels = torch.from_numpy(test.labels(order))
        right = []
        for one in sides:
            train = one.select(class_keys=order)
            if one is self.others:  # as many as of the set: more images would teach more, whatever they show
                train = _as_many(train, self.before)
            if len(set(train.class_keys)) < len(order):
                continue
            e, classes = metrics.uvec(torch.from_numpy(train.embeddings)), torch.from_numpy(train.labels(order))
            seed = derived_seed(self.spec.seed, "probe")
            told = metrics.linear_probe(e, classes, metrics.uvec(_tensor(test)), num_classes=len(order), seed=seed)
            right.append((told == labels).double())
        before, after = right[:2]
        natural = right[2] if len(right) > 2 else torch.full_like(before, NAN)
        rows = [self._row(OVERALL, CLASSIFIER, before, after, natural, labels)]
        for key in class_keys:
            if key in order:
                own = labels == order.index(key)
                rows.append(self._row(key, CLASSIFIER, before[own], after[own], natural[own]))
        return rows

    def _seed(self, what: str) -> int:
        return derived_seed(self.spec.seed, "before and after", what)

    @cached_property
    def _pairs(self) -> tuple[EmbeddingSet, EmbeddingSet]:
        """The images that both sets have, in the same order."""
        place = {key: row for row, key in enumerate(self.after.image_keys)}
        rows = [row for row, key in enumerate(self.before.image_keys) if key in place]
        return self.before.subset(rows), self.after.subset([place[self.before.image_keys[row]] for row in rows])

    @cached_property
    def _right(self) -> tuple[Tensor, Tensor]:
        """Whether each image of a pair lies nearest to its class's natural centroid, before and after."""
        return self._nearest(self._pairs[0]), self._nearest(self._pairs[1])

    @cached_property
    def _others_right(self) -> Tensor:
        """The same of the other natural images."""
        return torch.empty(0) if self.others is None else self._nearest(self.others)

    def _nearest(self, images: EmbeddingSet) -> Tensor:
        order = list(self.natural.classes)
        labels = [torch.from_numpy(one.labels(order)) for one in (self.natural, images)]
        a, b = _tensor(self.natural), _tensor(images)
        return metrics.centroid_accuracy(a, labels[0], b, labels[1], len(order), self._seed("ties"))

    @cached_property
    def _classes(self) -> dict[str, _Class]:
        """Everything of each class: vectors of both sides, and whether each image is right."""
        before, after = self._pairs
        pairs, natural = _by_class(before), _by_class(self.natural)
        others = {} if self.others is None else _by_class(self.others)
        found = {}
        for key in self.order:
            rows = pairs.get(key, np.empty(0, dtype=np.int64))
            usual = None
            if self.others is not None and key in others:
                usual = _unit(self.others, _evenly(others[key], max(len(rows), 1)))
            at = torch.from_numpy(rows)
            found[key] = _Class(
                _unit(self.natural, natural[key]),
                _unit(before, rows),
                _unit(after, rows),
                (self._right[0][at], self._right[1][at]),
                usual,
            )
        return found

    def _class_rows(self, key: str, one: _Class) -> list[Difference]:
        known = NAN
        if self.others is not None and one.others is not None:
            known = float(self._others_right[torch.from_numpy(_by_class(self.others)[key])].nanmean())
        rows = [replace(self._row(key, "centroid_accuracy", *one.right), natural=known)]
        before, after, natural = (one.covered(e, self.spec.overlap_k) for e in (one.before, one.after, one.others))
        rows.append(self._row(key, "coverage", before, after, natural))
        rows.append(replace(self._row(key, "centroid_distance_ratio", *one.spreads()), natural=1.0))
        return [*rows, self._shift_row(key, [one])]

    def _overall(self, classes: Sequence[_Class]) -> list[Difference]:
        """All classes together: a mean over images, and over classes for the shift."""
        k = self.spec.overlap_k
        natural = NAN if self.others is None else float(self._others_right.nanmean())
        rows = [replace(self._joined("centroid_accuracy", [one.right for one in classes]), natural=natural)]
        covered = [
            (one.covered(one.before, k), one.covered(one.after, k), one.covered(one.others, k)) for one in classes
        ]
        rows.append(self._joined("coverage", covered))
        rows.append(replace(self._joined("centroid_distance_ratio", [one.spreads() for one in classes]), natural=1.0))
        return [*rows, self._shift_row(OVERALL, classes)]

    def _joined(self, metric: str, parts: Sequence[tuple[Tensor, ...]]) -> Difference:
        labels = torch.cat([torch.full((len(part[0]),), number) for number, part in enumerate(parts)])
        columns = [torch.cat(list(column)) for column in zip(*parts, strict=True)]
        natural = columns[2] if len(columns) > 2 else None
        return self._row(OVERALL, metric, columns[0], columns[1], natural, labels)

    def _row(
        self,
        key: str,
        metric: str,
        before: Tensor,
        after: Tensor,
        natural: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Difference:
        """A figure that is a mean of paired values."""
        known = before.isfinite() & after.isfinite()
        count = int(known.sum())
        found = metrics.paired_test(after, before, permutations=self.permutations, seed=self._seed("flips"))
        low, high = NAN, NAN
        if count > 1:
            low, high = metrics.bootstrap_interval(
                (after - before)[known],
                None if labels is None else labels[known],
                resamples=self.spec.bootstrap,
                seed=self._seed("bootstrap"),
            )
        values = (float(before[known].mean()), float(after[known].mean())) if count else (NAN, NAN)
        usual = NAN if natural is None else float(natural.nanmean())
        difference = values[1] - values[0]
        return Difference(key, metric, *values, difference, low, high, found.p_value, count, usual)

    def _shift_row(self, key: str, classes: Sequence[_Class]) -> Difference:
        """A figure of the centroids: the mean over classes, resampled and swapped pair by pair."""
        able = [one for one in classes if len(one.before) and len(one.natural)]
        if not able:
            return Difference(key, "centroid_shift", NAN, NAN, NAN, NAN, NAN, NAN, 0)
        generator = torch.Generator().manual_seed(self._seed("shift"))
        found = [one.shifts(self.spec.bootstrap, min(self.permutations, MOST_SWAPS), generator) for one in able]
        before, after = (float(torch.stack([values[side] for values in found]).mean()) for side in (0, 1))
        resampled, swapped = (torch.stack([values[side] for values in found]).mean(dim=0) for side in (2, 3))
        ends = (NAN, NAN)
        if len(resampled) and max(len(one.before) for one in able) > 1:
            low, high = torch.quantile(resampled, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
            ends = (low, high)
        far = int((swapped.abs() >= abs(after - before) - 1e-12).sum())
        p_value = (1 + far) / (1 + len(swapped))
        n = sum(len(one.before) for one in able)
        others = [one.other_shift() for one in able]
        natural = float(torch.tensor(others).nanmean())
        return Difference(key, "centroid_shift", before, after, after - before, *ends, p_value, n, natural)


@dataclass(frozen=True)
class _Class:
    """The unit vectors of one class, float64."""

    natural: Tensor
    before: Tensor
    after: Tensor
    right: tuple[Tensor, Tensor]
    others: Tensor | None

    def covered(self, e: Tensor | None, k: int) -> Tensor:
        """1 or 0 for each natural image; NaN where there are too few to tell."""
        if e is None or not len(e) or len(self.natural) <= k:
            return torch.full((len(self.natural),), NAN, dtype=torch.float64)
        return metrics.support_overlap(natural=self.natural, synthetic=e, k=k).covered

    def spreads(self) -> tuple[Tensor, Tensor]:
        """For each image of a pair its share of the spread, over that of the natural images."""
        usual = _spread(self.natural).mean()
        return _spread(self.before) / usual, _spread(self.after) / usual

    def shifts(self, resamples: int, swaps: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shift before and after, and the difference of resampled pairs, and of pairs whose sides were swapped."""
        n, middle = len(self.before), self.natural.mean(dim=0)
        picked = torch.randint(n, (resamples, n), generator=generator)
        counts = torch.zeros(resamples, n, dtype=torch.float64).scatter_add_(
            1, picked, torch.ones(resamples, n, dtype=torch.float64)
        )
        resampled = _off(counts @ self.after, middle) - _off(counts @ self.before, middle)
        flips = torch.randint(2, (swaps, n), generator=generator).double()
        moved = flips @ (self.after - self.before)
        swapped = _off(self.after.sum(dim=0) - moved, middle) - _off(self.before.sum(dim=0) + moved, middle)
        return _off(self.before.sum(dim=0), middle), _off(self.after.sum(dim=0), middle), resampled, swapped

    def other_shift(self) -> float:
        """Shift of other natural images."""
        return NAN if self.others is None else float(_off(self.others.sum(dim=0), self.natural.mean(dim=0)))


def _spread(e: Tensor) -> Tensor:
    """``codiff`` squared of each vector to the centroid of all, corrected as a centroid of n lies too near: (n,)."""
    n = len(e)
    if n < 2:
        return torch.full((n,), NAN, dtype=torch.float64)
    return metrics.codiff(e, e.sum(dim=0)) ** 2 * (n / (n - 1)) ** 2


def _off(sums: Tensor, middle: Tensor) -> Tensor:
    """``codiff`` of sums of unit vectors, (d,) or (r, d), to a direction."""
    return metrics.codiff(sums, middle)


def _by_class(images: EmbeddingSet) -> dict[str, NDArray[np.int64]]:
    """Rows of each class that has any."""
    keys = np.asarray(images.class_keys)
    order = np.argsort(keys, kind="stable")
    found, first = np.unique(keys[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, first[1:]), strict=True)) if len(keys) else {}


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most that many of the rows, taken evenly."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def _as_many(images: EmbeddingSet, like: EmbeddingSet) -> EmbeddingSet:
    """At most as many rows of each class as another set has, taken evenly."""
    sizes = Counter(like.class_keys)
    parts = [_evenly(rows, sizes[key]) for key, rows in _by_class(images).items()]
    return images.subset(np.concatenate(parts))


def _unit(images: EmbeddingSet, rows: NDArray[np.int64]) -> Tensor:
    """Unit vectors of some rows, float64."""
    vectors = torch.from_numpy(images.embeddings[rows]).double()
    return metrics.uvec(vectors) if len(rows) else vectors


def _tensor(images: EmbeddingSet) -> Tensor:
    return torch.from_numpy(images.embeddings)


def as_json(row: Difference) -> dict[str, Any]:
    """A row for JSON and tables."""
    return {name: getattr(row, name) for name in Difference.__slots__}
