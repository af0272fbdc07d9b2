"""The image and prompt sets of a run, each with the colour and shape that it keeps on the whole page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthgap.core.counting import counted
from synthgap.stages.report import formats
from synthgap.stages.report.tables import RunTables

SYNTHETIC_STYLES = 5
PROMPT_STYLES = 2

SHAPES = {
    "nat": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "syn0": "M0-4.6L4.6 3.6H-4.6z",
    "syn1": "M-3.7-3.7H3.7V3.7H-3.7z",
    "syn2": "M0 4.6L4.6-3.6H-4.6z",
    "syn3": "M-1.4-4.6H1.4V-1.4H4.6V1.4H1.4V4.6H-1.4V1.4H-4.6V-1.4H-1.4z",
    "syn4": "M-2.4-4.3H2.4L4.9 0L2.4 4.3H-2.4L-4.9 0z",
    "prm0": "M0-5.6L5.6 0L0 5.6L-5.6 0z",
    "prm1": "M0-6L1.5-1.9L5.7-1.9L2.4 .8L3.6 4.9L0 2.5L-3.6 4.9L-2.4 .8L-5.7-1.9L-1.5-1.9z",
    "oth": "M-4.5-1.2H4.5V1.2H-4.5z",
}
"""The mark of each style as an SVG path around the origin: sets differ in shape too, not in colour alone."""


@dataclass(frozen=True, slots=True)
class SetView:
    """One set as the page shows it."""

    name: str
    kind: str
    """``natural``, ``synthetic`` or ``prompts``."""
    style: str
    """Name of its colour in the stylesheet: ``nat``, ``syn0``, ``syn1``, …, ``prm0``, …"""
    size: str = ""
    description: str = ""


def _declared(tables: RunTables) -> dict[str, dict[str, Any]]:
    """Every set that the summary or a table names, the main pair first."""
    summary = tables.summary
    known: dict[str, dict[str, Any]] = {str(summary["natural"]): {}, str(summary["synthetic"]): {}}
    for entry in summary.get("sets") or []:
        if isinstance(entry, dict) and "name" in entry:
            known[str(entry["name"])] = entry
    for row in tables["map"]:
        known.setdefault(str(row["set"]), {"modality": row["modality"]})
    for table, columns in {"thumbnails": ("set",), "trials": ("reference", "query")}.items():
        for row in tables[table]:
            for column in columns:
                known.setdefault(str(row[column]), {})
    return known


def _size(entry: dict[str, Any]) -> str:
    what = "prompt" if entry.get("modality") == "prompt" else "image"
    classes = entry.get("classes")
    # 'classes' is a number; a run that lists them instead is understood as well.
    total = len(classes) if isinstance(classes, (list, dict)) else classes
    numbers: tuple[tuple[Any, str], ...] = ((entry.get("n"), what), (total, "class"))
    return ", ".join(counted(int(number), noun) for number, noun in numbers if formats.is_number(number))


def set_views(tables: RunTables) -> dict[str, SetView]:
    """Every set by name: natural first, then the synthetic sets (the main one first), then the prompts."""
    natural = str(tables.summary["natural"])
    order = {"natural": 0, "synthetic": 1, "prompts": 2}
    used = {"synthetic": 0, "prompts": 0}
    views: list[SetView] = []
    for name, entry in _declared(tables).items():
        kind = "natural" if name == natural else "prompts" if entry.get("modality") == "prompt" else "synthetic"
        style = "nat"
        if kind != "natural":
            style = f"prm{used[kind] % PROMPT_STYLES}" if kind == "prompts" else f"syn{used[kind] % SYNTHETIC_STYLES}"
            used[kind] += 1
        views.append(SetView(name, kind, style, _size(entry), str(entry.get("description") or "")))
    return {view.name: view for view in sorted(views, key=lambda view: order[view.kind])}
