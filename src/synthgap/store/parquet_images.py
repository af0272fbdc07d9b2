"""Images in Parquet files with Hugging Face features: a column of images and a column of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.store.features import hf_features
from synthgap.store.images import BrokenImage
from synthgap.store.keys import EVAL_NAMES, SPLIT_NAMES, TRAIN_NAMES, class_keys, safe_key
from synthgap.store.parquet_rows import PartFiles, open_file, read_columns
from synthgap.store.rows import Contents, ImageRow, ImageSource

_PATTERNS = ("*.parquet", "*/*.parquet", "data/*/*.parquet")
_SPLIT_WORD = re.compile(rf"(?:^|[^a-z])({'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))})(?:[^a-z]|$)")


@dataclass(frozen=True)
class _Columns:
    """Which column is what, and the label names of the file's features."""

    image: str
    label: str
    names: tuple[str, ...] | None
    """Of a ``ClassLabel``; None for plain numbers or texts."""
    others: tuple[str, ...]
    """Of ours, where the file is an export of a set: class_key, image_key, prompt, status, error."""


def parquet_files(path: Path) -> list[Path]:
    """Parquet files of a file or folder path, in the order of their names; none of an image folder."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".parquet" else []
    for pattern in _PATTERNS:
        found = sorted(file for file in path.glob(pattern) if not _hidden(file.relative_to(path)))
        if found:
            return found
    return []


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def split_of(path: Path) -> str:
    """The split that a file's name or its folder's speaks of, as on the Hub; ``train`` where none does.

    >>> split_of(Path("data/test-00000-of-00001.parquet")), split_of(Path("natural.parquet"))
    ('test', 'train')
    """
    for part in (path.stem, *reversed(path.parent.parts)):
        if found := _SPLIT_WORD.search(part.lower()):
            return found.group(1)
    return "train"


def open_parquet(path: Path, files: Sequence[Path]) -> ImageSource:
    """Index Parquet files: their labels are read, their images are not.

    Rows without a label (null or -1, as in hidden test splits) are left out and counted in the notes.

    Raises:
        InputError: no image or label column, files that disagree about the classes, or a damaged file.
    """
    root = path if path.is_dir() else path.parent
    by_split = _by_split(path, files, root)
    columns = _columns_of_all(files)
    raw = {file: _labels(file, columns) for members in by_split.values() for file in members}
    found = _classes(list(raw), columns, [label for labels in raw.values() for label in labels])
    position = {label: number for number, label in enumerate(found)}
    own_keys = _keys_are_unique(files, columns)
    splits = {}
    for split, members in by_split.items():
        labels = [position.get(label, -1) for file in members for label in raw[file]]
        parts = PartFiles(members, [len(raw[file]) for file in members])
        splits[split] = _Rows(parts, np.asarray(labels, dtype=np.int32), columns, own_keys)
    dropped = sum(int((rows.labels < 0).sum()) for rows in splits.values())
    stats = [[file.relative_to(root).as_posix(), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    classes = dict(found.values())
    contents = Contents(
        classes=classes,
        labels={split: rows.labels[rows.labels >= 0] for split, rows in splits.items()},
        fingerprint=fingerprint(stats, classes),
        rows=partial(_rows, list(classes), splits),
        notes=(f"left out: {counted(dropped, 'row')} without a label",) if dropped else (),
    )
    return ImageSource(path, "parquet", contents)


def _by_split(path: Path, files: Sequence[Path], root: Path) -> dict[str, list[Path]]:
    """Files of each split, training splits first."""
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(split_of(file.relative_to(root)), []).append(file)
    # files without a split in their name are parts of one set only where their names are alike: part-0, part-1
    stems = {re.sub(r"\d+", "", file.stem): file.name for file in files if not _SPLIT_WORD.search(file.stem.lower())}
    if len(stems) > 1:
        raise InputError(
            f"{path}: holds several sets, {', '.join(sorted(stems.values())[:4])}; give the path of one file"
        )
    order = [*TRAIN_NAMES, *EVAL_NAMES]
    return {split: by_split[split] for split in sorted(by_split, key=order.index)}


@dataclass(frozen=True)
class _Rows:
    """One split: its files, and for every row of them its class position, -1 without a label."""

    files: PartFiles
    labels: NDArray[np.int32]
    columns: _Columns
    own_keys: bool
    """Whether the file's ``image_key`` column can be used: it is there and unique."""


def _columns_of_all(files: Sequence[Path]) -> _Columns:
    first = _columns(files[0])
    for file in files[1:]:
        if (other := _columns(file)) != first:
            raise InputError(
                f"{file}: has other columns or class names than {files[0].name}; give the path of one set: "
                f"{_summary(other)} against {_summary(first)}"
            )
    return first


def _summary(columns: _Columns) -> str:
    names = "" if columns.names is None else f" ({counted(len(columns.names), 'class')})"
    return f"{columns.image}, {columns.label}{names}"


def _columns(file: Path) -> _Columns:
    """Find the image and the label column of a file."""
    schema = open_file(file).schema_arrow
    features = hf_features(schema)
    kinds = {name: feature.get("_type") for name, feature in features.items() if isinstance(feature, dict)}
    image = _pick(file, "Image", "image", kinds, [name for name in ("image", "img") if name in schema.names])
    label = _pick(file, "ClassLabel", "label", kinds, [name for name in ("label", "labels") if name in schema.names])
    if not _holds_bytes(schema.field(image).type):
        raise InputError(f"{file}: its column {image!r} holds {schema.field(image).type}; expected image bytes")
    kind = schema.field(label).type
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise InputError(f"{file}: its column {label!r} holds {kind}; expected one number or text per image")
    names = features.get(label, {}).get("names") if pa.types.is_integer(kind) else None
    others = [name for name in ("class_key", "image_key", "prompt", "status", "error") if name in schema.names]
    texts = tuple(name for name in others if _is_text(schema.field(name).type))
    return _Columns(image, label, tuple(map(str, names)) if names else None, texts)


def _pick(file: Path, kind: str, usual: str, kinds: dict[str, Any], present: list[str]) -> str:
    """The column of a kind: the usual name, else the only one of the features, else the usual name untyped."""
    typed = [name for name, found in kinds.items() if found == kind]
    if usual in present and (usual in typed or not typed):
        return usual
    if len(typed) == 1:
        return typed[0]
    if typed:
        raise InputError(f"{file}: has several {usual} columns, {', '.join(typed)}; rename the one to use to {usual!r}")
    if present:
        return present[0]
    names = ", ".join(open_file(file).schema_arrow.names)
    raise InputError(f"{file}: has no {usual} column; it has {names}; expected a column {usual!r}")


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _labels(file: Path, columns: _Columns) -> list[Any]:
    """The label of each row: a class name, a number or a text; None where there is none."""
    labels: list[Any] = read_columns(file, [columns.label])[columns.label].to_pylist()
    if columns.names is None:
        return [None if label == -1 else label for label in labels]
    for label in set(labels) - {None, -1}:
        if not 0 <= label < len(columns.names):
            raise InputError(f"{file}: label {label} is outside its {len(columns.names)} class names")
    return [None if label in (None, -1) else columns.names[label] for label in labels]


def _classes(files: Sequence[Path], columns: _Columns, labels: Sequence[Any]) -> dict[Any, tuple[str, str]]:
    """Class key and name of each label, in the order of the ``ClassLabel``, else of the labels themselves."""
    distinct = list(columns.names) if columns.names is not None else sorted(set(labels) - {None})
    named = class_keys(str(label) for label in distinct)
    found = {label: named[str(label)] for label in distinct}
    if "class_key" in columns.others:  # an export of ours: the label names are for people, the keys are in a column
        keys = [key for file in files for key in read_columns(file, ["class_key"])["class_key"].to_pylist()]
        pairs = {(label, key) for label, key in zip(labels, keys, strict=True) if label is not None and key}
        given = dict(pairs)
        if len(pairs) == len(given) == len(set(given.values())):
            found |= {label: (safe_key(key), found[label][1].removesuffix(f" ({key})")) for label, key in given.items()}
    return found


def _keys_are_unique(files: Sequence[Path], columns: _Columns) -> bool:
    if "image_key" not in columns.others:
        return False
    keys = pa.chunked_array(
        [chunk for file in files for chunk in read_columns(file, ["image_key"])["image_key"].chunks]
    )
    return bool(keys.null_count == 0 and pc.count_distinct(keys).as_py() == len(keys))


def _rows(classes: list[str], splits: dict[str, _Rows], split: str, start: int, stop: int) -> Iterator[ImageRow]:
    source = splits[split]
    kept = np.flatnonzero(source.labels >= 0)[start:stop]
    if not len(kept):
        return
    wanted, first = set(kept.tolist()) if len(kept) <= kept[-1] - kept[0] else None, int(kept[0])
    names = [source.columns.image, *source.columns.others]
    for number, record in enumerate(source.files.read(names, first, int(kept[-1]) + 1), start=first):
        if wanted is None or number in wanted:
            key = safe_key(record["image_key"]) if source.own_keys else f"{split}-{number:07d}"
            yield image_row(record, key, classes[source.labels[number]], split, record[source.columns.image])


def image_row(record: dict[str, Any], image_key: str, class_key: str, split: str, image: Any) -> ImageRow:
    """A row of Parquet as a row of a source; a row that failed says so when it is read."""
    data = image.get("bytes") if isinstance(image, dict) else image
    path = (image.get("path") if isinstance(image, dict) else None) or image_key
    failed = record.get("status") not in (None, "ok")
    if data is not None and not failed:
        return ImageRow(image_key, class_key, split, record.get("prompt"), path, partial(_bytes, data))
    reason = record.get("error") if failed else None
    if not reason:
        reason = "no image" if path == image_key else f"the row holds a path ({path}) and no image bytes"
    return ImageRow(image_key, class_key, split, record.get("prompt"), path, partial(_broken, reason))


def _bytes(data: bytes) -> bytes:
    return data


def _broken(reason: str) -> bytes:
    raise BrokenImage(reason)
