"""A set folder of ours as a source of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.store import shards
from synthgap.store.keys import shard_split
from synthgap.store.parquet_images import image_row
from synthgap.store.parquet_rows import PartFiles
from synthgap.store.rows import Contents, ImageRow, ImageSource
from synthgap.store.sets import ImageSet
from synthgap.store.shards import ShardDone

_COLUMNS = ("image", "image_key", "class_key", "prompt", "status", "error")


def open_set(path: Path) -> ImageSource:
    """Index a finished set folder from its plan and its markers; no image is read.

    Raises:
        InputError: a planned shard is missing: unfinished, run the same command again.
    """
    image_set = ImageSet(path)
    classes = image_set.manifest.classes
    position = {key: number for number, key in enumerate(classes)}
    planned = image_set.planned_shards()
    done = image_set.done_shards(verify=False)
    missing = [shard for shard in planned if shard not in done]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {counted(len(planned), 'shard')} missing; unfinished: run the same command again"
        )
    markers = list(done.values())
    files: dict[str, PartFiles] = {}
    labels = {}
    for split in dict.fromkeys(map(shard_split, planned)):
        members = [marker for marker in markers if shard_split(marker.shard) == split]
        files[split] = PartFiles([shards.data_path(path, one.shard) for one in members], [one.rows for one in members])
        numbers = [position[_class_of(one.shard)] for one in members]
        labels[split] = np.repeat(np.asarray(numbers, dtype=np.int32), [one.rows for one in members])
    failed = sum(marker.failed for marker in markers)
    contents = Contents(
        classes=classes,
        labels=labels,
        fingerprint=fingerprint(image_set.manifest.fingerprint, [marker.sha256 for marker in markers]),
        rows=partial(_rows, files),
        identity=image_set.manifest.fingerprint,
        part=partial(_part, markers),
        notes=(f"{counted(failed, 'image')} failed to be drawn",) if failed else (),
    )
    return ImageSource(path, "set", contents)


def _part(markers: Sequence[ShardDone], split: str, start: int, stop: int) -> str:
    """Fingerprint of rows of a split: the shards they lie in, and where."""
    found, first = [], 0
    for marker in markers:
        if shard_split(marker.shard) == split:
            if first < stop and first + marker.rows > start:
                found.append((marker.sha256, max(start - first, 0), min(stop - first, marker.rows)))
            first += marker.rows
    return fingerprint(found)


def _class_of(shard: str) -> str:
    """A shard holds one class, and its name tells which."""
    return shard.partition("/")[2].rpartition("-")[0]


def _rows(files: dict[str, PartFiles], split: str, start: int, stop: int) -> Iterator[ImageRow]:
    for record in files[split].read(_COLUMNS, start, stop):
        yield image_row(record, record["image_key"], record["class_key"], split, record["image"])
