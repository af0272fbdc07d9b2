"""Diagnosis: a cause per class, with evidence and what to change (design section 6; M section 3).

Every sign is a share of what natural images of the same class have, judged with its interval against other natural
images and against the other classes, so no threshold belongs to an encoder.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from synthgap.core.counting import counted
from synthgap.core.records import Finding
from synthgap.core.specs import MeasureSpec
from synthgap.stages.diagnosis.advice import more_images
from synthgap.stages.diagnosis.case import Case, SweepSet, merged, sample
from synthgap.stages.diagnosis.concept import measure_concept
from synthgap.stages.diagnosis.diversity import measure_diversity, narrowing
from synthgap.stages.diagnosis.language import measure_language
from synthgap.stages.diagnosis.sweep import measure_sweep
from synthgap.stages.diagnosis.verdict import Signs, judge

__all__ = ["Case", "SweepSet", "diagnose"]


def diagnose(case: Case, spec: MeasureSpec) -> list[Finding]:
    """Find what is wrong with each class of a synthetic set: one finding per class, worst first.

    Args:
        case: The sets; classes are matched by key, and one without natural or without synthetic images is left out.
        spec: ``min_per_class``, ``few`` and the seed of ties.

    Returns:
        For every class the gravest cause that is certain and large enough to act on, with its severity in [0, 1], or
        ``sound``. A class of fewer than ``few`` images without a certain fault is ``sound`` with severity NaN, an
        interval up to the loss that is possible, and evidence that says so.
    """
    counts = [Counter(images.class_keys) for images in (case.natural_reference, case.natural_query, case.synthetic)]
    judged, few = [], []
    for key in case.synthetic.classes:
        reference, query, synthetic = (count[key] for count in counts)
        if min(reference, query) >= 1 and min(reference + query, synthetic) >= spec.min_per_class:
            judged.append(key)
        elif reference + query and synthetic:
            few.append(_unjudged(key, synthetic, reference + query))
    return (_diagnose(case, judged, spec) if judged else []) + few


def _diagnose(case: Case, order: list[str], spec: MeasureSpec) -> list[Finding]:
    reference, query, synthetic = (
        sample(images, order) for images in (case.natural_reference, case.natural_query, case.synthetic)
    )
    natural = merged(reference, query)
    diversity = measure_diversity(reference, query, natural, synthetic)
    concept = measure_concept(reference, query, synthetic, narrowing(diversity.ratio), diversity.single, seed=spec.seed)
    prompts = sample(case.prompts, order) if case.prompts is not None else None
    language = None
    if prompts is not None and (prompts.counts > 0).sum() >= 2:
        language = measure_language(prompts, natural, synthetic, concept.baseline, spec.seed)
    sweep = measure_sweep(case.sweep, order, reference, query, synthetic, seed=spec.seed)
    signs = Signs(case, order, reference, query, natural, synthetic, diversity, concept, language, sweep, spec.few)
    found = [judge(signs, index) for index in range(len(order))]
    return sorted(found, key=lambda one: -one.severity if np.isfinite(one.severity) else 1.0)


def _unjudged(key: str, synthetic: int, natural: int) -> Finding:
    evidence = f"Not judged: {synthetic} synthetic and {counted(natural, 'natural image')} are too few to tell."
    return Finding(key, "sound", float("nan"), False, more_images().text, evidence, 0.0, 1.0)
