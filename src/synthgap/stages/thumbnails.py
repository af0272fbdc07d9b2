"""Small pictures for the report's strips: a fair sample of every class and set, not the best or worst."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from synthgap.store.images import BrokenImage, decode_image, encode_jpeg
from synthgap.store.sources import ImageRow, ImageSource

PER_CLASS = 12
MOST = 2000
"""Pictures in all: a report of many classes shows fewer of each."""
LONGEST = 96
"""Pixels of a picture's longer side; smaller images stay as they are."""


def thumbnails(
    source: ImageSource, name: str, renamed: Mapping[str, str], sets: int, shown: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Pictures of one set.

    Args:
        source: The images.
        name: The set's name in the report.
        renamed: The report's class key of each of the source's class keys that take part.
        sets: Number of sets that share the budget of pictures.
        shown: Image keys that the map shows: these come first, so that a point there has its picture.

    Yields:
        Rows ``set``, ``class_key``, ``image_key``, ``image`` (JPEG bytes); which images is the same for the same set.
    """
    per_class = max(2, min(PER_CLASS, MOST // max(1, sets * len(renamed))))
    for key, rows in _chosen(source, renamed, per_class, frozenset(shown)).items():
        for row in rows:
            try:
                image = encode_jpeg(_small(decode_image(row.read())), quality=90)
            except BrokenImage:
                continue
            yield {"set": name, "class_key": renamed[key], "image_key": row.image_key, "image": image}


def _chosen(
    source: ImageSource, renamed: Mapping[str, str], per_class: int, shown: frozenset[str]
) -> dict[str, list[ImageRow]]:
    """The rows of each class with the lowest hash, those on the map before the others; one pass, bounded memory."""
    heaps: dict[str, list[tuple[int, int, ImageRow]]] = {key: [] for key in renamed}
    for number, row in enumerate(source.rows()):
        heap = heaps.get(row.class_key)
        if heap is None:
            continue
        digest = int.from_bytes(hashlib.blake2b(row.image_key.encode(), digest_size=7).digest(), "big")
        rank = digest + (0 if row.image_key in shown else 1 << 56)
        entry = (-rank, -number, row)
        if len(heap) < per_class:
            heapq.heappush(heap, entry)
        elif entry > heap[0]:
            heapq.heapreplace(heap, entry)
    return {
        key: [row for *_, row in sorted(heap, key=lambda entry: (-entry[0], -entry[1]))] for key, heap in heaps.items()
    }


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if max(height, width) <= LONGEST:
        return image
    scale = LONGEST / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
