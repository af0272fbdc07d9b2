"""Labelled images through timm's readers: ``hfds/``, ``hfids/``, ``tfds/``, ``wds/``, ``torch/``, folders and tars.

Images come as bytes of files. Readers that only go forward hand out pixels; these become a BMP, which loses nothing.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError

_FORWARD = ("hfids/", "tfds/", "wds/")
_PREFIXES = ("hfds/", "torch/", *_FORWARD)


@dataclass(frozen=True)
class TimmImages:
    """What a reader holds."""

    classes: tuple[str, ...]
    """Name of each label, in the reader's order; the numbers themselves where it knows no names."""
    labels: tuple[int, ...]
    """Position in ``classes`` of each image; -1 has none."""
    read: Callable[[int, int], Iterator[tuple[str, Callable[[], bytes]]]]
    """Name and a function that gives the bytes (or raises OSError) of the images ``start`` to ``stop``, for any thread."""


def open_timm_images(name: str, root: str | None, split: str) -> TimmImages:
    """Open what ``timm.data.create_dataset`` takes.

    A reader that goes forward only is read once for the labels, and once more for the images.

    Args:
        name: such as ``hfds/ILSVRC/imagenet-1k``, ``hfds//a/folder``, ``torch/image_folder``; or the path of a tar or folder.
        root: folder of the data or of the reader's cache, where the reader takes one.
        split: such as ``validation``.

    Raises:
        InputError: timm cannot open it, with its reason.
    """
    from timm.data import create_dataset

    known = name.lower().startswith(_PREFIXES)
    if not known and not Path(name).expanduser().exists():
        raise InputError(
            f"timm:{name}: no such file or folder, and no reader; expected a path or one of {', '.join(_PREFIXES)}"
        )
    # the number of samples only serves schedules, but hfids wants one where the data set does not tell
    extra = {"num_samples": 1} if name.lower().startswith("hfids/") else {}
    where = {"root": root} if known else {"root": str(Path(name).expanduser())}
    try:
        dataset: Any = create_dataset(name if known else "", split=split, is_training=False, **where, **extra)
        return _indexed(dataset, forward=name.lower().startswith(_FORWARD))
    except InputError:
        raise
    except Exception as error:  # readers answer with nearly any exception
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"timm:{name}: timm cannot open its split {split!r}: {first}; another split is chosen with --split"
        ) from error


def _indexed(dataset: Any, *, forward: bool) -> TimmImages:
    reader = getattr(dataset, "reader", dataset)
    targets = [-1 if target is None else int(target) for target in _targets(dataset, reader)]
    names = _names(reader)
    if names is None:
        present = sorted({target for target in targets if target >= 0})
        place = {target: number for number, target in enumerate(present)}
        names, targets = tuple(map(str, present)), [place.get(target, -1) for target in targets]
    if targets and max(targets) >= len(names):
        raise InputError(f"it has label {max(targets)} and {len(names)} classes")
    read = _forward(dataset) if forward else _random(reader)
    return TimmImages(names, tuple(targets), read)


def _targets(dataset: Any, reader: Any) -> Iterator[Any]:
    """Labels in order, without an image where the reader has them apart."""
    if hasattr(reader, "iter_targets"):
        yield from reader.iter_targets()
    elif getattr(reader, "targets", None) is not None:
        yield from reader.targets
    elif hasattr(reader, "samples"):
        yield from (sample[1] for sample in reader.samples)
    else:
        yield from (target for _, target in dataset)


def _names(reader: Any) -> tuple[str, ...] | None:
    if wnids := getattr(reader, "wnids", None):  # torchvision's ImageNet
        return tuple(wnids)
    numbers = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None)
    if not numbers:
        return None
    names = {int(number): str(name) for name, number in numbers.items()}
    return tuple(names.get(number, str(number)) for number in range(max(names) + 1))


def _random(reader: Any) -> Callable[[int, int], Iterator[tuple[str, Callable[[], bytes]]]]:
    """Images by their number; one at a time, as readers of tars share one file between threads."""
    lock = threading.Lock()

    def fetch(number: int) -> bytes:
        with lock:
            found = reader[number][0]
            return _bytes(found)

    def read(start: int, stop: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
        for number in range(start, stop):
            yield _filename(reader, number), lambda number=number: fetch(number)  # type: ignore[misc]

    return read


def _forward(dataset: Any) -> Callable[[int, int], Iterator[tuple[str, Callable[[], bytes]]]]:
    def read(start: int, stop: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
        for number, (image, _) in enumerate(islice(dataset, start, stop), start=start):
            data = _bytes(image)
            yield f"{number:07d}", lambda data=data: data  # type: ignore[misc]

    return read


def _bytes(found: Any) -> bytes:
    """A file's bytes as they are; pixels as a BMP."""
    if hasattr(found, "read"):
        with found:
            return bytes(found.read())
    held = io.BytesIO()
    found.convert("RGB").save(held, "BMP")
    return held.getvalue()


def _filename(reader: Any, number: int) -> str:
    try:
        return str(reader.filename(number) or f"{number:07d}")
    except (AttributeError, AssertionError):  # not every reader has names
        return f"{number:07d}"
