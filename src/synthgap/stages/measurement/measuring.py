"""All measures of one set of embeddings against another."""

from __future__ import annotations

from synthgap.core.records import Measurement
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement.clouds import measure_clouds, measure_spread
from synthgap.stages.measurement.extras import measure_alone, measure_both
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.scores import measure_scores
from synthgap.store.embeddings import EmbeddingSet


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
        ``frechet_mean_term`` and ``frechet_covariance_term``; and those of the groups of ``spec.extra``. NaN with a reason
        where a figure is not defined, such as for a class of fewer than ``spec.min_per_class`` images, or one that only
        one set has; a figure of fewer than ``spec.few`` images comes with a reason for doubt.

    Raises:
        InputError: The sets have embeddings of different lengths or encoders, or no class in common.
    """
    pair = Pair(reference, query, spec)
    own = measure_own(reference, reference, spec) if reference.name != query.name else []
    return [*measure_of_m(pair), *measure_both(pair), *measure_alone(pair), *own]


def measure_of_m(pair: Pair) -> list[Measurement]:
    """The measures of M: accuracies and cosines, centroid distance and shift, separability, Fréchet."""
    return [*measure_scores(pair.reference, pair.query, pair.spec), *measure_clouds(pair)]


def measure_own(reference: EmbeddingSet, query: EmbeddingSet, spec: MeasureSpec) -> list[Measurement]:
    """Figures of the query set alone; the reference names the rows and gives the order of the classes."""
    pair = Pair(reference, query, spec)
    return [*measure_spread(pair), *measure_alone(pair)]
