"""The measures beyond those of M: which images they compare, what they say of planted faults, why they are undefined."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthgap import metrics
from synthgap.core.records import OVERALL, Measurement
from synthgap.core.specs import Extra, MeasureSpec
from synthgap.stages.measurement import measure, measure_baseline, measure_study, measurements_json
from synthgap.stages.measurement.roles import at_most, both_roles
from synthgap.store.embeddings import EmbeddingSet

from .simulated import World

OF_BOTH = {
    "precision", "recall", "density", "coverage", "covered_share", "memorised_share", "near_duplicate_share",
    "kernel_distance", "frechet_distance_infinite", "permutation_p_value",
}  # fmt: skip
WITHOUT_INTERVAL = {"frechet_distance_infinite", "permutation_p_value"}


def spec(*extra: Extra) -> MeasureSpec:
    return MeasureSpec(bootstrap=30, permutations=50, extra=extra)


ALL = spec("overlap", "variety", "copies", "difference")


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, dim=10)


@pytest.fixture(scope="module")
def pair(world: World) -> tuple[EmbeddingSet, EmbeddingSet]:
    return world.images("nat", 60), world.images("syn", 40)


@pytest.fixture(scope="module")
def rows(pair: tuple[EmbeddingSet, EmbeddingSet]) -> list[Measurement]:
    return measure(*pair, ALL)


def at(rows: list[Measurement], metric: str, key: str = OVERALL, query: str = "syn") -> Measurement:
    (row,) = [row for row in rows if (row.metric, row.class_key, row.query) == (metric, key, query)]
    return row


def test_each_has_a_value_an_interval_around_it_and_a_row_per_class(rows: list[Measurement]) -> None:
    for metric in OF_BOTH | {"vendi_score"}:
        found = [row for row in rows if row.metric == metric and row.query == "syn"]
        keys = [row.class_key for row in found]
        assert keys == ([OVERALL] if metric == "frechet_distance_infinite" else [OVERALL, "c000", "c001", "c002"])
        for row in found:
            assert math.isfinite(row.value) and not row.reason
            if metric not in WITHOUT_INTERVAL:
                assert row.ci_low <= row.value <= row.ci_high


def test_set_figures_have_an_interval_over_classes_and_those_of_classes_have_none(rows: list[Measurement]) -> None:
    pooled = {"frechet_distance", "frechet_mean_term", "frechet_covariance_term", "linear_separability"}
    pooled |= {"linear_separability_margin", "modality_gap", "kernel_distance", "permutation_p_value"}
    for row in rows:
        of_classes = row.class_key == OVERALL and row.metric not in pooled | {"frechet_distance_infinite"}
        assert math.isfinite(row.classes_ci_low) == of_classes, row
    whole = at(rows, "centroid_accuracy")
    classes = [at(rows, "centroid_accuracy", key).value for key in ("c000", "c001", "c002")]
    assert min(classes) <= whole.classes_ci_low <= whole.value <= whole.classes_ci_high <= max(classes)


def test_natural_against_natural_looks_natural(rows: list[Measurement]) -> None:
    assert at(rows, "coverage").value > 0.85
    assert at(rows, "density").value == pytest.approx(1, abs=0.25)
    assert at(rows, "memorised_share").value < 0.15
    assert at(rows, "permutation_p_value").value > 0.05
    assert all(at(rows, "permutation_p_value", key).value > 0.05 for key in ("c000", "c001", "c002"))
    assert at(rows, "kernel_distance").ci_low < 0 < at(rows, "kernel_distance").ci_high
    assert at(rows, "covered_share").value > 0.7


def test_classes_are_compared_with_their_own_natural_images_only(
    pair: tuple[EmbeddingSet, EmbeddingSet], rows: list[Measurement]
) -> None:
    """The images of two classes exchanged: every one still lies where natural images lie, but of another class."""
    natural, synthetic = pair
    other = {"c000": "c001", "c001": "c000", "c002": "c002"}
    swapped = replace(synthetic, class_keys=[other[key] for key in synthetic.class_keys])
    found = measure(natural, swapped, spec("overlap", "difference"))
    for key in ("c000", "c001"):
        assert at(found, "coverage", key).value < 0.2
        assert at(found, "precision", key).value < 0.5 * at(rows, "precision", key).value
        assert at(found, "permutation_p_value", key).value == pytest.approx(3 / 51)  # by Holm, of the least there is
    assert at(found, "coverage", "c002").value > 0.8
    assert at(found, "coverage").value == pytest.approx(np.mean([at(found, "coverage", k).value for k in other]))
    assert at(found, "coverage", "c000").n == 60 and at(found, "precision", "c000").n == 40
    assert at(found, "coverage").n == 180 and at(found, "density").n == 120


def test_copies_are_found_in_their_class(world: World) -> None:
    natural, synthetic = world.images("nat", 60), world.images("syn", 40)
    e = synthetic.embeddings.copy()
    own = {key: np.flatnonzero(np.array(synthetic.class_keys) == key) for key in synthetic.classes}
    e[own["c000"][:30]] = natural.embeddings[np.flatnonzero(np.array(natural.class_keys) == "c000")[:30]]
    e[own["c001"][:20]] = e[own["c001"][0]]
    found = measure(natural, replace(synthetic, embeddings=e), spec("copies"))
    assert at(found, "memorised_share", "c000").value >= 0.75
    assert at(found, "near_duplicate_share", "c000").value < 0.3
    assert at(found, "near_duplicate_share", "c001").value >= 0.5
    assert at(found, "memorised_share", "c001").value < 0.3
    assert at(found, "near_duplicate_share", "c002").value < 0.3


def test_too_few_images_are_said_to_be(world: World) -> None:
    found = measure(world.images("nat", 4), world.images("syn", 4), ALL)
    row = at(found, "coverage", "c000")
    assert math.isnan(row.value)
    assert row.reason == "5 neighbours need more than 5 images of the class in each set"
    row = at(found, "vendi_score", "c000")
    assert math.isfinite(row.value)
    assert row.reason == "only 4 images in syn: the interval of so few is too narrow"
    assert "ten images for each dimension" in at(found, "frechet_distance_infinite").reason
    assert at(found, "centroid_shift", "c000").reason == "only 4 images in nat: the interval of so few is too narrow"
    assert not at(measure(world.images("nat", 10), world.images("syn", 10), ALL), "centroid_shift", "c000").reason


def test_what_is_not_asked_for_is_not_measured(world: World) -> None:
    sets = world.images("nat", 12), world.images("syn", 12)
    assert not {row.metric for row in measure(*sets, spec())} & (OF_BOTH | {"vendi_score"})
    assert {row.metric for row in measure(*sets, spec("copies"))} & OF_BOTH == {
        "memorised_share",
        "near_duplicate_share",
    }
    without = measure(*sets, MeasureSpec(bootstrap=0, permutations=0))
    assert "permutation_p_value" not in {row.metric for row in without}
    assert all(math.isnan(row.ci_low) for row in without)


def test_feature_analysis_speaks_of_either_set(world: World) -> None:
    natural, synthetic = world.images("nat", 30), world.images("syn", 20)
    found = measure(natural, synthetic, spec("features"))
    for images in (natural, synthetic):
        e = images.embeddings.astype(np.float64)
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        expected = np.abs(np.corrcoef(e.T)).mean()
        assert at(found, "redundancy", query=images.name).value == pytest.approx(expected, rel=1e-5)
        assert at(found, "sparsity", query=images.name).value == 0
        assert math.isfinite(at(found, "intra_class_distance", "c001", images.name).value)
        assert math.isfinite(at(found, "coding_length", query=images.name).value)


def test_baseline_holds_figures_of_one_set_at_the_synthetic_sets_size(world: World) -> None:
    natural, synthetic = world.images("nat", 60), world.images("syn", 25)
    baseline = measure_baseline(natural, both_roles(natural, 0), synthetic, ALL)
    name = "nat (held out)"
    assert at(baseline, "vendi_score", "c000", name).n == 25
    few = at_most(natural, dict.fromkeys(natural.classes, 25), ALL.seed).select(class_keys=["c000"])
    expected = metrics.vendi_score(torch.from_numpy(few.embeddings))
    assert at(baseline, "vendi_score", "c000", name).value == pytest.approx(expected)
    assert at(baseline, "coverage", "c000", name).n == 30  # the half that the other half is measured against
    for metric in OF_BOTH | {"vendi_score", "centroid_distance"}:
        assert len([row for row in baseline if row.metric == metric and row.class_key == OVERALL]) == 1


def test_a_study_measures_what_depends_on_the_number_as_its_baseline_does(world: World) -> None:
    natural, synthetic = world.images("nat", 40), world.images("syn", 100)
    halves = both_roles(natural, 0)
    rows = measure_study(natural, [synthetic], {"nat": halves, "syn": both_roles(synthetic, 0)}, {}, ALL)
    baseline = measure_baseline(natural, halves, synthetic, ALL)
    for metric in ("coverage", "precision", "near_duplicate_share", "kernel_distance"):
        assert at(rows, metric, "c000").n == at(baseline, metric, "c000", "nat (held out)").n == 20
    assert at(rows, "vendi_score", "c000").n == 100
    single = world.images("nat", 1)
    rows = measure_study(single, [synthetic], {"nat": both_roles(single, 0)}, {}, ALL)
    assert at(rows, "coverage", "c000").reason == "class has 1 image in nat, 2 are needed"


def test_json_keeps_the_reference_sets_own_figures_apart(rows: list[Measurement]) -> None:
    found = measurements_json(rows, {f"c00{i}": f"class {i}" for i in range(3)}, "syn")
    assert found["vendi_score"]["overall"]["value"] == at(rows, "vendi_score").value
    assert found["vendi_score"]["reference"]["overall"]["value"] == at(rows, "vendi_score", query="nat").value
    assert found["coverage"]["per_class"]["class 1"]["value"] == at(rows, "coverage", "c001").value


def test_the_same_seed_gives_the_same_figures(pair: tuple[EmbeddingSet, EmbeddingSet], rows: list[Measurement]) -> None:
    assert repr(measure(*pair, ALL)) == repr(rows)  # NaN is not equal to itself
    assert repr(measure(*pair, ALL.model_copy(update={"seed": 1}))) != repr(rows)


def test_rows_beyond_the_limit_are_drawn_by_the_seed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthgap.stages.measurement import within

    natural, synthetic = world.images("nat", 60), world.images("syn", 40)
    monkeypatch.setattr(within, "MOST_ROWS", 20)
    monkeypatch.setattr(within.few, "__defaults__", (20,))
    found = measure(natural, synthetic, spec("overlap"))
    assert at(found, "coverage", "c000").n == 20
    assert at(found, "precision", "c000").n == 20


def test_figures_are_those_of_the_library(pair: tuple[EmbeddingSet, EmbeddingSet], rows: list[Measurement]) -> None:
    natural, synthetic = (
        metrics.uvec(torch.from_numpy(images.embeddings[np.array(images.class_keys) == "c001"])) for images in pair
    )
    expected = metrics.support_overlap(natural=natural, synthetic=synthetic, k=5)
    assert at(rows, "recall", "c001").value == pytest.approx(expected.recall)
    assert at(rows, "density", "c001").value == pytest.approx(expected.density)
    assert at(rows, "vendi_score", "c001").value == pytest.approx(metrics.vendi_score(synthetic))
