"""The fingerprint of an artifact: a hash of everything that can change it, its parents' fingerprints included."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"cannot fingerprint a {type(value).__name__}: {value!r}")


def fingerprint(*parts: Any) -> str:
    """Hash of the parts (specs, numbers, strings, lists, dicts) as canonical JSON: 16 hexadecimal digits.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_fingerprint(path: Path) -> str:
    """Hash of a file's bytes: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def folder_fingerprint(folder: Path) -> str:
    """Hash of the names and bytes of every file below a folder (a model's weights and configuration)."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return fingerprint([[path.relative_to(folder).as_posix(), file_fingerprint(path)] for path in files])
