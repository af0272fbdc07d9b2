"""Pictures of the run's sets for the pages: by class and key only, so that no address can name any other file."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal

import numpy as np
from PIL import Image

from synthgap.core.errors import SynthgapError
from synthgap.store.images import BrokenImage, decode_image, encode_jpeg, encode_png
from synthgap.store.rows import ImageRow, ImageSource, ShardRange

Size = Literal["small", "large"]

MOST = 96
"""Pictures of a class that can be seen, the first of each set."""
CLASSES_KEPT = 2
"""Classes whose rows are kept: those of a set hold their bytes."""
PIXELS: Mapping[Size, int] = {"small": 192, "large": 1024}
"""Longest side that a picture is made smaller to."""
TINY = 64
"""A picture of at most this many pixels is enlarged without smoothing, as a whole multiple up to `ENLARGED`."""
ENLARGED: Mapping[Size, int] = {"small": 96, "large": 512}


class Shelf:
    """The pictures of one set, under its own class keys.

    Args:
        source: Where they are; None for a set that has moved away, of which the run's thumbnails are left.
        thumbnails: Small pictures of each class by image key.
    """

    def __init__(self, source: ImageSource | None, thumbnails: Mapping[str, Mapping[str, bytes]]) -> None:
        self._source, self._thumbnails = source, thumbnails
        self._rows: OrderedDict[str, dict[str, ImageRow]] = OrderedDict()
        self._places: dict[str, list[tuple[str, int, int]]] | None = None
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """Changes with the pictures."""
        return "" if self._source is None else self._source.fingerprint

    def sample(self, class_key: str) -> list[str]:
        """Keys of the thumbnails of a class."""
        return list(self._thumbnails.get(class_key, {}))

    def keys(self, class_key: str) -> list[str]:
        """Keys of the pictures of a class: the first `MOST`, or its thumbnails where the set is not there."""
        return list(self._of(class_key)) or self.sample(class_key)

    def read(self, class_key: str, image_key: str, size: Size) -> tuple[bytes, str]:
        """A picture as (bytes, media type), encoded anew: whatever the file holds, this is an image.

        Raises:
            KeyError: the set has no such picture.
            BrokenImage: it cannot be decoded.
        """
        small = self._thumbnails.get(class_key, {}).get(image_key)
        if size == "small" and small is not None:
            return _encoded(small, size)
        row = self._of(class_key).get(image_key)
        if row is not None:
            with suppress(OSError):  # gone since
                return _encoded(row.read(), size)
        if small is not None:
            return _encoded(small, size)
        raise KeyError(image_key)

    def _of(self, class_key: str) -> dict[str, ImageRow]:
        if self._source is None or class_key not in self._source.classes:
            return {}
        with self._lock:
            if class_key not in self._rows:
                try:
                    self._rows[class_key] = self._fetch(self._source, class_key)
                except (OSError, SynthgapError):  # the folder is gone, or half gone
                    return {}
                while len(self._rows) > CLASSES_KEPT:
                    self._rows.popitem(last=False)
            self._rows.move_to_end(class_key)
            return self._rows[class_key]

    def _fetch(self, source: ImageSource, class_key: str) -> dict[str, ImageRow]:
        if self._places is None:
            self._places = _places(source)
        found: dict[str, ImageRow] = {}
        for split, start, stop in self._places.get(class_key, ()):
            for row in source.rows(split, start, min(stop, start + MOST - len(found))):
                found[row.image_key] = row
            if len(found) >= MOST:
                break
        return found


def _places(source: ImageSource) -> dict[str, list[tuple[str, int, int]]]:
    """Where the first rows of each class stand, as (split, start, stop)."""
    found: dict[str, list[tuple[str, int, int]]] = {key: [] for key in source.classes}
    for split in source.splits:
        parts = [part for part in source.shards() if part.split == split]
        counts = Counter[str]()
        for part in parts:
            counts[_class_of(part)] += part.stop - part.start
        if all(count == source.counts[split].get(key) for key, count in counts.items()):
            for part in parts:
                found[_class_of(part)].append((split, part.start, part.stop))
            continue
        for number, row in enumerate(source.rows(split)):  # classes are mixed: look once at every row
            if len(found[row.class_key]) < MOST:
                found[row.class_key].append((split, number, number + 1))
    return found


def _class_of(part: ShardRange) -> str:
    """The class of a shard's name, ``<split>/<class_key>-<block>``."""
    return part.name.partition("/")[2].rpartition("-")[0]


def _encoded(data: bytes, size: Size) -> tuple[bytes, str]:
    image = Image.fromarray(decode_image(data))
    longest = max(image.size)
    if longest <= TINY:
        times = max(1, ENLARGED[size] // longest)
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
        return encode_png(np.asarray(image)), "image/png"
    image.thumbnail((PIXELS[size], PIXELS[size]), Image.Resampling.LANCZOS)
    return encode_jpeg(np.asarray(image), quality=90), "image/jpeg"


def thumbnails_of(rows: Sequence[Mapping[str, object]], name: str) -> dict[str, dict[str, bytes]]:
    """The run's thumbnails of one set by class and image key."""
    found: dict[str, dict[str, bytes]] = {}
    for row in rows:
        if row["set"] == name and isinstance(row["image"], bytes):
            found.setdefault(str(row["class_key"]), {})[str(row["image_key"])] = row["image"]
    return found


__all__ = ["MOST", "BrokenImage", "Shelf", "Size", "thumbnails_of"]
