"""Plain arrays of embeddings and labels as an ``EmbeddingSet``, whatever file they came in.

``embeddings`` (n, d), ``labels`` (n,) and optionally ``class_names``, ``modality``, ``splits`` (n,), ``image_keys`` (n,)
and ``encoder``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from synthgap.core.counting import counted
from synthgap.core.errors import InputError, nearest
from synthgap.store.embedding_set import EmbeddingSet, Modality, Skipped, why_not_finite
from synthgap.store.keys import class_keys, is_safe, printable, safe_key

Arrays = dict[str, NDArray[Any]]

PER_ROW = ("labels", "splits", "image_keys")
KNOWN = ("embeddings", *PER_ROW, "class_names", "modality", "encoder")
PICKLED = "holds pickled objects, which could run code; save plain arrays of numbers and texts"


def set_of_arrays(path: Path, arrays: Arrays, name: str, fingerprint: str) -> EmbeddingSet:
    """Make a set of arrays from ``path``; rows that are not finite become skipped rows.

    Labels are whole numbers or texts. With ``class_names`` a number is a position in them and a text one of them;
    without, the class key is the label as text.

    Raises:
        InputError: one line with what was found and expected: lengths that differ, labels outside ``class_names``, no
            finite row.
    """
    embeddings = _embeddings(path, arrays["embeddings"])
    n = len(embeddings)
    own_keys, classes = _classes(path, arrays, n)
    splits = _column(path, arrays, "splits", n) or ["train"] * n
    image_keys = [safe_key(key) for key in _column(path, arrays, "image_keys", n) or map("row-{:07d}".format, range(n))]
    for split in set(splits):
        if not is_safe(split):
            raise InputError(f"{path}: splits hold {split!r}; expected names such as 'train' and 'eval'")
    finite = np.isfinite(embeddings).all(axis=1)
    kept, lost = np.flatnonzero(finite), np.flatnonzero(~finite)
    if not len(kept):
        raise InputError(f"{path}: none of its {counted(n, 'embedding')} is finite; compute them again")
    return EmbeddingSet(
        name=name,
        embeddings=embeddings if len(kept) == n else embeddings[kept],
        class_keys=[own_keys[row] for row in kept],
        image_keys=[image_keys[row] for row in kept],
        classes=classes,
        modality=_modality(path, arrays),
        splits=[splits[row] for row in kept],
        encoder=_scalar(path, arrays, "encoder"),
        skipped=[Skipped(image_keys[row], own_keys[row], why_not_finite(embeddings[row]), splits[row]) for row in lost],
        fingerprint=fingerprint,
    )


def _embeddings(path: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.ndim != 2:
        raise InputError(f"{path}: embeddings have shape {array.shape}; expected (n, d), one row per image")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: embeddings are {array.dtype}; expected float16, float32 or float64")
    if 0 in array.shape:
        raise InputError(f"{path}: embeddings have shape {array.shape}; expected at least one row and one column")
    # Not copied where they are float32 already: a file that is mapped to memory stays where it is.
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and so a skipped row
        return np.ascontiguousarray(array, dtype=np.float32)


def _classes(path: Path, arrays: Arrays, n: int) -> tuple[list[str], dict[str, str]]:
    """Class key of each row, and the name of each class key."""
    labels = arrays["labels"]
    if labels.shape != (n,):
        raise InputError(f"{path}: labels have shape {labels.shape} for {counted(n, 'embedding')}; expected ({n},)")
    names = _texts(path, arrays["class_names"], "class_names") if "class_names" in arrays else None
    if labels.dtype.kind in "US":
        order, numbers = _text_labels(path, _texts(path, labels, "labels"), names)
    else:
        order, numbers = _number_labels(path, _whole_numbers(path, labels), names)
    keys = _unique_keys(order)
    return [keys[number][0] for number in numbers], dict(keys)


def _text_labels(path: Path, labels: list[str], names: list[str] | None) -> tuple[list[str], list[int]]:
    """Class names in order, and each row's position in them."""
    order = names if names is not None else sorted(set(labels))
    position = {text: number for number, text in enumerate(order)}
    if len(position) < len(order):
        raise InputError(f"{path}: class_names repeat a name and labels are texts; expected numbers, or unique names")
    for label in labels:
        if label not in position:
            raise InputError(
                f"{path}: label {label!r} is not one of its {len(order)} class_names{nearest(label, order)}"
            )
    return order, [position[label] for label in labels]


def _number_labels(path: Path, labels: list[int], names: list[str] | None) -> tuple[list[str], list[int]]:
    """Class names in order, and each row's position in them."""
    low, high = min(labels), max(labels)
    if low < 0:
        raise InputError(f"{path}: labels hold {low}; expected 0 or more: leave rows without a label out")
    if names is not None and high >= len(names):
        raise InputError(f"{path}: labels hold {high}; expected 0 to {len(names) - 1}, positions in class_names")
    if names is not None:
        return names, labels
    distinct = sorted(set(labels))
    position = {label: number for number, label in enumerate(distinct)}
    return [str(label) for label in distinct], [position[label] for label in labels]


def _whole_numbers(path: Path, labels: NDArray[Any]) -> list[int]:
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):  # what a spreadsheet makes of labels
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise InputError(f"{path}: labels are {labels.dtype}; expected whole numbers or texts")
    return cast("list[int]", labels.astype(np.int64).tolist())


def _unique_keys(order: list[str]) -> list[tuple[str, str]]:
    """Key and name of each class; two classes of one name stay two."""
    found = class_keys(order)
    repeated = len(found) < len(order)
    return [
        (f"{found[text][0]}_{number}" if repeated and order.count(text) > 1 else found[text][0], found[text][1])
        for number, text in enumerate(order)
    ]


def _texts(path: Path, array: NDArray[Any], what: str) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise InputError(f"{path}: {what} are {array.dtype} {array.shape}; expected a list of texts")
    if array.dtype.kind == "S":
        return [printable(text.decode("utf-8", "surrogateescape")) for text in array.tolist()]
    return [printable(text) for text in array.tolist()]


def _column(path: Path, arrays: Arrays, what: str, n: int) -> list[str] | None:
    if what not in arrays:
        return None
    texts = _texts(path, arrays[what], what)
    if len(texts) != n:
        raise InputError(f"{path}: {len(texts)} {what} for {counted(n, 'embedding')}; expected as many")
    return texts


def _scalar(path: Path, arrays: Arrays, what: str) -> str:
    if what not in arrays:
        return ""
    array = arrays[what]
    if array.size != 1 or array.dtype.kind not in "US":
        raise InputError(f"{path}: {what} is {array.dtype} {array.shape}; expected one text")
    return _texts(path, array.reshape(1), what)[0]


def _modality(path: Path, arrays: Arrays) -> Modality:
    found = _scalar(path, arrays, "modality") or "image"
    if found not in ("image", "prompt"):
        raise InputError(
            f"{path}: modality is {found!r}; expected 'image' or 'prompt'{nearest(found, ['image', 'prompt'])}"
        )
    return cast("Modality", found)
