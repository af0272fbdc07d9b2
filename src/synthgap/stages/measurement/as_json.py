"""Measurements as JSON: ``{metric: {"overall": {...}, "per_class": {name: {...}}}}``; NaN is null with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from synthgap.core.records import OVERALL, Measurement


def measurements_json(measurements: Iterable[Measurement], names: Mapping[str, str], query: str) -> dict[str, Any]:
    """The figures of one query set, by metric.

    ``knn_accuracy`` holds a block per k; a figure of one set alone, such as ``centroid_distance``, has the reference
    set's own under ``reference``; margin and modality gap stand in ``linear_separability``, the two terms in ``frechet_distance``. Classes go by name,
    or by key where two have one name.
    """
    times = Counter(names.values())
    shown = {key: name if times[name] == 1 else key for key, name in names.items()}
    found: dict[str, Any] = {}
    inner = {
        "linear_separability_margin": ("linear_separability", "margin"),
        "modality_gap": ("linear_separability", "modality_gap"),
        "frechet_mean_term": ("frechet_distance", "mean_term"),
        "frechet_covariance_term": ("frechet_distance", "covariance_term"),
    }
    for row in measurements:
        metric, _, k = row.metric.partition("@")
        outer, part = inner.get(metric, (metric, k))
        block = found.setdefault(outer, {})
        block = block.setdefault(part, {}) if part else block
        if row.query != query:
            block = block.setdefault("reference", {})
        by_class = block.setdefault("per_class", {})
        if row.class_key == OVERALL:
            block["overall"] = figure_json(row)
        else:
            by_class[shown.get(row.class_key, row.class_key)] = figure_json(row)
    return found


def figure_json(row: Measurement) -> dict[str, Any]:
    """One figure: ``{"value", "ci_low", "ci_high", "n"}``, a ``reason`` where there is one, the classes' interval likewise."""
    numbers = {"value": row.value, "ci_low": row.ci_low, "ci_high": row.ci_high}
    plain: dict[str, Any] = {name: number if np.isfinite(number) else None for name, number in numbers.items()}
    if np.isfinite(row.classes_ci_low):
        plain |= {"classes_ci_low": row.classes_ci_low, "classes_ci_high": row.classes_ci_high}
    return plain | {"n": row.n} | ({"reason": row.reason} if row.reason else {})
