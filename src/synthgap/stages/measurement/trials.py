"""The trials: every reference set against every query set, images and prompts alike (M Table 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from synthgap.core.records import OVERALL
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement.scores import measure_scores
from synthgap.store.embeddings import EmbeddingSet

Row = dict[str, Any]
FIGURES = (
    "centroid_accuracy", "centroid_accuracy_ci_low", "centroid_accuracy_ci_high",
    "knn_1", "knn_5", "average_cosine_similarity",
)  # fmt: skip


@dataclass(frozen=True)
class TrialSet:
    """One set in both roles: its train split as references, its eval split as queries."""

    name: str
    reference: EmbeddingSet
    query: EmbeddingSet


def run_trials(
    sets: Sequence[TrialSet], spec: MeasureSpec, progress: Callable[[int, int, str], None] | None = None
) -> list[Row]:
    """Measure every reference set against every query set.

    Args:
        sets: Image and prompt sets of one encoder, in the order of the table.
        spec: Neighbours (columns ``knn_1`` and ``knn_5`` are filled where they are asked for), resamples, seed.
        progress: Called with trials done, trials in all, and what is being done.

    Returns:
        One row per trial, numbered from 1, queries in the outer loop as in M Table 6: ``number``, ``reference``,
        ``query``, ``centroid_accuracy`` with ``_ci_low`` and ``_ci_high``, ``knn_1``, ``knn_5``,
        ``average_cosine_similarity``, ``n``. NaN where M prints n/a: one prompt per class as query.
    """
    rows: list[Row] = []
    pairs = [(reference, query) for query in sets for reference in sets]
    for number, (reference, query) in enumerate(pairs, start=1):
        rows.append(
            {"number": number, "reference": reference.name, "query": query.name, **_figures(reference, query, spec)}
        )
        if progress is not None:
            progress(number, len(pairs), "trials")
    return rows


def _figures(reference: TrialSet, query: TrialSet, spec: MeasureSpec) -> Row:
    """The figures of one trial; NaN where the two roles share no class, such as with one image per class."""
    if not set(reference.reference.class_keys) & set(query.query.class_keys):
        return dict.fromkeys(FIGURES, float("nan")) | {"n": 0}
    measured = measure_scores(reference.reference, query.query, spec)
    found = {row.metric: row for row in measured if row.class_key == OVERALL}
    accuracy = found["centroid_accuracy"]
    values = {
        "centroid_accuracy": accuracy.value,
        "centroid_accuracy_ci_low": accuracy.ci_low,
        "centroid_accuracy_ci_high": accuracy.ci_high,
        "average_cosine_similarity": found["average_cosine_similarity"].value,
    }
    neighbours = {f"knn_{k}": found[f"knn_accuracy@{k}"].value for k in (1, 5) if f"knn_accuracy@{k}" in found}
    return dict.fromkeys(FIGURES, float("nan")) | values | neighbours | {"n": accuracy.n}
