"""A strip of pictures as one image: a row for each class or prompt, a column for each setting or noise."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synthgap.store.images import BrokenImage, Pixels, decode_image
from synthgap.store.sources import ImageSource

TILE = 96
"""Pixels of a tile's side; a smaller picture is enlarged unsmoothed, a larger one made smaller."""
GAP, MARGIN, LABEL = 4, 12, 190
FONT = 14
INK, PAPER, HOLE = (28, 30, 34), (255, 255, 255), (233, 230, 223)
MOST_LINES = 4


@dataclass(frozen=True)
class StripRow:
    """One row: what it shows, and its pictures; None where there is none."""

    label: str
    images: Sequence[Pixels | None]


def read_pictures(source: ImageSource, keys: Collection[str]) -> dict[str, Pixels]:
    """The pictures of these image keys; one that cannot be decoded is left out."""
    wanted, found = set(keys), {}
    for row in source.rows():
        if row.image_key in wanted:
            try:
                found[row.image_key] = decode_image(row.read())
            except BrokenImage:
                continue
            if len(found) == len(wanted):
                break
    return found


def first_keys(keys: Sequence[str], classes: Sequence[str], count: int) -> dict[str, list[str]]:
    """The first ``count`` image keys of each class in the order of the keys, which is that of the noise."""
    found: dict[str, list[str]] = {}
    for key, own in sorted(zip(keys, classes, strict=True)):
        if len(found.setdefault(own, [])) < count:
            found[own].append(key)
    return found


def draw_strip(columns: Sequence[str], rows: Sequence[StripRow]) -> bytes:
    """PNG of the rows under the names of the columns.

    Args:
        columns: Head of each column; none to leave the heads out.
        rows: At least one; a row may have fewer pictures than there are columns.
    """
    font = ImageFont.load_default(FONT)
    across = max([len(columns), *(len(row.images) for row in rows)])
    head = FONT + 2 * GAP if columns else 0
    width = 2 * MARGIN + LABEL + across * (TILE + GAP)
    sheet = Image.new("RGB", (width, 2 * MARGIN + head + len(rows) * (TILE + GAP)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, text in enumerate(columns):
        shown = _lines(text, font, TILE)[0]
        pen.text((MARGIN + LABEL + place * (TILE + GAP) + TILE / 2, MARGIN), shown, INK, font, anchor="ma")
    for number, row in enumerate(rows):
        top = MARGIN + head + number * (TILE + GAP)
        for line, text in enumerate(_lines(row.label, font, LABEL - 2 * GAP)[:MOST_LINES]):
            pen.text((MARGIN, top + line * (FONT + GAP)), text, INK, font)
        for place in range(across):
            left = MARGIN + LABEL + place * (TILE + GAP)
            picture = row.images[place] if place < len(row.images) else None
            if picture is not None:
                tile = _tile(picture)
                sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
            elif place < len(row.images):
                pen.rectangle((left, top, left + TILE - 1, top + TILE - 1), HOLE)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def rows_of(
    labels: Mapping[str, str], keys: Mapping[str, Sequence[str]], columns: Sequence[Mapping[str, Pixels]]
) -> list[StripRow]:
    """A row for every key of every class: the picture of that key in each column.

    Args:
        labels: Name of each class to show, in order.
        keys: Image keys of each class.
        columns: Pictures by image key, a mapping per column.
    """
    return [
        StripRow(name if number == 0 else "", [column.get(key) for column in columns])
        for own, name in labels.items()
        for number, key in enumerate(keys.get(own, ()))
    ]


def _tile(picture: Pixels) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture))
    longest = max(image.size)
    if longest <= TILE:
        times = TILE // longest
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    size = (max(1, round(image.width * TILE / longest)), max(1, round(image.height * TILE / longest)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text in lines that fit; a word that does not is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        fits = next((end for end in range(len(word), 0, -1) if font.getlength(word[:end]) <= width), 0)
        lines.append(word[:fits])
    return [line for line in lines if line] or [""]
