"""Figures of single queries: centroid accuracy, k-NN accuracy, cosine, and the attribution of the error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.core.specs import Classifier, MeasureSpec
from synthgap.stages.measurement.pair import Pair, check_comparable
from synthgap.stages.measurement.roles import one_per_class, query_rows, reference_rows
from synthgap.store.embeddings import EmbeddingSet


def measure_scores(reference: EmbeddingSet, query: EmbeddingSet, spec: MeasureSpec) -> list[Measurement]:
    """Centroid accuracy, k-NN accuracies and average cosine similarity of a query set, overall and per class.

    References come from the reference set's train split and queries from the query set's eval split, where a set has
    both, else from all its rows. Classes are matched by key.

    Raises:
        InputError: The sets have embeddings of different lengths or encoders, or no class in common.
    """
    check_comparable(reference, query)
    pair = Pair(reference_rows(reference), query_rows(query), spec)
    check_comparable(pair.reference, pair.query)
    why = _without_neighbours(pair)
    sides = (pair.a, pair.reference_labels, pair.b, pair.query_labels, len(pair.order))
    found = metrics.query_scores(*sides, pair.seed("ties"), ks=[k for k in spec.knn if k not in why])
    matched = found.nearest_cosine.masked_fill(found.own_cosine.isnan(), torch.nan)
    rows = _averaged(pair, "centroid_accuracy", found.correct)
    for k in spec.knn:
        name = f"knn_accuracy@{k}"
        rows += pair.undefined(name, why[k]) if k in why else _averaged(pair, name, found.knn_correct[k])
    rows += _averaged(pair, "average_cosine_similarity", found.own_cosine)
    return rows + _averaged(pair, "nearest_cosine_similarity", matched)


def _averaged(pair: Pair, metric: str, values: Tensor) -> list[Measurement]:
    """Rows of a figure that is a mean over queries; a query that is not scored (NaN) is left out."""
    by_class = metrics.class_means(values, pair.query_labels, len(pair.order))
    sizes = torch.bincount(pair.query_labels[values.isfinite()], minlength=len(pair.order))
    ends = pair.intervals(values, pair.query_labels)
    return pair.table(metric, float(values.nanmean()), by_class, ends, sizes=sizes)


def _without_neighbours(pair: Pair) -> dict[int, str]:
    """Why there is no k-NN accuracy, for each k of the spec of which there is none."""
    single = pair.query.modality == "prompt" and one_per_class(pair.query)
    return {
        k: "n/a: one prompt per class is too few queries (M Table 6)"
        if single
        else f"n/a: {k} neighbours of {len(pair.reference)} references"
        for k in pair.spec.knn
        if single or k > len(pair.reference)
    }


def measure_classifiers(
    reference: EmbeddingSet, query: EmbeddingSet, names: Sequence[Classifier], spec: MeasureSpec
) -> list[Measurement]:
    """Accuracy of classifiers made of the reference rows on the query rows, overall and per class, by their names.

    Raises:
        InputError: As in `measure_scores`.
    """
    check_comparable(reference, query)
    pair = Pair(reference_rows(reference), query_rows(query), spec)
    check_comparable(pair.reference, pair.query)
    sides = (pair.a, pair.reference_labels, pair.b, pair.query_labels, len(pair.order))
    correct: dict[Classifier, Callable[[], Tensor]] = {
        "gaussian-shared": lambda: metrics.gaussian_accuracy(*sides, covariance="shared", shrinkage=None),
        "gaussian-own": lambda: metrics.gaussian_accuracy(*sides, covariance="own", shrinkage=None),
        "kernel-density": lambda: metrics.kernel_density_accuracy(*sides, concentration=None),
        "logistic": lambda: metrics.logistic_accuracy(*sides, seed=pair.seed("logistic")),
    }
    return [row for name in names for row in _averaged(pair, f"{name.replace('-', '_')}_accuracy", correct[name]())]


def measure_attribution(
    prompts: EmbeddingSet, own: EmbeddingSet, query: EmbeddingSet, spec: MeasureSpec
) -> list[Measurement]:
    """Attribute the error of a set to its diversity and to a shift of its centroids (M 3, reason 3).

    Args:
        prompts: References: the prompts that the set was drawn from.
        own: References: images of the set itself.
        query: Other images of the set.
        spec: Resamples, least images per class, seed.

    Returns:
        Rows ``error_total``, ``error_diversity`` and ``error_shift`` (their difference), overall and per class, with
        the prompts' name as reference and the set's as query. Classes without a prompt or an own reference are left
        out.
    """
    check_comparable(prompts, query)
    common = [key for key in query.classes if key in set(prompts.class_keys) & set(own.class_keys)]
    own, query, prompts = (images.select(class_keys=common) for images in (own, query, prompts))
    by_prompts, by_own = (Pair(side, query, spec) for side in (prompts, own))
    correct = (by_prompts.correct, by_own.correct)
    labels = by_prompts.query_labels
    found = metrics.attribution(*correct)
    by_class = metrics.class_attribution(*correct, labels, len(by_prompts.order))
    images = {"total": 1 - correct[0], "diversity": 1 - correct[1], "shift": correct[1] - correct[0]}
    rows: list[Measurement] = []
    for name, values in images.items():
        ends = by_prompts.intervals(values, labels)
        rows += by_prompts.table(f"error_{name}", getattr(found, name), getattr(by_class, name), ends)
    return rows
