"""The measures: pure functions on tensors, one measure per file, no files, no models, no global randomness.

Embeddings are float tensors (n, d) of any scale whose rows are finite; labels are integers (n,) in [0, num_classes).
A wrong argument is a `ValueError` that names it. A figure that is not defined, such as that of a class without
members, is NaN and never 0. Per-image figures hold NaN for "not scored", and everything that averages them leaves those
out. Every random choice has an explicit seed. Figures are float64 and, on the CPU, the same from run to run; the order
of the rows and the size of the blocks change them by rounding only (1e-12).

Definitions follow arXiv:2311.00056, "Diversity and Diffusion" (M).
"""

from synthgap.metrics._resampling import ClassIntervals
from synthgap.metrics.attribution import Attribution, ClassAttribution, attribution, class_attribution
from synthgap.metrics.average_cosine_similarity import average_cosine_similarity, nearest_cosine_similarity
from synthgap.metrics.bootstrap import bootstrap_classes, bootstrap_interval, bootstrap_statistic
from synthgap.metrics.centroid_accuracy import centroid_accuracy, nearest_centroid
from synthgap.metrics.centroid_distance import centroid_distance, centroid_distance_bootstrap
from synthgap.metrics.centroid_shift import centroid_shift, centroid_shift_bootstrap
from synthgap.metrics.centroids import centroids
from synthgap.metrics.class_means import class_means
from synthgap.metrics.codiff import codiff, uvec
from synthgap.metrics.frechet_distance import FrechetDistance, frechet_distance
from synthgap.metrics.knn_accuracy import knn_accuracy, knn_predictions
from synthgap.metrics.linear_probe import linear_probe
from synthgap.metrics.linear_separability import LinearSeparability, linear_separability

__all__ = [
    "Attribution",
    "ClassAttribution",
    "ClassIntervals",
    "FrechetDistance",
    "LinearSeparability",
    "attribution",
    "average_cosine_similarity",
    "bootstrap_classes",
    "bootstrap_interval",
    "bootstrap_statistic",
    "centroid_accuracy",
    "centroid_distance",
    "centroid_distance_bootstrap",
    "centroid_shift",
    "centroid_shift_bootstrap",
    "centroids",
    "class_attribution",
    "class_means",
    "codiff",
    "frechet_distance",
    "knn_accuracy",
    "knn_predictions",
    "linear_probe",
    "linear_separability",
    "nearest_centroid",
    "nearest_cosine_similarity",
    "uvec",
]
