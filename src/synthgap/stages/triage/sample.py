"""The first images of every label, without reading the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from synthgap.core.fingerprint import fingerprint
from synthgap.store.rows import Contents, ImageRow, ImageSource, ShardRange

Positions = NDArray[np.int64]


def first_images(source: ImageSource, per_label: int) -> ImageSource:
    """The first images of each class in the source's order, at most ``per_label``; of a shuffled source they are sought.

    Raises:
        InputError: a Parquet file cannot be read.
    """
    left = dict.fromkeys(source.classes, per_label)
    number = {key: place for place, key in enumerate(source.classes)}
    positions: dict[str, list[int]] = {split: [] for split in source.splits}
    labels: dict[str, list[int]] = {split: [] for split in source.splits}
    for part in source.shards():
        for position, key in _chosen(source, part, left):
            positions[part.split].append(position)
            labels[part.split].append(number[key])
    chosen = {split: np.asarray(found, dtype=np.int64) for split, found in positions.items()}
    print_of = fingerprint(source.fingerprint, [found.tolist() for found in chosen.values()])
    return ImageSource(
        source.path,
        source.kind,
        Contents(
            classes=dict(source.classes),
            labels={split: np.asarray(found, dtype=np.int32) for split, found in labels.items()},
            fingerprint=print_of,
            rows=partial(_rows, source, chosen),
            notes=source.notes,
        ),
    )


def _chosen(source: ImageSource, part: ShardRange, left: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Position and class of the rows of a shard that are still wanted; ``left`` counts down."""
    if not any(left.values()):
        return
    rows = enumerate(source.rows(part.split, part.start, part.stop), start=part.start)
    if not part.name.rpartition("/")[2].startswith("rows-"):
        # One class: its first row tells which.
        key = next(source.rows(part.split, part.start, part.start + 1)).class_key
        wanted = min(left[key], part.stop - part.start)
        left[key] -= wanted
        yield from ((part.start + place, key) for place in range(wanted))
        return
    for position, row in rows:
        if left[row.class_key]:
            left[row.class_key] -= 1
            yield position, row.class_key
            if not any(left.values()):
                return


def _rows(
    source: ImageSource, chosen: Mapping[str, Positions], split: str, start: int, stop: int
) -> Iterator[ImageRow]:
    for first, last in _stretches(chosen[split][start:stop]):
        yield from source.rows(split, first, last)


def _stretches(positions: Positions) -> Iterator[tuple[int, int]]:
    """Bounds of the stretches of positions that follow on each other."""
    for _, group in groupby(enumerate(positions.tolist()), key=lambda pair: pair[1] - pair[0]):
        members = [position for _, position in group]
        yield members[0], members[-1] + 1
