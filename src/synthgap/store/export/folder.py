"""The folder of an export: what it holds, and the refusal to mix it with anything else.

``export.json`` is written first, with the identity of the export, and again at the end, with its files. Until then
``.export/`` holds what a killed export needs to go on.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthgap.core.errors import FingerprintError, InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.store.atomic import own_errors, read_json, sha256_of, write_json, write_text
from synthgap.store.export.shuffle import RUN_BYTES
from synthgap.store.export.source import ExportSource
from synthgap.store.export.spec import ExportSpec, Kind

log = logging.getLogger(__name__)

RECORD = "export.json"
CARD = "README.md"
SCRATCH = ".export"
_FORMAT = 1


class FileRecord(BaseModel):
    """One file of an export."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Relative to the export's folder."""
    split: str
    rows: int
    bytes: int
    sha256: str


class ExportRecord(BaseModel):
    """What an export holds. It names no folder and no time: the same export twice gives the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Literal["synthgap-export"] = "synthgap-export"
    kind: Kind
    fingerprint: str
    """Of the set's shards and of everything that can change the files."""
    spec: dict[str, Any]
    set_fingerprint: str
    finished: bool = False
    splits: dict[str, int] = Field(default_factory=dict)
    """Images of each split."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Flagged images that were left out, by class key."""
    failed: int = 0
    """Rows of the set without an image; never exported."""
    files: tuple[FileRecord, ...] = ()
    """Parquet or tar files; none for an image folder."""
    notes: tuple[str, ...] = ()
    card_sha256: str = ""


def claim(out: Path, source: ExportSource, spec: ExportSpec) -> ExportRecord:
    """Begin an export's folder, or go on with the same export.

    Raises:
        FingerprintError: it holds another export.
        InputError: it holds something else.
    """
    what = spec.model_dump(mode="json", exclude={"allow_unfinished"})
    record = ExportRecord(
        kind=spec.kind,
        fingerprint=fingerprint("export", _FORMAT, RUN_BYTES, what, source.fingerprint),
        spec=what,
        set_fingerprint=source.manifest.fingerprint,
    )
    if (out / RECORD).exists():
        there = read_record(out)
        if there.fingerprint != record.fingerprint:
            raise FingerprintError(_difference(out, there, record))
        return there
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; expected a new or empty folder for the export")
    if out.exists() and any(not path.name.startswith(f".{RECORD}") for path in out.iterdir()):
        raise InputError(f"{out}: holds files that are no export; give a new or empty folder for the export")
    write_json(out / RECORD, record.model_dump(mode="json"))
    return record


def read_record(out: Path) -> ExportRecord:
    """Read what an export's folder says it holds.

    Raises:
        InputError: it is no export of synthgap.
    """
    try:
        return ExportRecord.model_validate(read_json(out / RECORD))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise InputError(f"{out / RECORD}: not an export of synthgap: {where}: {problem['msg']}") from None


def _difference(out: Path, there: ExportRecord, here: ExportRecord) -> str:
    changes = [
        f"{key} is {there.spec.get(key)!r} there and {value!r} here"
        for key, value in here.spec.items()
        if there.spec.get(key) != value
    ]
    shown = ", ".join(changes) or "the image set is another, or has changed since"
    return f"{out}: holds another export: {shown}; give a new folder, or the settings of that export"


def finish(out: Path, record: ExportRecord, card: str, extra: Mapping[str, Any]) -> ExportRecord:
    """Write the card, the JSON files and at last the finished record; then drop what only a killed export needs.

    A card that was edited since an earlier run stays as it is.
    """
    path = out / CARD
    written = record.card_sha256
    if path.exists() and record.finished and sha256_of(path) != written:
        log.warning("%s was edited since it was exported, and stays as it is", path)
    else:
        write_text(path, card)
        with own_errors(path):
            written = sha256_of(path)
    for name, value in extra.items():
        write_json(out / name, value)
    done = record.model_copy(update={"finished": True, "card_sha256": written})
    write_json(out / RECORD, done.model_dump(mode="json"))
    shutil.rmtree(out / SCRATCH, ignore_errors=True)
    return done


def recorded(out: Path, path: Path, split: str, rows: int) -> FileRecord:
    """The record of a file that was just written."""
    name = path.relative_to(out).as_posix()
    with own_errors(path):
        return FileRecord(path=name, split=split, rows=rows, bytes=path.stat().st_size, sha256=sha256_of(path))


def is_whole(out: Path, record: ExportRecord) -> bool:
    """Whether a finished export still has its files; False where one is gone and is to be written again.

    Raises:
        InputError: a file is of another size than when it was exported.
    """
    for file in record.files:
        path = out / file.path
        if path.is_file() and path.stat().st_size != file.bytes:
            raise InputError(f"{path}: has changed since it was exported; move it away and run the same command again")
    return record.finished and all((out / file.path).is_file() for file in record.files)
