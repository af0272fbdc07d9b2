"""One folder per class: ``<split>/<class_key>/<image_key>.jpg``, for torchvision's and timm's folder readers.

``details/<split>.jsonl`` has a line per image with its prompt, seed and settings. It is not called ``metadata.jsonl``
and lies outside the splits, because ``datasets`` takes no labels from folders where it finds such a file.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from synthgap.store.atomic import own_errors, plain, temp_path, write_text, writing
from synthgap.store.export.names import extension, file_key
from synthgap.store.export.shuffle import Tell
from synthgap.store.export.source import ExportSource

_SYNCS = 8
"""Files that wait for the disk together: one after the other took 3 ms each and nearly all of the time."""


def write_images(source: ExportSource, out: Path, scratch: Path, tell: Tell) -> None:
    """Write the images of all shards, shard after shard; a shard that an earlier, killed export wrote is left alone.

    Raises:
        RunError: the disk is full.
    """
    for split in source.splits:
        parts = []
        for shard in source.shards_of(split):
            part = scratch / f"{shard}.jsonl"  # written when the shard's images are on disk
            if part.is_file():
                tell(part.read_bytes().count(b"\n"))
            else:
                write_text(part, "".join(_shard_lines(source, shard, out, split, tell)))
            parts.append(part)
        with writing(out / "details" / f"{split}.jsonl") as handle:
            for part in parts:
                handle.write(part.read_bytes())


def _shard_lines(source: ExportSource, shard: str, out: Path, split: str, tell: Tell) -> Iterator[str]:
    written: list[Path] = []
    for piece in source.pieces(shard):
        for row in source.rows(piece):
            name = f"{split}/{file_key(row['class_key'])}/{file_key(row['image_key'])}.{extension(row['image'])}"
            _write(out / name, row["image"])
            written.append(out / name)
            tell(1)
            details: dict[str, Any] = {key: value for key, value in row.items() if key not in ("image", "label")}
            yield json.dumps(plain({"file_name": name} | details), ensure_ascii=False) + "\n"
    with ThreadPoolExecutor(_SYNCS) as threads:
        deque(threads.map(_sync, written), maxlen=0)


def _sync(path: Path) -> None:
    with own_errors(path), path.open("rb") as handle:
        os.fsync(handle.fileno())


def _write(target: Path, data: bytes) -> None:
    with own_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temp_path(target).write_bytes(data)
        temp_path(target).replace(target)
