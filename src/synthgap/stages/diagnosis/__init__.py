"""Diagnosis: a cause per class, with evidence and what to change (design section 6; M section 3).

Every sign is a share of what natural images of the same class have, judged with its interval against other natural
images and against the other classes, so no threshold belongs to an encoder.
"""

from __future__ import annotations

import numpy as np

from synthgap.core.records import Finding
from synthgap.core.specs import MeasureSpec
from synthgap.stages.diagnosis.case import Case, SweepSet, merged, sample
from synthgap.stages.diagnosis.concept import measure_concept
from synthgap.stages.diagnosis.diversity import measure_diversity
from synthgap.stages.diagnosis.language import measure_language
from synthgap.stages.diagnosis.sweep import measure_sweep
from synthgap.stages.diagnosis.verdict import Signs, judge

__all__ = ["Case", "SweepSet", "diagnose"]


def diagnose(case: Case, spec: MeasureSpec) -> list[Finding]:
    """Find what is wrong with each class of a synthetic set: one finding per class, worst first.

    Args:
        case: The sets; classes are matched by key. Classes that are not in all three image sets are left out.
        spec: ``min_per_class`` and the seed of ties.

    Returns:
        For every class the gravest cause that is certain and large enough to act on, with its severity in [0, 1], or
        ``sound``. A class with too few images is ``sound`` with severity NaN and evidence that says so: no fault was
        seen, and none could be.
    """
    order = _common(case)
    reference, query, synthetic = (
        sample(images, order) for images in (case.natural_reference, case.natural_query, case.synthetic)
    )
    natural = merged(reference, query)
    judged = (synthetic.counts >= spec.min_per_class) & (natural.counts >= spec.min_per_class)
    if not judged.all():
        few = [
            _unjudged(case, order, int(index), natural.counts, synthetic.counts) for index in np.flatnonzero(~judged)
        ]
        enough = frozenset(order[index] for index in np.flatnonzero(judged))
        return (_diagnose(case, [key for key in order if key in enough], spec) if enough else []) + few
    return _diagnose(case, order, spec)


def _diagnose(case: Case, order: list[str], spec: MeasureSpec) -> list[Finding]:
    reference, query, synthetic = (
        sample(images, order) for images in (case.natural_reference, case.natural_query, case.synthetic)
    )
    natural = merged(reference, query)
    diversity = measure_diversity(reference, query, natural, synthetic)
    narrowing = np.clip(1 - np.sqrt(np.nan_to_num(diversity.ratio.value, nan=1.0)), 0.0, 1.0)
    concept = measure_concept(reference, query, synthetic, narrowing, diversity.distinct, seed=spec.seed)
    prompts = sample(case.prompts, order) if case.prompts is not None else None
    language = None
    if prompts is not None and (prompts.counts > 0).sum() >= 2:
        language = measure_language(prompts, natural, synthetic, concept.baseline, spec.seed)
    sweep = measure_sweep(case.sweep, order, reference, query, natural, seed=spec.seed)
    signs = Signs(case, order, reference, query, natural, synthetic, diversity, concept, language, sweep)
    found = [judge(signs, index) for index in range(len(order))]
    return sorted(found, key=lambda one: -one.severity if np.isfinite(one.severity) else 1.0)


def _common(case: Case) -> list[str]:
    """Classes with at least one image in each of the three sets, in the order of the natural set."""
    sets = (case.natural_reference, case.natural_query, case.synthetic)
    everywhere = set.intersection(*(set(images.class_keys) for images in sets))
    return [key for key in case.natural_query.classes if key in everywhere]


def _unjudged(case: Case, order: list[str], index: int, natural: np.ndarray, synthetic: np.ndarray) -> Finding:
    key = order[index]
    evidence = f"Not judged: {synthetic[index]:.0f} synthetic and {natural[index]:.0f} natural images are too few."
    return Finding(key, "sound", float("nan"), False, "Add images to both sets.", evidence)
