"""Strips of images, class by class and set beside set, within a budget of bytes (big reports crash browsers)."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from synthgap.stages.report import formats
from synthgap.stages.report.classes import ClassRow
from synthgap.stages.report.figures import Figures
from synthgap.stages.report.sets import SetView
from synthgap.stages.report.tables import RunTables

MAX_CLASSES = 50
MAX_PER_STRIP = 12
MIN_PER_STRIP = 4
MAX_BYTES = 3_500_000
"""Budget of all images together, as they stand on the page (base64)."""
MAX_IMAGE_BYTES = 60_000
"""A thumbnail that weighs more is none, and is left out."""
SMALL_PIXELS = 48
"""An image whose longer side has at most this many pixels is drawn at twice its size, unsmoothed."""
TILE_PIXELS = 88
"""Largest height of an image on the page, in CSS pixels."""

_MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}


@dataclass(frozen=True, slots=True)
class Thumb:
    """One image of a strip."""

    index: int
    """Number on the page; the map shows the image of a point by it."""
    key: str
    uri: str
    width: int
    height: int
    pixelated: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """The strip of one set within one class."""

    set: SetView
    thumbs: list[Thumb]
    facts: str


@dataclass(frozen=True, slots=True)
class ClassStrips:
    """All strips of one class."""

    row: ClassRow
    panels: list[Panel]


@dataclass(frozen=True, slots=True)
class Strips:
    """The section of strips: the classes shown, how many were left out, and where each image stands."""

    classes: list[ClassStrips]
    left_out: int
    by_image: Mapping[tuple[str, str], int]
    """(set, image key) -> number of the thumb."""


@dataclass(frozen=True, slots=True)
class _Picture:
    key: str
    uri: str
    width: int
    height: int
    pixelated: bool


def _picture(key: str, data: object) -> _Picture | None:
    """The image ready for the page; ``None`` for bytes that are no image that browsers show, or too many."""
    if not isinstance(data, bytes) or len(data) > MAX_IMAGE_BYTES:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            (width, height), mime = image.size, _MIME.get(image.format or "")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
        return None
    if mime is None:
        return None
    pixelated = max(width, height) <= SMALL_PIXELS
    scale = 2.0 if pixelated else min(1.0, TILE_PIXELS / height)
    uri = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
    return _Picture(key, uri, max(1, round(width * scale)), max(1, round(height * scale)), pixelated)


def _collect(tables: RunTables, keys: list[str]) -> dict[str, dict[str, list[_Picture]]]:
    """Class key -> set -> the first pictures of each, for the given classes in their order."""
    found: dict[str, dict[str, list[_Picture]]] = {key: defaultdict(list) for key in keys}
    for row in tables["thumbnails"]:
        strips = found.get(str(row["class_key"]))
        if strips is None or len(strips[str(row["set"])]) >= MAX_PER_STRIP:
            continue
        if (picture := _picture(str(row["image_key"]), row["image"])) is not None:
            strips[str(row["set"])].append(picture)
    return {key: strips for key, strips in found.items() if any(strips.values())}


def _fit(found: dict[str, dict[str, list[_Picture]]]) -> tuple[list[str], int]:
    """Which classes, and how many images per strip, stay within the budget: shorter strips first, then fewer classes."""

    def size(key: str, length: int) -> int:
        return sum(len(picture.uri) for strip in found[key].values() for picture in strip[:length])

    length = MAX_PER_STRIP
    while length > MIN_PER_STRIP and sum(size(key, length) for key in found) > MAX_BYTES:
        length -= 1
    kept, total = [], 0
    for key in found:
        total += size(key, length)
        if total > MAX_BYTES:
            break
        kept.append(key)
    return kept, length


def _facts(view: SetView, key: str, figures: Figures) -> str:
    """The numbers of one class in one set that explain its strip."""
    is_natural = view.kind == "natural"
    accuracy = (
        figures.baseline("centroid_accuracy", key) if is_natural else figures.of("centroid_accuracy", view.name, key)
    )
    spread, natural = (figures.of("centroid_distance", name, key) for name in (view.name, figures.natural))
    parts = [f"centroid accuracy {formats.percent(accuracy.value)}"] if accuracy.defined else []
    if spread.defined and natural.defined and natural.value > 0:
        parts.append(f"diversity {formats.ratio(spread.value / natural.value)}")
    return ", ".join(parts)


def class_strips(tables: RunTables, figures: Figures, rows: list[ClassRow], sets: Mapping[str, SetView]) -> Strips:
    """The strips of the worst classes, natural first, then the synthetic sets in the order of the page."""
    by_key = {row.key: row for row in rows}
    found = _collect(tables, [row.key for row in rows[:MAX_CLASSES]])
    kept, length = _fit(found)
    by_image: dict[tuple[str, str], int] = {}
    classes = []
    for key in kept:
        panels = []
        for view in sets.values():
            thumbs = []
            for picture in found[key].get(view.name, [])[:length]:
                index = by_image.setdefault((view.name, picture.key), len(by_image))
                thumbs.append(Thumb(index, picture.key, picture.uri, picture.width, picture.height, picture.pixelated))
            if thumbs:
                panels.append(Panel(view, thumbs, _facts(view, key, figures)))
        classes.append(ClassStrips(by_key[key], panels))
    with_images = {str(row["class_key"]) for row in tables["thumbnails"]} & set(by_key)
    return Strips(classes, len(with_images) - len(classes), by_image)
