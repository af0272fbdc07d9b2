"""Measurement: every measure of one set of embeddings against another, with n, interval and reason (design section 5)."""

from __future__ import annotations

from synthgap.core.records import Measurement
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement.as_json import figure_json, measurements_json
from synthgap.stages.measurement.clouds import measure_clouds
from synthgap.stages.measurement.pair import check_comparable
from synthgap.stages.measurement.scores import measure_attribution, measure_scores
from synthgap.stages.measurement.study import measure_baseline, measure_study
from synthgap.stages.measurement.trials import TrialSet, run_trials
from synthgap.store.embeddings import EmbeddingSet

__all__ = [
    "TrialSet",
    "check_comparable",
    "figure_json",
    "measure",
    "measure_attribution",
    "measure_baseline",
    "measure_clouds",
    "measure_scores",
    "measure_study",
    "measurements_json",
    "run_trials",
]


def measure(reference: EmbeddingSet, query: EmbeddingSet, spec: MeasureSpec) -> list[Measurement]:
    """Measure a query set against a reference set, overall and per class.

    Accuracies and cosines take references from the reference set's train split and queries from the query set's eval
    split where a set has both, else all its rows; what compares two clouds (centroid distance and shift, separability,
    Fréchet) takes all rows. Classes are matched by key.

    Args:
        reference: Embeddings of images or prompts.
        query: Embeddings by the same encoder. A set against itself is its own neighbour: give two splits of it.
        spec: Neighbours, resamples, least images per class, seed.

    Returns:
        Rows named ``centroid_accuracy``, ``knn_accuracy@k``, ``average_cosine_similarity``, ``centroid_distance`` (of the
        query set; and of the reference set, as query of itself), ``centroid_shift``, ``linear_separability`` with
        ``linear_separability_margin`` and ``modality_gap``, and ``frechet_distance`` of unit vectors with
        ``frechet_mean_term`` and ``frechet_covariance_term``. NaN with a reason where a figure is not defined, such as
        for a class of fewer than ``spec.min_per_class`` images, or one that only one set has.

    Raises:
        InputError: The sets have embeddings of different lengths or encoders, or no class in common.
    """
    return [*measure_scores(reference, query, spec), *measure_clouds(reference, query, spec)]
