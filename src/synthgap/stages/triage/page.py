"""``triage.html``: the worst labels with their pictures, on one page that asks for nothing outside itself."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from synthgap.stages.triage.labels import Label
from synthgap.stages.triage.worklist import Entry
from synthgap.store.atomic import write_text
from synthgap.store.images import Pixels, encode_jpeg

TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 128
"""Pixels of a picture's longer side on the page."""
SMALL = 48
"""A picture of at most this many pixels is shown at twice its size, unsmoothed."""


def write_page(
    path: Path,
    labels: Sequence[Label],
    entries: Sequence[Entry],
    pictures: Mapping[str, Pixels],
    *,
    after: Mapping[str, Pixels],
    gain: Mapping[str, Any] | None,
    facts: Mapping[str, Any],
) -> None:
    """Write the page.

    Args:
        path: The file.
        labels: Those to show, worst first.
        entries: The worklist.
        pictures: By image key, those to show.
        after: The same by the clarified prompts; empty without ``gain``.
        gain: What `measure_gain` found, where the clarified prompts were tried.
        facts: ``title``, ``judge``, ``labels`` in all, ``listed`` on the worklist, ``notes``.
    """
    by_key = {entry.override.class_key: entry for entry in entries}
    blocks = []
    for label in labels:
        key = label.entry.class_key
        blocks.append(
            {
                "label": label,
                "entry": by_key.get(key),
                "pictures": [_picture(one, pictures[one]) for one in label.image_keys if one in pictures],
                "after": [_picture(one, after[one]) for one in label.image_keys if one in after and one in pictures],
                "gain": None if gain is None else gain["per_class"].get(key),
            }
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "points": _points}
    write_text(path, environment.get_template("triage.html.j2").render(blocks=blocks, gain=gain, **facts))


def _picture(key: str, pixels: Pixels) -> dict[str, Any]:
    """The picture as a data URI, with its size on the page."""
    longest, times = max(pixels.shape[:2]), 1
    if longest > LONGEST:
        height, width = (max(1, round(side * LONGEST / longest)) for side in pixels.shape[:2])
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
    elif longest <= SMALL:
        times = 2
    data = base64.b64encode(encode_jpeg(pixels, quality=90)).decode("ascii")
    return {
        "key": key,
        "uri": f"data:image/jpeg;base64,{data}",
        "width": pixels.shape[1] * times,
        "height": pixels.shape[0] * times,
        "small": times > 1,
    }


def _percent(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "n/a"


def _points(value: float) -> str:
    """A difference of shares in points of a hundred, with its sign."""
    return f"{100 * value:+.0f}" if math.isfinite(value) else "n/a"
