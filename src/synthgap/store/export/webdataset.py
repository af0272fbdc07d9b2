"""Shuffled tar files for WebDataset: ``<key>.jpg``, ``<key>.cls`` and ``<key>.json`` for each image.

``_info.json`` is what timm's ``wds/`` reader looks for: https://github.com/huggingface/pytorch-image-models, reader_wds.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthgap.store.atomic import atomic_file, own_errors, plain
from synthgap.store.export.folder import FileRecord
from synthgap.store.export.names import extension, tar_key

INFO = "_info.json"


def tar_name(split: str, number: int, total: int) -> str:
    """Name of a file: ``<split>-000012.tar``."""
    return f"{split}-{number:06d}.tar"


def write_tar(target: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows to a tar file, atomically; owner, time and mode are the same everywhere, and so are the bytes.

    Raises:
        RunError: the disk is full.
    """
    with atomic_file(target) as handle:
        # No "with": the end of the file is written by close(), and a full disk is to be told there too.
        tar = tarfile.open(fileobj=handle, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        for row in rows:
            details = {name: value for name, value in row.items() if name != "image"}
            data = row["image"]
            with own_errors(target):
                for ending, content in (
                    (extension(data), data),
                    ("cls", str(row["label"]).encode()),
                    ("json", json.dumps(plain(details), ensure_ascii=False).encode()),
                ):
                    member = tarfile.TarInfo(f"{tar_key(row['image_key'])}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        with own_errors(target):
            tar.close()


def info(files: Mapping[str, Sequence[FileRecord]], classes: Mapping[str, str]) -> dict[str, Any]:
    """Splits, files and their lengths as timm reads them; and the classes, whose order is that of ``.cls``."""
    splits = {
        split: {
            "name": split,
            "num_samples": sum(file.rows for file in records),
            "filenames": [file.path for file in records],
            "shard_lengths": [file.rows for file in records],
        }
        for split, records in files.items()
    }
    return {"splits": splits, "classes": [{"class_key": key, "name": name} for key, name in classes.items()]}
