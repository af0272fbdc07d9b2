"""The manifest of an artifact's folder: what it is, what made it, and the refusal to mix two runs in one folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthgap.core.errors import FingerprintError, InputError
from synthgap.store.atomic import read_json, write_json

MANIFEST = "manifest.json"
Kind = Literal["image-set", "embeddings", "classifier"]


def _version() -> str:
    try:
        return version("synthgap")
    except PackageNotFoundError:
        return "unknown"


class Manifest(BaseModel):
    """What a folder holds. It names no folder and no time, so that the same run twice gives the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    fingerprint: str
    """Of everything that can change the content, parents included."""
    spec: dict[str, Any]
    """The whole spec, to be read by people and compared when a fingerprint differs."""
    classes: dict[str, str]
    """Name of each class key, in the set's order."""
    parents: dict[str, str] = Field(default_factory=dict)
    """Fingerprint of what it was made from, by role (generator, encoder, images)."""
    info: dict[str, Any] = Field(default_factory=dict)
    """Facts that are no part of the identity."""
    version: str = Field(default_factory=_version)
    """Of synthgap, when the folder was begun."""


class EmbeddingManifest(Manifest):
    """Manifest of a folder of embeddings."""

    kind: Kind = "embeddings"
    modality: Literal["image", "prompt"]
    encoder: str
    encoder_fingerprint: str
    dim: int = Field(ge=1)
    dtype: Literal["float16", "float32"] = "float16"
    shards: tuple[str, ...]
    """All shards there will be, in order: what tells a finished folder from an unfinished one."""
    parts: dict[str, str] = Field(default_factory=dict)
    """Fingerprint of the rows that each shard is computed from: a shard of other rows is outdated."""


GROWING = frozenset(
    {"classes", "per_class", "eval_per_class", "counts_like", "counts_times", "overrides", "captions", "adjustments"}
)
"""Keys of a set's spec that say which images there are to be, and not how one is drawn: a set may grow in them."""


def claim_folder(folder: Path, manifest: Manifest) -> None:
    """Begin a folder with this manifest, or continue one that was begun with the same fingerprint.

    Raises:
        FingerprintError: the folder holds another run; the message says in which settings it differs.
        InputError: the folder holds something that is not synthgap's, or is a file.
    """
    check_claim(folder, manifest)
    if not (folder / MANIFEST).exists():
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def check_claim(folder: Path, manifest: Manifest) -> None:
    """Raise what `claim_folder` would; nothing is written."""
    if (folder / MANIFEST).exists():
        there = read_manifest(folder)
        if there.fingerprint != manifest.fingerprint or there.kind != manifest.kind:
            raise FingerprintError(_difference(folder, there, manifest))
        return
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"{folder}: is a link to nothing; expected a new or empty folder for the result")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a new or empty folder for the result")
    if folder.exists() and any(not path.name.startswith(f".{MANIFEST}") for path in folder.iterdir()):
        raise InputError(f"{folder}: holds files that are not synthgap's; give a new or empty folder for the result")


def read_manifest(folder: Path) -> Manifest | EmbeddingManifest:
    """Read a folder's manifest.

    Raises:
        InputError: there is none, or it is not one that this version of synthgap reads.
    """
    path = folder / MANIFEST
    data = read_json(path)
    kind = data.get("kind") if isinstance(data, dict) else None
    model = EmbeddingManifest if kind == "embeddings" else Manifest
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise InputError(f"{path}: not a manifest of synthgap: {where}: {problem['msg']}") from None


def kind_of(folder: Path) -> str | None:
    """``image-set``, ``embeddings`` or ``classifier`` for a folder of ours, None for any other path."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        data = read_json(folder / MANIFEST)
    except InputError:
        return None  # somebody else's file of that name
    kind = data.get("kind") if isinstance(data, dict) else None
    return kind if kind in get_args(Kind) else None


def _difference(folder: Path, there: Manifest, here: Manifest) -> str:
    if there.kind != here.kind:
        return f"{folder}: holds {there.kind}, not {here.kind}; give another folder"
    old, new = _flat(there), _flat(here)
    if there.kind == "image-set":
        old, new = ({k: v for k, v in flat.items() if k.split(".")[0] not in GROWING} for flat in (old, new))
    changes = [
        f"{key} is {_show(old, key)} there and {_show(new, key)} here"
        for key in [*new, *(key for key in old if key not in new)]
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]
    shown = ", ".join(changes[:6]) or "the contents it was made from have changed"
    more = f" (and {len(changes) - 6} more)" if len(changes) > 6 else ""
    return f"{folder}: holds another run: {shown}{more}; give another folder, or the settings of that run"


_ABSENT = object()


def _show(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"


def _flat(manifest: Manifest) -> dict[str, Any]:
    data = manifest.model_dump(mode="json")
    skipped = {"kind", "fingerprint", "info", "version", "shards", "parts", "spec"}
    rest = {key: value for key, value in data.items() if key not in skipped}
    return dict(_leaves(data["spec"])) | dict(_leaves(rest))


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
