"""The trials: every reference set against every query set, images and prompts alike (M Table 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from synthgap.core.records import OVERALL, Measurement
from synthgap.core.specs import Classifier, MeasureSpec
from synthgap.stages.measurement.scores import measure_classifiers, measure_scores
from synthgap.store.embeddings import EmbeddingSet

Row = dict[str, Any]
PREFIX = "knn_accuracy@"


@dataclass(frozen=True)
class TrialSet:
    """One set in both roles: its train split as references, its eval split as queries."""

    name: str
    reference: EmbeddingSet
    query: EmbeddingSet

    @property
    def modality(self) -> str:
        """``image`` or ``prompt``."""
        return self.reference.modality


def measure_trials(
    sets: Sequence[TrialSet],
    spec: MeasureSpec,
    classifiers: Sequence[Classifier] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> list[list[Measurement]]:
    """Measure every reference set against every query set, overall and per class.

    Args:
        sets: Image and prompt sets of one encoder, in the order of the table.
        spec: Neighbours, resamples, seed.
        classifiers: Asked beside centroids and neighbours.
        progress: Called with trials done, trials in all, and what is being done.

    Returns:
        The rows of each trial, queries in the outer loop as in M Table 6: ``centroid_accuracy``, ``knn_accuracy@k``,
        ``average_cosine_similarity`` (to the centroid of the own class), ``nearest_cosine_similarity`` (to the nearest
        one) and an accuracy of each classifier. NaN where M prints n/a, neighbours of one prompt per class; nothing
        for a trial whose two sides share no class, such as those of a set with one image per class.
    """
    pairs, found = [(reference, query) for query in sets for reference in sets], []
    for number, (reference, query) in enumerate(pairs, start=1):
        rows: list[Measurement] = []
        if set(reference.reference.class_keys) & set(query.query.class_keys):
            rows = measure_scores(reference.reference, query.query, spec)
            rows += measure_classifiers(reference.reference, query.query, classifiers, spec)
        found.append([replace(row, reference=reference.name, query=query.name) for row in rows])
        if progress is not None:
            progress(number, len(pairs), "trials")
    return found


def trial_table(sets: Sequence[TrialSet], measured: Sequence[Sequence[Measurement]]) -> list[Row]:
    """One row per trial of `measure_trials`, numbered from 1.

    Returns:
        ``number``, ``reference``, ``query``, and the overall value of each figure, ``centroid_accuracy`` with ``_ci_low``
        and ``_ci_high``, neighbours as ``knn_1``; ``n`` queries. All rows have the same columns.
    """
    pairs = [(reference.name, query.name) for query in sets for reference in sets]
    names = {row.metric: float("nan") for rows in measured for row in rows}
    columns = {_column(name): value for name, value in names.items()}
    table = []
    for number, ((reference, query), rows) in enumerate(zip(pairs, measured, strict=True), start=1):
        own: Row = {"number": number, "reference": reference, "query": query, **columns, "n": 0}
        for row in _overall(rows):
            own[_column(row.metric)] = row.value
            if row.metric == "centroid_accuracy":
                own |= {"centroid_accuracy_ci_low": row.ci_low, "centroid_accuracy_ci_high": row.ci_high, "n": row.n}
        table.append(own)
    return table


def _overall(rows: Iterable[Measurement]) -> list[Measurement]:
    return [row for row in rows if row.class_key == OVERALL]


def _column(metric: str) -> str:
    return f"knn_{metric.removeprefix(PREFIX)}" if metric.startswith(PREFIX) else metric
