"""The plain measurement: one file or folder of embeddings against another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthgap.core.specs import MeasureSpec
from synthgap.stages.alignment import matched_to, without_direction
from synthgap.stages.comparison import skipped_rows
from synthgap.stages.measurement import measure, measurements_json
from synthgap.store.embeddings import load_embeddings


def measure_files(reference: Path, query: Path, spec: MeasureSpec | None = None) -> dict[str, Any]:
    """Measure one file or folder of embeddings against another, as JSON (design section 8).

    References are the reference set's train split and queries the query set's eval split where a set has both, else
    all rows. Classes match by key or by name.

    Returns:
        Per metric ``overall`` and ``per_class``; ``knn_accuracy`` per k. Besides, ``reference`` and ``query`` (names),
        ``skipped`` rows and ``notes``.

    Raises:
        InputError: A file cannot be read, the embeddings differ in length or encoder, or no class is in both.
    """
    spec = spec or MeasureSpec()
    left, right = (without_direction(load_embeddings(path)) for path in (reference, query))
    name = right.name if left.name != right.name else f"{right.name} (query)"
    asked = matched_to(left, right).renamed(name)
    found = measurements_json(measure(left, asked, spec), {**asked.classes, **left.classes}, asked.name)
    skipped, notes = [], []
    for images in (left, asked):
        rows, told = skipped_rows(images)
        skipped += rows
        notes += told
    if reference.resolve() == query.resolve() and len(left.split_names()) == 1:
        notes.append("reference and query are the same rows: each finds itself as its nearest neighbour")
    return found | {"reference": left.name, "query": asked.name, "skipped": skipped, "notes": notes}
