"""Judging what was drawn otherwise, on the steering half: class by class, and all of them by a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthgap.core.records import OVERALL, Finding
from synthgap.core.specs import MeasureSpec
from synthgap.pipeline.refine_choice import without_losses
from synthgap.pipeline.refine_sets import mixed
from synthgap.stages.before_after import Difference, Facing
from synthgap.stages.generation import Adjustment
from synthgap.stages.measurement.roles import both_roles
from synthgap.store.embeddings import EmbeddingSet

DECIDING = ("centroid_accuracy", "coverage")
"""A class is worse where the sum of these two fell on the steering half, images that are right and that reach everywhere;
what exceeds natural images counts as much as they have, since images that are all typical are no gain."""
Deciding = Mapping[tuple[str, str], Sequence[float]]
"""Before, after and natural by class and figure."""


@dataclass(frozen=True)
class Tried:
    """One class drawn otherwise, and what became of it."""

    class_key: str
    """The common key."""
    name: str
    round: int
    adjustment: Adjustment
    finding: Finding | None
    kept: bool
    outcome: str
    rows: Mapping[str, Sequence[Difference]]
    """By half."""


def deciding(
    steering: EmbeddingSet, now: EmbeddingSet, after: EmbeddingSet, measure: MeasureSpec, keys: Sequence[str]
) -> Deciding:
    """Before, after and natural by class and deciding figure, on the steering half alone.

    One half of it stands for natural images that the other is held against, and then the other way round.
    """
    measure = measure.model_copy(update={"bootstrap": 0})
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    one, other = both_roles(steering, measure.seed)
    for natural, others in ((one, other), (other, one)):
        for row in Facing(natural, now, after, measure, 1, others).measure(keys):
            if row.metric in DECIDING and row.class_key != OVERALL:
                found.setdefault((row.class_key, row.metric), []).append((row.before, row.after, row.natural))
    return {place: np.mean(values, axis=0).tolist() for place, values in found.items()}


def verdict(key: str, figures: Deciding, *, keep_worse: bool) -> tuple[bool, str]:
    """Whether a changed class is kept, and why in words."""
    own = {metric: figures[key, metric] for metric in DECIDING if (key, metric) in figures}
    gains = [np.fmin(after, natural) - np.fmin(before, natural) for before, after, natural in own.values()]
    told = ", ".join(
        f"{metric.replace('_', ' ')} {before:.2f} to {after:.2f} (natural {natural:.2f})"
        for metric, (before, after, natural) in own.items()
    )
    worse = float(np.nansum(gains)) < 0
    kept = not worse or keep_worse
    words = ("worse" + (", kept as asked" if kept else ", brought back")) if worse else "not worse, kept"
    return kept, f"on the steering half {told}: {words}"


def bring_back(
    judged: Sequence[Tried], steering: EmbeddingSet, now: EmbeddingSet, after: EmbeddingSet, measure: MeasureSpec
) -> list[Tried]:
    """Bring back what costs a classifier trained on the set more than it gives, on the steering half."""
    measure = measure.model_copy(update={"bootstrap": 0})

    def accuracy(changed: Sequence[str]) -> float | None:
        tried = mixed(now, after, set(changed))
        rows = Facing(steering, now, tried, measure, 1).classifier(())
        return rows[0].after if rows else None

    back = without_losses(accuracy, [one.class_key for one in judged if one.kept])
    return [
        replace(
            one,
            kept=False,
            outcome=f"{one.outcome.removesuffix(', kept')}; but {back[one.class_key]}: brought back",
        )
        if one.class_key in back
        else one
        for one in judged
    ]
