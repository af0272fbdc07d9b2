"""A classifier's logits on every image of a set that it has a class for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.interruption import interruptible
from synthgap.execution.ahead import prefetch_batches
from synthgap.models.classifiers import Classifier
from synthgap.store.images import decoded_or_why
from synthgap.store.rows import ImageRow

BATCH = 128
BATCHES_AHEAD = 2
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of the images of a set."""

    keys: tuple[str, ...]
    """Of the images."""
    labels: Tensor
    """(n,) position of each image's class among the common classes."""
    logits: Tensor
    """(n, c) of the common classes."""
    broken: dict[str, str]
    """Key and reason of each image that could not be decoded."""


def predict(
    classifier: Classifier,
    rows: Iterable[ImageRow],
    label: dict[str, int],
    outputs: Tensor,
    *,
    workers: int,
    total: int,
    progress: Progress | None,
) -> Predictions:
    """Run a classifier over rows.

    Args:
        classifier: the model.
        rows: images; those of classes outside ``label`` are passed over.
        label: position of each of the set's class keys among the common classes.
        outputs: the classifier's output of each common class, (c,).
        workers: threads that decode.
        total: images to come, for ``progress``.
        progress: called with images done, ``total`` and what is done.

    Raises:
        InputError: no image can be decoded, or the classifier says of one what is no number.
        Interrupted: SIGINT or SIGTERM came.
    """
    keys: list[str] = []
    labels: list[int] = []
    logits: list[Tensor] = []
    broken: dict[str, str] = {}
    wanted = (row for row in rows if row.class_key in label)
    with interruptible() as check, ThreadPoolExecutor(workers) as pool:
        prepare = classifier.preprocessing.prepare
        for batch in prefetch_batches(
            pool, lambda row: decoded_or_why(row.read, prepare), wanted, BATCH, BATCHES_AHEAD
        ):
            check()
            broken |= {row.image_key: found for row, found in batch if isinstance(found, str)}
            sound = [(row, found) for row, found in batch if isinstance(found, Tensor)]
            if sound:
                logits.append(classifier.logits(torch.stack([found for _, found in sound]))[:, outputs])
                keys += [row.image_key for row, _ in sound]
                labels += [label[row.class_key] for row, _ in sound]
            if progress is not None:
                progress(len(keys) + len(broken), total, "images scored")
    if not logits:
        raise InputError(
            f"none of {counted(len(broken), 'image')} can be decoded; the first: {next(iter(broken.values()), 'none')}"
        )
    found = torch.cat(logits)
    if strange := int(found.softmax(1).isnan().any(1).sum()):
        raise InputError(
            f"{classifier.name}: gives no numbers (NaN or infinity) for {strange} of {counted(len(keys), 'image')}; its weights are "
            "damaged or its training diverged: train it again, or give another model"
        )
    return Predictions(tuple(keys), torch.tensor(labels), found, broken)
