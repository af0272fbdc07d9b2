"""Measurements: which rows are compared, what is NaN and why, and the JSON they become."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from synthgap.core.errors import InputError
from synthgap.core.records import OVERALL, Measurement
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement import measure, measure_attribution, measure_baseline, measure_study, measurements_json
from synthgap.stages.measurement.roles import at_most, both_roles
from synthgap.store.embeddings import EmbeddingSet

from .simulated import World, make_set

SPEC = MeasureSpec(bootstrap=40, extra=())
NAMES = {
    "centroid_accuracy", "knn_accuracy@1", "knn_accuracy@5", "average_cosine_similarity", "nearest_cosine_similarity",
    "centroid_distance",
    "centroid_shift", "linear_separability", "linear_separability_margin", "modality_gap", "frechet_distance",
    "frechet_mean_term", "frechet_covariance_term",
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return World(4, dim=12)


@pytest.fixture(scope="module")
def pair(world: World) -> tuple[EmbeddingSet, EmbeddingSet]:
    return world.images("nat", 30), world.images("syn", 20)


@pytest.fixture(scope="module")
def rows(pair: tuple[EmbeddingSet, EmbeddingSet]) -> list[Measurement]:
    return measure(*pair, SPEC)


def at(rows: list[Measurement], metric: str, key: str = OVERALL, query: str = "syn") -> Measurement:
    (row,) = [row for row in rows if (row.metric, row.class_key, row.query) == (metric, key, query)]
    return row


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_every_metric_has_a_row_overall_and_per_class(rows: list[Measurement]) -> None:
    assert {row.metric for row in rows} == NAMES
    whole_only = {"linear_separability_margin", "modality_gap"}
    for metric in NAMES - whole_only:
        keys = [row.class_key for row in rows if row.metric == metric and row.query == "syn"]
        assert keys == [OVERALL, "c000", "c001", "c002", "c003"]
    for row in rows:
        assert math.isfinite(row.value)
        assert not row.reason
        if row.metric not in whole_only:
            assert row.ci_low <= row.value + 1e-9 and row.value <= row.ci_high + 1e-9


def test_values_are_those_of_the_definitions(rows: list[Measurement], pair: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    natural, synthetic = (unit(images.embeddings.astype(np.float64)) for images in pair)
    centres = {}
    for name, e, images in (("nat", natural, pair[0]), ("syn", synthetic, pair[1])):
        for key in images.classes:
            part = e[[own == key for own in images.class_keys]]
            centres[name, key] = unit(part.sum(axis=0, keepdims=True))[0]
    keys = list(pair[0].classes)
    nearest = [keys[i] for i in (synthetic @ np.stack([centres["nat", key] for key in keys]).T).argmax(axis=1)]
    right = np.mean([own == key for own, key in zip(pair[1].class_keys, nearest, strict=True)])
    assert at(rows, "centroid_accuracy").value == pytest.approx(right)
    assert at(rows, "centroid_accuracy").n == 80
    shifts = [1 - centres["nat", key] @ centres["syn", key] for key in keys]
    assert at(rows, "centroid_shift").value == pytest.approx(np.mean(shifts), abs=1e-6)
    assert at(rows, "centroid_shift", "c002").value == pytest.approx(shifts[2], abs=1e-6)
    own = synthetic[[key == "c001" for key in pair[1].class_keys]]
    spread = np.mean((1 - own @ centres["syn", "c001"]) ** 2)
    assert at(rows, "centroid_distance", "c001").value == pytest.approx(spread, rel=1e-4)
    cosines = [vector @ centres["nat", key] for vector, key in zip(synthetic, pair[1].class_keys, strict=True)]
    assert at(rows, "average_cosine_similarity").value == pytest.approx(np.mean(cosines), abs=1e-6)
    terms = at(rows, "frechet_mean_term").value + at(rows, "frechet_covariance_term").value
    assert at(rows, "frechet_distance").value == pytest.approx(terms)
    assert at(rows, "frechet_mean_term").value == pytest.approx(
        np.sum((natural.mean(axis=0) - synthetic.mean(axis=0)) ** 2), rel=1e-5
    )


def test_the_reference_sets_own_spread_is_a_row_of_itself(rows: list[Measurement]) -> None:
    row = at(rows, "centroid_distance", query="nat")
    assert row.reference == "nat"
    assert row.n == 120


def split_set(images: EmbeddingSet, eval_share: float) -> EmbeddingSet:
    cut = {key: int(count * (1 - eval_share)) for key, count in images.counts().items()}
    train = set(at_most(images, cut, 0).image_keys)
    return replace(images, splits=["train" if key in train else "eval" for key in images.image_keys])


def test_accuracy_uses_train_references_and_eval_queries(pair: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    natural, synthetic = (split_set(images, 0.5) for images in pair)
    spoiled = natural.embeddings.copy()
    spoiled[[split == "eval" for split in natural.splits]] *= -1
    measured = measure(replace(natural, embeddings=spoiled), synthetic, SPEC)
    expected = measure(natural.select("train"), synthetic.select("eval"), SPEC)
    for metric in ("centroid_accuracy", "knn_accuracy@1", "knn_accuracy@5", "average_cosine_similarity"):
        assert at(measured, metric) == at(expected, metric)
        assert at(measured, metric).n == 40
    assert at(measured, "centroid_distance").n == 80


def test_halves_never_share_a_row_and_do_not_depend_on_the_order(pair: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    images = pair[0]
    reference, query = both_roles(images, 0)
    assert set(reference.image_keys).isdisjoint(query.image_keys)
    assert sorted(reference.image_keys + query.image_keys) == sorted(images.image_keys)
    assert reference.counts() == query.counts() == dict.fromkeys(images.classes, 15)
    shuffled = images.subset(np.random.default_rng(0).permutation(len(images)))
    assert set(both_roles(shuffled, 0)[0].image_keys) == set(reference.image_keys)
    assert set(both_roles(images, 1)[0].image_keys) != set(reference.image_keys)


def test_own_splits_go_before_halves(pair: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    images = split_set(pair[0], 0.2)
    reference, query = both_roles(images, 0)
    assert set(reference.splits) == {"train"}
    assert set(query.splits) == {"eval"}
    assert len(query) == 24


def test_a_class_in_one_set_only_has_a_reason(world: World) -> None:
    natural = world.images("nat", 10)
    synthetic = make_set("syn", [world.draw(index, 10) for index in range(3)])
    measured = measure(natural, synthetic, SPEC)
    row = at(measured, "centroid_accuracy", "c003")
    assert math.isnan(row.value)
    assert row.reason == "class only in nat"
    assert row.n == 0
    assert at(measured, "centroid_shift", "c003").reason == "class only in nat"
    assert at(measured, "centroid_accuracy").n == 30
    assert math.isfinite(at(measured, "centroid_distance", "c003", "nat").value)
    turned = measure(synthetic.renamed("a"), natural.renamed("syn"), SPEC)
    assert at(turned, "centroid_accuracy", "c003").reason == "class only in syn"
    assert at(turned, "centroid_accuracy").n == 30


def test_too_few_images_are_nan_with_the_number(world: World) -> None:
    synthetic = make_set("syn", [world.draw(0, 1), world.draw(1, 10)])
    measured = measure(world.images("nat", 10), synthetic, SPEC)
    for metric in ("centroid_accuracy", "centroid_distance", "centroid_shift", "frechet_distance"):
        row = at(measured, metric, "c000")
        assert math.isnan(row.value) and math.isnan(row.ci_low)
        assert row.reason == "class has 1 image in syn, 2 are needed"
        assert row.n == 1


def test_two_images_per_class_are_enough(world: World) -> None:
    measured = measure(world.images("nat", 2), world.images("syn", 2), MeasureSpec(bootstrap=20, extra=()))
    assert all(math.isfinite(row.value) for row in measured if row.class_key == OVERALL)
    assert all(math.isfinite(row.value) for row in measured if row.metric == "centroid_distance")


def test_neighbours_are_undefined_for_single_prompts_and_few_references(world: World) -> None:
    natural, prompts = world.images("nat", 10), world.prompts()
    measured = measure(natural, prompts, SPEC)
    row = at(measured, "knn_accuracy@5", query="prompts")
    assert math.isnan(row.value)
    assert "n/a" in row.reason
    assert math.isfinite(at(measured, "centroid_accuracy", query="prompts").value)
    assert math.isfinite(at(measured, "centroid_accuracy", "c001", query="prompts").value)
    few = measure(prompts, natural, MeasureSpec(bootstrap=0, knn=(1, 5)))
    assert at(few, "knn_accuracy@5", query="nat").reason == "n/a: 5 neighbours of 4 references"
    assert at(few, "knn_accuracy@1", query="nat").value == at(few, "centroid_accuracy", query="nat").value


def test_one_prompt_per_class_against_itself(world: World) -> None:
    """M Table 6 row 35: 100 %, n/a, n/a, 1.0000."""
    prompts = world.prompts()
    assert both_roles(prompts, 0) == (prompts, prompts)
    measured = measure(prompts, prompts, SPEC)
    assert at(measured, "centroid_accuracy", query="prompts").value == 1.0
    assert at(measured, "average_cosine_similarity", query="prompts").value == pytest.approx(1.0)
    reason = at(measured, "centroid_distance", "c000", query="prompts").reason
    assert reason == "class has 1 prompt in prompts, 2 are needed"


def test_no_bootstrap_gives_no_interval(pair: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    measured = measure(*pair, MeasureSpec(bootstrap=0, extra=()))
    assert all(math.isfinite(row.value) and math.isnan(row.ci_low) for row in measured)


def test_the_same_input_gives_the_same_rows(rows: list[Measurement], pair: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    assert measure(*pair, SPEC) == rows
    assert measure(*pair, SPEC.model_copy(update={"seed": 1})) != rows


def test_sets_that_cannot_be_compared(pair: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    natural, synthetic = pair
    with pytest.raises(InputError, match="embeddings of 12 numbers and 'syn' of 5"):
        measure(natural, replace(synthetic, embeddings=synthetic.embeddings[:, :5].copy()), SPEC)
    with pytest.raises(InputError, match="no class in common"):
        others = replace(synthetic, class_keys=["x"] * len(synthetic), classes={"x": "x"})
        measure(natural, others, SPEC)
    marked = [replace(images, encoder=name, encoder_fingerprint=name) for images, name in zip(pair, "ab", strict=True)]
    with pytest.raises(InputError, match="same encoder"):
        measure(*marked, SPEC)


def test_attribution_takes_the_error_apart(world: World) -> None:
    own, query = world.images("syn", 30), world.images("syn", 40)
    prompts = world.prompts(moved={1: world.means[0] - world.means[1]})
    rows = measure_attribution(prompts, own, query, SPEC)
    total, diversity, shift = (at(rows, f"error_{part}") for part in ("total", "diversity", "shift"))
    assert total.value == pytest.approx(diversity.value + shift.value)
    assert total.reference == "prompts"
    assert at(rows, "error_shift", "c001").value > 0.3
    assert total.n == 160
    for part in (total, diversity, shift):
        assert part.ci_low <= part.value <= part.ci_high


def test_the_baseline_has_the_synthetic_sets_size(world: World) -> None:
    natural, synthetic = world.images("nat", 20), world.images("syn", 14)
    rows = measure_baseline(natural, both_roles(natural, 0), synthetic, SPEC)
    assert {row.query for row in rows} == {"nat (held out)"}
    # Accuracy needs images that are no references, of which there are ten; the spread does not.
    assert at(rows, "centroid_accuracy", "c000", "nat (held out)").n == 10
    assert at(rows, "centroid_distance", "c000", "nat (held out)").n == 14
    single = world.images("nat", 1)
    assert measure_baseline(single, both_roles(single, 0), synthetic, SPEC) == []


def test_a_study_measures_every_set_and_the_natural_spread_once(world: World) -> None:
    natural, sets = world.images("nat", 10), [world.images("one", 8), world.images("two", 6)]
    roles = {images.name: both_roles(images, 0) for images in (natural, *sets)}
    prompts = world.prompts()
    rows = measure_study(natural, sets, roles, {"two": (prompts, prompts)}, SPEC)
    assert at(rows, "centroid_distance", query="nat").n == 40
    assert {row.query for row in rows if row.metric == "centroid_shift"} == {"one", "two"}
    assert {row.query for row in rows if row.metric == "error_total"} == {"two"}


def test_json_has_overall_and_classes_by_name(rows: list[Measurement]) -> None:
    names = {f"c{number:03d}": f"class {number}" for number in range(4)}
    found = measurements_json(rows, names, "syn")
    accuracy = found["centroid_accuracy"]
    ends = {"ci_low", "ci_high", "classes_ci_low", "classes_ci_high"}
    assert set(accuracy["overall"]) == {"value", "n"} | ends
    assert set(accuracy["per_class"]["class 1"]) == {"value", "ci_low", "ci_high", "n"}
    assert list(accuracy["per_class"]) == list(names.values())
    assert set(found["knn_accuracy"]) == {"1", "5"}
    assert found["knn_accuracy"]["5"]["overall"]["n"] == 80
    assert found["centroid_distance"]["overall"]["n"] == 80
    assert found["centroid_distance"]["reference"]["overall"]["n"] == 120
    assert found["linear_separability"]["modality_gap"]["overall"]["value"] > 0
    assert found["frechet_distance"]["mean_term"]["per_class"]["class 2"]["value"] > 0


def test_json_has_null_and_the_reason_for_nan() -> None:
    row = Measurement("centroid_accuracy", "a", "b", "c000", float("nan"), n=1, reason="class has 1 image")
    found = measurements_json([row], {"c000": "cat"}, "b")
    cell = {"value": None, "ci_low": None, "ci_high": None, "n": 1, "reason": "class has 1 image"}
    assert found["centroid_accuracy"]["per_class"]["cat"] == cell
    json.dumps(found, allow_nan=False)


def test_classes_of_one_name_go_by_key() -> None:
    rows = [Measurement("centroid_shift", "a", "b", key, 0.5) for key in ("x", "y")]
    assert list(measurements_json(rows, {"x": "crane", "y": "crane"}, "b")["centroid_shift"]["per_class"]) == ["x", "y"]
