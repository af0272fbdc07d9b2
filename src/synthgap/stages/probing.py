"""What a classifier learns from each set: a linear one on embeddings, trained on the set, tested on natural images.

M Tables 1 and 2 train networks; a linear classifier on embeddings asks the same question in seconds, though it borrows
what the encoder already knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch

from synthgap import metrics
from synthgap.core.records import OVERALL
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import MeasureSpec
from synthgap.store.embeddings import EmbeddingSet

MOST_ROWS = 20_000
"""Training images in all; more would change little in a linear classifier and cost minutes."""

Row = dict[str, Any]


def common_size(sets: Mapping[str, EmbeddingSet], test: EmbeddingSet) -> dict[str, int]:
    """Images per class that every set can give, for the classes that all sets and the test have.

    Sets are compared at one size: with more images a classifier learns more, whatever their quality.
    """
    counts = [Counter(images.class_keys) for images in sets.values()]
    most = max(2, MOST_ROWS // max(1, len(test.classes)))
    tested = set(test.class_keys)
    sizes = {key: min(most, *(count[key] for count in counts)) for key in test.classes if key in tested}
    return {key: size for key, size in sizes.items() if size > 0}


def probe(
    sets: Mapping[str, EmbeddingSet],
    test: EmbeddingSet,
    spec: MeasureSpec,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Row]:
    """Train a linear classifier on each set and test it on the same natural images.

    Args:
        sets: Training images by name of the set, already of one size per class (`common_size`).
        test: Natural images that are in no set.
        spec: Resamples, least images per class, seed.
        progress: Called with sets done, sets in all, and what is being done.

    Returns:
        Rows ``train_set``, ``test_set``, ``class_key``, ``value`` (accuracy), ``ci_low``, ``ci_high``, ``n`` (test images),
        overall and then per class. Empty when fewer than two classes can be trained and tested.
    """
    order = [key for key in test.classes if all(key in set(images.class_keys) for images in sets.values())]
    test = test.select(class_keys=order)
    if len(order) < 2 or not len(test):
        return []
    labels, truth = torch.from_numpy(test.labels(order)), metrics.uvec(torch.from_numpy(test.embeddings))
    rows: list[Row] = []
    for done, (name, images) in enumerate(sets.items(), start=1):
        train = images.select(class_keys=order)
        predicted = metrics.linear_probe(
            metrics.uvec(torch.from_numpy(train.embeddings)),
            torch.from_numpy(train.labels(order)),
            truth,
            num_classes=len(order),
            seed=derived_seed(spec.seed, "probe"),
        )
        names = {"train_set": name, "test_set": test.name}
        rows += [names | row for row in _rows((predicted == labels).double(), labels, order, spec)]
        if progress is not None:
            progress(done, len(sets), "classifiers trained")
    return rows


def _rows(correct: torch.Tensor, labels: torch.Tensor, order: list[str], spec: MeasureSpec) -> list[Row]:
    options = {"resamples": spec.bootstrap, "seed": derived_seed(spec.seed, "probe", "bootstrap")}
    low, high = metrics.bootstrap_interval(correct, labels, **options)
    by_class = metrics.bootstrap_classes(correct, labels, len(order), **options)
    means = metrics.class_means(correct, labels, len(order))
    sizes = torch.bincount(labels, minlength=len(order))
    whole = {"class_key": OVERALL, "value": float(correct.mean()), "ci_low": low, "ci_high": high, "n": len(correct)}
    rows = [whole]
    for index, key in enumerate(order):
        ends = {"ci_low": float(by_class.low[index]), "ci_high": float(by_class.high[index])}
        rows.append({"class_key": key, "value": float(means[index]), **ends, "n": int(sizes[index])})
    return rows
