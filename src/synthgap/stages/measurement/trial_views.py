"""What the trials tell: where a set's error comes from, which classes fail and how, and the two modalities (M Tables 3 to 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from synthgap.core.records import OVERALL, Measurement
from synthgap.stages.measurement.trials import TrialSet

Row = dict[str, Any]
Trials = Mapping[tuple[str, str], Mapping[tuple[str, str], float]]
"""(reference, query) -> (metric, class key) -> value."""

WORST = 5
"""Classes that are shown of each set."""


def by_pair(sets: Sequence[TrialSet], measured: Sequence[Sequence[Measurement]]) -> Trials:
    """The values of each trial by its reference and query set."""
    pairs = [(reference.name, query.name) for query in sets for reference in sets]
    return {
        pair: {(row.metric, row.class_key): row.value for row in rows}
        for pair, rows in zip(pairs, measured, strict=True)
    }


def error_view(trials: Trials, natural: str, drawn_from: Mapping[str, str]) -> list[Row]:
    """M Table 3: the error of each synthetic set with its prompts as references, cut into diversity and shift.

    Args:
        trials: As `by_pair` gives them.
        natural: Name of the natural set.
        drawn_from: The prompt set of each synthetic set.

    Returns:
        Per synthetic set the centroid accuracies ``prompts_on_natural`` (zero-shot), ``prompts_on_own`` and ``own_on_own``,
        and ``error_total``, ``error_diversity`` and ``error_shift``, the difference of the two before it.
    """
    rows = []
    for name, prompts in drawn_from.items():
        zero_shot, own, inner = (_value(trials, pair) for pair in ((prompts, natural), (prompts, name), (name, name)))
        errors = {"error_total": 1 - own, "error_diversity": 1 - inner, "error_shift": inner - own}
        accuracies = {"prompts_on_natural": zero_shot, "prompts_on_own": own, "own_on_own": inner}
        rows.append({"set": name, "prompts": prompts, **accuracies, **errors})
    return rows


def class_view(
    trials: Trials, natural: str, drawn_from: Mapping[str, str], names: Mapping[str, str], worst: int = WORST
) -> list[Row]:
    """M Table 4: the classes that the prompts find worst among natural images, and whether they find their own images.

    Found neither here nor there is a concept that the encoder lacks (M's "hammer"); found in the set's own images only,
    a set that is faithful to a wrong concept (M's "nail").

    Returns:
        Per synthetic set its worst classes: ``set``, ``class_key``, ``class``, and the centroid accuracies
        ``prompts_on_natural`` and ``prompts_on_own``.
    """
    rows = []
    for name, prompts in drawn_from.items():
        natural_side, own = trials.get((prompts, natural), {}), trials.get((prompts, name), {})
        found: list[Row] = [
            {
                "set": name,
                "class_key": key,
                "class": names.get(key, key),
                "prompts_on_natural": value,
                "prompts_on_own": own.get((metric, key), math.nan),
            }
            for (metric, key), value in natural_side.items()
            if metric == "centroid_accuracy" and key != OVERALL and math.isfinite(value)
        ]
        rows += sorted(found, key=lambda row: row["prompts_on_natural"])[:worst]
    return rows


def modality_view(trials: Trials, sets: Sequence[TrialSet]) -> list[Row]:
    """M Table 5: similarity and accuracy within a modality and across the two, as means over the trials of each kind.

    Returns:
        ``kind`` (``prompts with prompts``, ``images with images``, ``images with prompts``), ``trials``,
        ``centroid_accuracy`` and ``average_cosine_similarity``.
    """
    modality = {one.name: one.modality for one in sets}
    kinds: dict[str, list[tuple[str, str]]] = {}
    for reference, query in trials:
        first, second = sorted((modality[reference], modality[query]))
        kinds.setdefault(f"{first}s with {second}s", []).append((reference, query))
    return [
        {
            "kind": kind,
            "trials": len(pairs),
            "centroid_accuracy": _mean([_value(trials, pair) for pair in pairs]),
            "average_cosine_similarity": _mean([_value(trials, pair, "average_cosine_similarity") for pair in pairs]),
        }
        for kind, pairs in sorted(kinds.items())
    ]


def average_view(table: Sequence[Row]) -> Row:
    """The last line of M Table 6: the mean of each accuracy over the trials that have neighbours."""
    whole = [
        row for row in table if all(math.isfinite(value) for name, value in row.items() if name.startswith("knn_"))
    ]
    names = [name for name in (table[0] if table else {}) if name.startswith("knn_") or name.endswith("accuracy")]
    return {name: _mean([row[name] for row in whole]) for name in names} | {"trials": len(whole)}


def _value(trials: Trials, pair: tuple[str, str], metric: str = "centroid_accuracy") -> float:
    return trials.get(pair, {}).get((metric, OVERALL), math.nan)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
