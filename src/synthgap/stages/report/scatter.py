"""The map of the embeddings as compact data for the page's canvas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from synthgap.stages.report.figures import Figures
from synthgap.stages.report.sets import SetView
from synthgap.stages.report.tables import Row, RunTables

MAX_POINTS = 12_000
MAX_KEY_CHARACTERS = 600_000
"""Image keys are left out of the map when they would weigh more than this."""
GRID = 4095
"""Coordinates are whole numbers in [0, GRID]: finer than any screen shows."""


def _thinned(rows: list[Row]) -> list[Row]:
    """At most ``MAX_POINTS`` rows, evenly spaced within each set, so that small sets stay visible."""
    finite = [row for row in rows if _finite(row["x"]) and _finite(row["y"])]
    if len(finite) <= MAX_POINTS:
        return finite
    by_set: dict[str, list[Row]] = {}
    for row in finite:
        by_set.setdefault(str(row["set"]), []).append(row)
    share = MAX_POINTS // len(by_set)
    return [row for members in by_set.values() for row in members[:: max(1, math.ceil(len(members) / share))]]


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _series(view: SetView, rows: list[Row], thumbs: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    keys = [str(row.get("image_key") or "") for row in rows]
    places = {str(position): thumbs[view.name, key] for position, key in enumerate(keys) if (view.name, key) in thumbs}
    return {
        "name": view.name,
        "kind": view.kind,
        "style": view.style,
        "x": [row["x"] for row in rows],
        "y": [row["y"] for row in rows],
        "c": [row["class"] for row in rows],
        "k": keys,
        "t": places,
    }


def scatter(
    tables: RunTables, figures: Figures, sets: Mapping[str, SetView], thumbs: Mapping[tuple[str, str], int]
) -> dict[str, Any] | None:
    """The map: points per set (x, y in [0, 4095], class number, image key, number of the thumb); ``None`` without points.

    Both axes have one scale, so distances on the page are distances on the map.
    """
    rows = _thinned(tables["map"])
    if not rows:
        return None
    left, top = min(row["x"] for row in rows), min(row["y"] for row in rows)
    width, height = max(row["x"] for row in rows) - left, max(row["y"] for row in rows) - top
    scale = GRID / (max(width, height) or 1.0)
    classes = {key: number for number, key in enumerate(dict.fromkeys(str(row["class_key"]) for row in rows))}
    placed = [
        row
        | {
            "x": round((row["x"] - left) * scale),
            "y": round((row["y"] - top) * scale),
            "class": classes[str(row["class_key"])],
        }
        for row in rows
    ]
    by_set = {name: [row for row in placed if str(row["set"]) == name] for name in sets}
    series = [_series(sets[name], members, thumbs) for name, members in by_set.items() if members]
    if sum(len(key) for item in series for key in item["k"]) > MAX_KEY_CHARACTERS:
        series = [item | {"k": []} for item in series]
    return {
        "width": round(width * scale) or 1,
        "height": round(height * scale) or 1,
        "classes": [figures.name(key) for key in classes],
        "total": len(tables["map"]),
        "shown": len(rows),
        "sets": series,
    }
