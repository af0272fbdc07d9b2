"""The report: reads the tables of a run folder and writes one self-contained page; tables in, view records out, no measuring."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from synthgap.stages.report.classes import cause_counts, class_rows
from synthgap.stages.report.definitions import BEYOND, definitions_for
from synthgap.stages.report.figures import Figures
from synthgap.stages.report.headline import headlines
from synthgap.stages.report.learning import error_shares, learning
from synthgap.stages.report.notes import notes
from synthgap.stages.report.page import render
from synthgap.stages.report.proof import proof
from synthgap.stages.report.scatter import scatter
from synthgap.stages.report.sets import SHAPES, set_views
from synthgap.stages.report.strips import class_strips
from synthgap.stages.report.tables import RunTables, read_run
from synthgap.stages.report.trials import trial_table

OPEN_CLASSES = 10
"""Strips of this many of the worst classes stand open; the others open on a click."""
FIRST_ROWS = 50
"""Rows of the table of classes that are shown before the reader asks for all."""


def _view(tables: RunTables) -> dict[str, Any]:
    figures, sets = Figures(tables), set_views(tables)
    rows = class_rows(tables, figures)
    strips = class_strips(tables, figures, rows, sets)
    points = scatter(tables, figures, sets, strips.by_image)
    lessons = learning(tables, figures, sets)
    shown = {"thumbnails": bool(strips.classes), "map": points is not None}
    return {
        "natural": sets[figures.natural],
        "synthetic": sets[figures.synthetic],
        "sets": sets,
        "shapes": SHAPES,
        "encoder": str(tables.summary.get("encoder") or ""),
        "class_total": len(rows),
        "sentences": [str(sentence) for sentence in tables.summary.get("sentences") or []],
        "headlines": headlines(figures),
        "beyond": headlines(figures, BEYOND),
        "rows": rows,
        "diagnosed": any(row.suggestion or row.evidence for row in rows),
        "causes": cause_counts(rows),
        "strips": strips,
        "map": points,
        "map_note": str(tables.summary.get("map_note") or ""),
        "trials": trial_table(tables, sets),
        "lessons": lessons,
        "errors": error_shares(figures, sets),
        "proof": proof(tables, figures, sets),
        "definitions": definitions_for(figures.metrics(), findings=bool(rows), classifier=bool(lessons)),
        "notes": notes(tables, figures, shown),
        "open_classes": OPEN_CLASSES,
        "first_rows": FIRST_ROWS,
    }


__all__ = ["write_report"]


def write_report(run: Path) -> Path:
    """Write ``run/report/index.html`` from the tables of a run folder and return its path.

    The page opens from disk and asks for nothing outside itself. Only ``summary.json`` is needed; a section whose
    table is missing, broken or empty is left out, and the page says why. The same tables give the same bytes. The
    file is replaced in one step, so a reader never sees half a page.

    Raises
    ------
    InputError
        When ``run/summary.json`` is missing, is not JSON, or does not name the two sets.
    """
    page = render(_view(read_run(run)))
    target = run / "report" / "index.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".index.html.{os.getpid()}")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
