"""How far a folder of shards is, read from its plan and its markers alone: also while others write it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.errors import InputError
from synthgap.store import shards
from synthgap.store.manifest import EmbeddingManifest, kind_of, read_manifest
from synthgap.store.sets import ImageSet
from synthgap.store.shards import ShardDone

KINDS = ("image-set", "embeddings")
"""Folders that are made shard by shard."""
RECENT = 50
"""Shards by which the present speed is judged."""


@dataclass(frozen=True)
class Status:
    """How far one folder is."""

    folder: str
    kind: str
    """``image-set`` or ``embeddings``."""
    shards: int
    shards_done: int
    rows: int | None
    """Images to be; None for embeddings, whose unfinished shards are not counted."""
    rows_done: int
    failed: int
    flagged: int | None
    """Images that a safety checker flagged; None where none looked."""
    bytes: int
    rows_per_second: float | None
    """Over the last ``RECENT`` shards; None before the second."""
    seconds_left: float | None
    seconds_since_last: float | None
    """Since the last shard was finished: long, where nobody works on it any more."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.shards_done == self.shards


def status(folder: Path) -> list[Status]:
    """How far a set or embedding folder is, or every such folder below a run folder.

    Raises InputError where there is none.
    """
    if not folder.exists():
        raise InputError(f"{folder}: no such folder; expected a folder of generate, embed, compare or run")
    if kind_of(folder) in KINDS:
        return [_status(folder)]
    found = [path.parent for path in sorted(folder.glob("**/manifest.json")) if kind_of(path.parent) in KINDS]
    if not found:
        raise InputError(
            f"{folder}: holds no set and no embeddings; expected a folder of generate, embed, compare or run"
        )
    return [_status(one) for one in found]


def _status(folder: Path) -> Status:
    manifest = read_manifest(folder)
    if isinstance(manifest, EmbeddingManifest):
        planned: list[str] = list(manifest.shards)
        markers = [shards.finished(folder, shard, verify=False) for shard in planned]
        done = [marker for marker in markers if marker is not None]
        rows = sum(marker.rows for marker in done) if len(done) == len(planned) else None
    else:
        image_set = ImageSet(folder)
        planned = list(image_set.planned())
        done = list(image_set.done_shards(verify=False).values())
        rows = sum(image_set.planned_shards().values())
    flags = [marker.flagged for marker in done if marker.flagged is not None]
    rate, since = _pace(folder, done)
    rows_done = sum(marker.rows for marker in done)
    return Status(
        folder=str(folder),
        kind=manifest.kind,
        shards=len(planned),
        shards_done=len(done),
        rows=rows,
        rows_done=rows_done,
        failed=sum(marker.failed for marker in done),
        flagged=sum(flags) if flags else None,
        bytes=sum(marker.bytes for marker in done),
        rows_per_second=rate,
        seconds_left=(rows - rows_done) / rate if rate and rows is not None else None,
        seconds_since_last=since,
    )


def _pace(folder: Path, done: list[ShardDone]) -> tuple[float | None, float | None]:
    """Rows per second over the last shards, and seconds since the last, by the times of the markers."""
    times = sorted((shards.marker_path(folder, marker.shard).stat().st_mtime, marker.rows) for marker in done)
    if not times:
        return None, None
    recent = times[-RECENT:]
    seconds = recent[-1][0] - recent[0][0]
    rate = sum(rows for _, rows in recent[1:]) / seconds if seconds > 0 else None
    return rate, max(0.0, time.time() - times[-1][0])
