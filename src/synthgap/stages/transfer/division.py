"""Which images are learned from, which choose the settings, which are scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.stages.transfer.features import Features
from synthgap.stages.transfer.known import KnownSet

TEST_NAMES = ("test", "testing")
VALIDATION_NAMES = ("validation", "val", "valid", "dev", "eval")
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """Rows of the features by what they are for; no row is in two parts."""

    train: Rows
    validation: Rows
    test: Rows
    labels: NDArray[np.int64]
    """(n,) of every row: position of its class among ``classes``, -1 where nothing can be learned of it."""
    classes: tuple[str, ...]
    """Keys of the classes that have images to learn from."""
    notes: tuple[str, ...]
    """Which parts the set did not come with."""


def divide(
    features: Features, known: KnownSet | None, *, validation_share: float, test_share: float, seed: int, repeat: int
) -> Division:
    """Divide a set as S App. A does.

    The set's own splits are used as they are. Without a test split, a lone held-out split is the test (as with
    iNaturalist's validation images in S), else a stratified share is kept apart, the same in every repeat. Without a
    validation split, a stratified share of the training images is taken, another one in each repeat: of S's sets the
    share that Table 4 prints. Further held-out splits are for nothing: none of their images is learned from.

    Raises:
        InputError: no images for a part, or those to learn from are of one class only.
    """
    splits, notes = np.asarray(features.splits), []
    present = set(features.splits)
    test_name = _first(TEST_NAMES, present) or _first(VALIDATION_NAMES, present)
    validation_name = _first([name for name in VALIDATION_NAMES if name != test_name], present)
    held_out = (*TEST_NAMES, *VALIDATION_NAMES)
    learning = np.flatnonzero(~np.isin(splits, held_out))
    unused = sorted(present & set(held_out) - {test_name, validation_name})
    if unused:
        notes.append(f"has more held-out splits than are needed: {', '.join(map(repr, unused))} left out")
    if test_name is None:
        marked = _held_out(features, learning, test_share, f"{seed}\x1ftest")
        test, learning = learning[marked], learning[~marked]
        notes.append(
            f"has no test split: {counted(len(test), 'image')} ({test_share:.0%} of each class) kept apart as test"
        )
    else:
        test = np.flatnonzero(splits == test_name)
        if test_name not in TEST_NAMES:
            notes.append(f"has no test split: its split {test_name!r} is the test")
    if validation_name is None:
        share = (known.validation_share if known else None) or validation_share
        marked = _held_out(features, learning, share, f"{seed}\x1fvalidation\x1f{repeat}")
        validation, train = learning[marked], learning[~marked]
        notes.append(f"has no validation split: {share:.0%} of each class's training images choose the settings")
    else:
        validation, train = np.flatnonzero(splits == validation_name), learning
    return _labelled(features, train, validation, test, notes)


def _first(names: Sequence[str], present: set[str]) -> str | None:
    return next((name for name in names if name in present), None)


def _labelled(features: Features, train: Rows, validation: Rows, test: Rows, notes: list[str]) -> Division:
    learned = sorted({features.class_keys[row] for row in (*train, *validation)})
    fitted = {features.class_keys[row] for row in train}
    if len(fitted) < 2 or not len(train) or not len(validation) or not len(test):
        raise InputError(
            f"{counted(len(fitted), 'class')} with {counted(len(train), 'image')} to learn from, {len(validation)} for validation and "
            f"{len(test)} for the test; expected two classes and images for each part"
        )
    position = {key: number for number, key in enumerate(learned)}
    labels = np.fromiter((position.get(key, -1) for key in features.class_keys), np.int64, len(features.class_keys))
    if unknown := int((labels[test] < 0).sum()):
        notes.append(f"{counted(unknown, 'test image')} of classes without training images, counted as wrong")
    return Division(train, validation, test, labels, tuple(learned), tuple(notes))


def _held_out(features: Features, rows: Rows, share: float, seed: str) -> NDArray[np.bool_]:
    """Mark about that share of each class among ``rows``, by the hash of the images' keys.

    Of a class of two or more at least one image is marked and one is not; of a single image none.
    """
    order: dict[str, list[tuple[bytes, int]]] = {}
    for place, row in enumerate(rows):
        digest = hashlib.sha256(f"{seed}\x1f{features.image_keys[row]}".encode()).digest()
        order.setdefault(features.class_keys[row], []).append((digest, place))
    marked = np.zeros(len(rows), dtype=np.bool_)
    for members in order.values():
        count = min(len(members) - 1, max(1, round(len(members) * share)))
        marked[[place for _, place in sorted(members)[:count]]] = True
    return marked
