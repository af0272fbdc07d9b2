"""A wrong argument is a ValueError that names it, the value found and what is allowed; in every measure."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from synthgap import metrics

E = torch.tensor([[1.0, 0.0], [0.5, 1.0], [0.2, 3.0], [1.0, 1.0]])
LABELS = torch.tensor([0, 1, 1, 0])
VALUES = torch.tensor([1.0, 0.0, 1.0, 1.0])
PAIR = {"reference": E, "reference_labels": LABELS, "query": E, "num_classes": 2}
MATCHED = {**PAIR, "query_labels": LABELS}
SHIFT = {"a": E, "a_labels": LABELS, "b": E, "b_labels": LABELS, "num_classes": 2}
DRAWS = {"resamples": 5, "seed": 0}
SET = {"e": E, "labels": LABELS, "num_classes": 2}
ROLES = {"natural": E, "synthetic": E}

GOOD: dict[str, dict[str, Any]] = {
    "uvec": {"e": E},
    "codiff": {"x": E, "y": E},
    "centroids": SET,
    "centroid_distance": SET,
    "centroid_distance_bootstrap": {**SET, **DRAWS},
    "centroid_shift": SHIFT,
    "centroid_shift_bootstrap": {**SHIFT, **DRAWS},
    "nearest_centroid": {**PAIR, "seed": 0},
    "centroid_accuracy": {**MATCHED, "seed": 0},
    "query_scores": {**MATCHED, "seed": 0, "ks": (1,)},
    "knn_predictions": {**PAIR, "ks": (1,)},
    "knn_accuracy": {**MATCHED, "ks": (1,)},
    "average_cosine_similarity": MATCHED,
    "nearest_cosine_similarity": PAIR,
    "gaussian_predictions": {**PAIR, "covariance": "own", "shrinkage": 0.5},
    "gaussian_accuracy": {**MATCHED, "covariance": "shared", "shrinkage": None},
    "kernel_density_predictions": {**PAIR, "concentration": 1.0},
    "kernel_density_accuracy": {**MATCHED, "concentration": None},
    "logistic_accuracy": {**MATCHED, "seed": 0},
    "logistic_problem": {"features": E, "labels": LABELS, "classes": 2},
    "linear_separability": {"a": E, "b": E, "seed": 0},
    "linear_probe": {"train": E, "train_labels": LABELS, "test": E, "num_classes": 2, "seed": 0},
    "frechet_distance": {"a": E, "b": E},
    "frechet_distance_interval": {"a": E, "b": E, "seed": 0},
    "frechet_distance_infinite": {"a": E, "b": E, "seed": 0},
    "kernel_distance": {"a": E, "b": E, "sigma": 1.0, "unbiased": True, "times_1000": False},
    "kernel_distance_interval": {"a": E, "b": E, "sigma": 1.0, "unbiased": True, "times_1000": False, "seed": 0},
    "modality_gap": {"a": E, "b": E},
    "support_overlap": {**ROLES, "k": 1},
    "precision": {**ROLES, "k": 1},
    "recall": {**ROLES, "k": 1},
    "density": {**ROLES, "k": 1},
    "coverage": {**ROLES, "k": 1},
    "covered_share": ROLES,
    "memorisation": {**ROLES, "level": 0.9},
    "near_duplicates": {"e": E, "threshold": 0.9, "most_pairs": 3},
    "vendi_score": {"e": E, "q": 2.0},
    "sparsity": {"e": E},
    "intra_class_distance": SET,
    "redundancy": {"e": E},
    "coding_length": {"e": E, "epsilon_squared": 0.5},
    "class_means": {"values": VALUES, "labels": LABELS, "num_classes": 2},
    "bootstrap_interval": {"values": VALUES, "labels": LABELS, **DRAWS},
    "bootstrap_classes": {"values": VALUES, "labels": LABELS, "num_classes": 2, **DRAWS},
    "bootstrap_over_classes": {"by_class": VALUES, **DRAWS},
    "permutation_test": {"a": E, "b": E, "permutations": 5, "seed": 0},
    "paired_test": {"values_a": VALUES, "values_b": VALUES, "permutations": 5, "seed": 0},
    "holm": {"p_values": VALUES},
    "expected_calibration_error": {"confidence": VALUES, "correct": VALUES, "bins": 5},
    "attribution": {"correct_prompts": VALUES, "correct_own": VALUES},
    "class_attribution": {"correct_prompts": VALUES, "correct_own": VALUES, "labels": LABELS, "num_classes": 2},
}
VECTORS = {"e", "features", "x", "y", "a", "b", "reference", "query", "train", "test", "natural", "synthetic"}
ANY_NDIM = {"uvec", "codiff"}
AS_GIVEN = {"support_overlap", "precision", "recall", "density", "coverage", "covered_share", "kernel_distance"}
AS_GIVEN |= {"kernel_distance_interval", "frechet_distance_interval"}
ZERO_ALLOWED = {"linear_probe", "logistic_problem", "frechet_distance", "frechet_distance_infinite"} | AS_GIVEN
PER_IMAGE = {"values", "correct_prompts", "correct_own", "by_class", "values_a", "values_b", "p_values"}
BROKEN = torch.tensor([[1.0, 0.0], [torch.nan, 1.0], [torch.inf, 3.0], [1.0, 1.0]])


def arguments(wanted: set[str]) -> list[tuple[str, str]]:
    return [(function, name) for function, kwargs in GOOD.items() for name in kwargs if name in wanted]


def assert_refused(function: str, name: str, value: object, *words: str) -> None:
    with pytest.raises(ValueError) as caught:
        getattr(metrics, function)(**{**GOOD[function], name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("function", GOOD)
def test_the_good_call_is_good(function: str) -> None:
    assert getattr(metrics, function)(**GOOD[function]) is not None


def test_every_public_function_is_covered() -> None:
    functions = {name for name in metrics.__all__ if not name[0].isupper()}
    assert functions - {"bootstrap_statistic", "class_figures", "jackknife_interval"} == set(GOOD)


@pytest.mark.parametrize(("function", "name"), arguments(VECTORS))
def test_rows_that_are_not_finite(function: str, name: str) -> None:
    assert_refused(function, name, BROKEN, "2 of 4 rows are not finite")


@pytest.mark.parametrize(("function", "name"), arguments(VECTORS))
def test_zero_vectors(function: str, name: str) -> None:
    with_zero = torch.cat([E[:3], torch.zeros(1, 2)])
    if function in ZERO_ALLOWED:
        getattr(metrics, function)(**{**GOOD[function], name: with_zero})
    else:
        assert_refused(function, name, with_zero, "1 of 4 rows are zero vectors")


@pytest.mark.parametrize(("function", "name"), arguments(VECTORS))
def test_vectors_of_a_wrong_kind(function: str, name: str) -> None:
    assert_refused(function, name, E.long(), "torch.int64", "floating")
    assert_refused(function, name, E.numpy(), "ndarray", "torch.Tensor")
    assert_refused(function, name, torch.empty(4, 0), "(4, 0)")
    if function not in ANY_NDIM:
        assert_refused(function, name, E[0], "shape (2,)", "2 dimension")


@pytest.mark.parametrize(("function", "name"), arguments({"b", "y", "query", "test", "synthetic"}))
def test_vectors_of_another_width(function: str, name: str) -> None:
    assert_refused(function, name, torch.ones(4, 3), "3 dimensions", "expected 2")


@pytest.mark.parametrize(
    ("function", "name"), arguments({"labels", "reference_labels", "query_labels", "train_labels", "a_labels"})
)
def test_labels(function: str, name: str) -> None:
    assert_refused(function, name, LABELS[:3], "3 labels for 4 rows")
    assert_refused(function, name, LABELS.float(), "torch.float32", "integers")
    assert_refused(function, name, LABELS == 0, "torch.bool", "integers")
    assert_refused(function, name, LABELS.unsqueeze(0), "shape (1, 4)")
    assert_refused(function, name, LABELS - 1, "-1 to 0")
    if "num_classes" in GOOD[function]:
        assert_refused(function, name, LABELS + 1, "1 to 2", "[0, 2)")


@pytest.mark.parametrize(
    ("function", "name"), arguments({"num_classes", "resamples", "seed", "k", "most_pairs", "permutations"})
)
@pytest.mark.parametrize("value", [-1, 1.0, True, None])
def test_whole_numbers(function: str, name: str, value: object) -> None:
    assert_refused(function, name, value, repr(value), "integer")


@pytest.mark.parametrize(("function", "name"), arguments(PER_IMAGE))
def test_values_per_image(function: str, name: str) -> None:
    assert_refused(function, name, torch.tensor([1.0, torch.inf, 0.0, 1.0]), "1 of 4 values are infinite")
    assert_refused(function, name, LABELS, "torch.int64", "floating")
    assert_refused(function, name, E, "shape (4, 2)")


@pytest.mark.parametrize("function", ["knn_predictions", "knn_accuracy"])
@pytest.mark.parametrize("ks", [(1, 5), (0,), (), (1.0,), (True,)])
def test_neighbours(function: str, ks: tuple[object, ...]) -> None:
    assert_refused(function, "ks", ks, repr(ks), "[1, 4]")


@pytest.mark.parametrize("function", ["gaussian_predictions", "gaussian_accuracy"])
def test_covariances_and_shrinkage(function: str) -> None:
    assert_refused(function, "covariance", "full", "'full'", "'shared' or 'own'")
    for value in (0.0, 1.1, -1.0, torch.nan, True, "1"):
        assert_refused(function, "shrinkage", value, repr(value), "at most 1, or None")


@pytest.mark.parametrize("function", ["kernel_density_predictions", "kernel_density_accuracy"])
@pytest.mark.parametrize("value", [0.0, -1.0, torch.nan, torch.inf, True, "1"])
def test_concentrations(function: str, value: object) -> None:
    assert_refused(function, "concentration", value, repr(value), "finite number above 0, or None")


def test_blocks_penalties_and_lengths() -> None:
    assert_refused("knn_predictions", "block", (0, 4), "0")
    assert_refused("linear_probe", "l2_grid", (1.0, 0.0), "(1.0, 0.0)")
    assert_refused("linear_probe", "l2_grid", ())
    assert_refused("attribution", "correct_own", VALUES[:3], "3 values", "expected 4")
    assert_refused("paired_test", "values_b", VALUES[:3], "3 values", "expected 4")
    assert_refused("codiff", "y", torch.ones(3, 2), "(3, 2)", "(4, 2)")


@pytest.mark.parametrize(
    ("function", "name", "most"),
    [
        ("kernel_distance", "sigma", None),
        ("coding_length", "epsilon_squared", None),
        ("vendi_score", "q", None),
        ("memorisation", "level", 1.0),
        ("near_duplicates", "threshold", 1.0),
    ],
)
def test_numbers_with_a_range(function: str, name: str, most: float | None) -> None:
    for value in (-1.0, torch.nan, True, None, "1", *([] if most is None else [most + 0.1])):
        assert_refused(function, name, value, repr(value), "above")
    if name in ("sigma", "epsilon_squared"):
        assert_refused(function, name, torch.inf, "finite")


def test_kernels_flags_and_points() -> None:
    assert_refused("kernel_distance", "kernel", "linear", "'linear'", "'gaussian'")
    assert_refused("kernel_distance", "unbiased", 1, "True or False")
    assert_refused("kernel_distance", "times_1000", "no", "True or False")
    assert_refused("frechet_distance_infinite", "points", 2, "at least 3")


def test_no_reference_at_all() -> None:
    nothing = {"reference": torch.empty(0, 2), "reference_labels": torch.empty(0, dtype=torch.long)}
    gaussian, density = (
        ("gaussian_predictions", "gaussian_accuracy"),
        ("kernel_density_predictions", "kernel_density_accuracy"),
    )
    for function in ("nearest_centroid", "centroid_accuracy", "logistic_accuracy", *gaussian, *density):
        with pytest.raises(ValueError, match="reference: found 0 rows"):
            getattr(metrics, function)(**{**GOOD[function], **nothing})
    with pytest.raises(ValueError, match="train: found 0 rows"):
        metrics.linear_probe(nothing["reference"], nothing["reference_labels"], E, 2, seed=0)


@pytest.mark.parametrize("function", GOOD)
def test_arguments_stay_as_they_are(function: str) -> None:
    before = {name: value.clone() for name, value in GOOD[function].items() if isinstance(value, torch.Tensor)}
    assert getattr(metrics, function)(**GOOD[function]) is not None
    assert all(torch.equal(GOOD[function][name], value) for name, value in before.items())


@pytest.mark.parametrize("function", GOOD)
def test_global_randomness_is_left_alone(function: str) -> None:
    state = torch.random.get_rng_state()
    assert getattr(metrics, function)(**GOOD[function]) is not None
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("function", GOOD)
def test_works_in_inference_mode_as_outside_it(function: str) -> None:
    outside = getattr(metrics, function)(**GOOD[function])
    with torch.inference_mode():
        inside = getattr(metrics, function)(**GOOD[function])
    assert repr(inside) == repr(outside)
