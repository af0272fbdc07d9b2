"""The measures: pure functions on tensors, one measure per file, no files, no models, no global randomness.

Embeddings are float tensors (n, d) of any scale whose rows are finite; labels are integers (n,) in [0, num_classes).
A wrong argument is a `ValueError` that names it. A figure that is not defined, such as that of a class without
members, is NaN and never 0. Per-image figures hold NaN for "not scored", and everything that averages them leaves those
out. Every random choice has an explicit seed. Figures are float64 and, on the CPU, the same from run to run; the order
of the rows and the size of the blocks change them by rounding only (1e-12).

Definitions follow arXiv:2311.00056, "Diversity and Diffusion" (M), and arXiv:2212.08420, "Fake it till you make it" (S);
a measure of another source names it. What each is good for: docs/metrics.md.
"""

from synthgap.metrics._resampling import ClassIntervals
from synthgap.metrics.attribution import Attribution, ClassAttribution, attribution, class_attribution
from synthgap.metrics.average_cosine_similarity import average_cosine_similarity, nearest_cosine_similarity
from synthgap.metrics.bootstrap import bootstrap_classes, bootstrap_interval, bootstrap_statistic
from synthgap.metrics.bootstrap_over_classes import bootstrap_over_classes
from synthgap.metrics.centroid_accuracy import centroid_accuracy, nearest_centroid
from synthgap.metrics.centroid_distance import centroid_distance, centroid_distance_bootstrap
from synthgap.metrics.centroid_shift import centroid_shift, centroid_shift_bootstrap
from synthgap.metrics.centroids import centroids
from synthgap.metrics.class_figures import class_figures
from synthgap.metrics.class_means import class_means
from synthgap.metrics.codiff import codiff, uvec
from synthgap.metrics.coding_length import coding_length
from synthgap.metrics.coverage import coverage
from synthgap.metrics.covered_share import covered_share
from synthgap.metrics.density import density
from synthgap.metrics.expected_calibration_error import expected_calibration_error
from synthgap.metrics.frechet_distance import FrechetDistance, frechet_distance, frechet_distance_interval
from synthgap.metrics.frechet_distance_infinite import FrechetLine, frechet_distance_infinite
from synthgap.metrics.gaussian_accuracy import gaussian_accuracy, gaussian_predictions
from synthgap.metrics.holm import holm
from synthgap.metrics.intra_class_distance import intra_class_distance
from synthgap.metrics.jackknife import jackknife_interval
from synthgap.metrics.kernel_density_accuracy import kernel_density_accuracy, kernel_density_predictions
from synthgap.metrics.kernel_distance import kernel_distance, kernel_distance_interval
from synthgap.metrics.knn_accuracy import knn_accuracy, knn_predictions
from synthgap.metrics.linear_probe import linear_probe
from synthgap.metrics.linear_separability import LinearSeparability, linear_separability
from synthgap.metrics.logistic_accuracy import logistic_accuracy
from synthgap.metrics.logistic_regression import LogisticFit, LogisticProblem, logistic_problem
from synthgap.metrics.memorisation import Memorisation, memorisation
from synthgap.metrics.modality_gap import modality_gap
from synthgap.metrics.near_duplicates import NearDuplicates, near_duplicates
from synthgap.metrics.paired_test import paired_test
from synthgap.metrics.permutation_test import PermutationTest, permutation_test
from synthgap.metrics.precision import precision
from synthgap.metrics.query_scores import QueryScores, query_scores
from synthgap.metrics.recall import recall
from synthgap.metrics.redundancy import redundancy
from synthgap.metrics.sparsity import sparsity
from synthgap.metrics.support_overlap import SupportOverlap, support_overlap
from synthgap.metrics.vendi_score import vendi_score

__all__ = [
    "Attribution",
    "ClassAttribution",
    "ClassIntervals",
    "FrechetDistance",
    "FrechetLine",
    "LinearSeparability",
    "LogisticFit",
    "LogisticProblem",
    "Memorisation",
    "NearDuplicates",
    "PermutationTest",
    "QueryScores",
    "SupportOverlap",
    "attribution",
    "average_cosine_similarity",
    "bootstrap_classes",
    "bootstrap_interval",
    "bootstrap_over_classes",
    "bootstrap_statistic",
    "centroid_accuracy",
    "centroid_distance",
    "centroid_distance_bootstrap",
    "centroid_shift",
    "centroid_shift_bootstrap",
    "centroids",
    "class_attribution",
    "class_figures",
    "class_means",
    "codiff",
    "coding_length",
    "coverage",
    "covered_share",
    "density",
    "expected_calibration_error",
    "frechet_distance",
    "frechet_distance_infinite",
    "frechet_distance_interval",
    "gaussian_accuracy",
    "gaussian_predictions",
    "holm",
    "intra_class_distance",
    "jackknife_interval",
    "kernel_density_accuracy",
    "kernel_density_predictions",
    "kernel_distance",
    "kernel_distance_interval",
    "knn_accuracy",
    "knn_predictions",
    "linear_probe",
    "linear_separability",
    "logistic_accuracy",
    "logistic_problem",
    "memorisation",
    "modality_gap",
    "near_duplicates",
    "nearest_centroid",
    "nearest_cosine_similarity",
    "paired_test",
    "permutation_test",
    "precision",
    "query_scores",
    "recall",
    "redundancy",
    "sparsity",
    "support_overlap",
    "uvec",
    "vendi_score",
]
