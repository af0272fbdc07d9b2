"""Trials, classifiers, the map and the words of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synthgap.core.errors import InputError
from synthgap.core.records import OVERALL, ClassEntry, Finding, Measurement
from synthgap.core.specs import MeasureSpec
from synthgap.stages import class_words
from synthgap.stages.alignment import align, check_classes, without_direction
from synthgap.stages.comparison import Outcome, sentences
from synthgap.stages.measurement import TrialSet, measure_trials, trial_table
from synthgap.stages.measurement.roles import both_roles
from synthgap.stages.probing import common_size, probe
from synthgap.stages.projection import project
from synthgap.store.embeddings import EmbeddingSet
from synthgap.vocabulary import synset

from .simulated import World, make_set

SPEC = MeasureSpec(bootstrap=20)


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, dim=12)


def run_trials(sets: list[TrialSet], spec: MeasureSpec, *told: Callable[[int, int, str], None]) -> list[dict[str, Any]]:
    return trial_table(sets, measure_trials(sets, spec, (), *told))


def trial_sets(*sets: EmbeddingSet) -> list[TrialSet]:
    return [TrialSet(images.name, *both_roles(images, 0)) for images in sets]


def test_every_pair_is_a_trial(world: World) -> None:
    told: list[int] = []
    sets = trial_sets(world.images("nat", 12), world.images("syn", 10), world.prompts())
    rows = run_trials(sets, SPEC, lambda done, total, what: told.append(done))
    assert [row["number"] for row in rows] == list(range(1, 10)) == told
    assert [(row["query"], row["reference"]) for row in rows][:4] == [
        ("nat", "nat"), ("nat", "syn"), ("nat", "prompts"), ("syn", "nat"),
    ]  # fmt: skip
    by_pair = {(row["reference"], row["query"]): row for row in rows}
    own = by_pair["prompts", "prompts"]
    assert own["centroid_accuracy"] == 1.0
    assert own["average_cosine_similarity"] == pytest.approx(1.0)
    assert math.isnan(own["knn_1"]) and math.isnan(own["knn_5"])
    assert math.isnan(by_pair["nat", "prompts"]["knn_1"])
    assert by_pair["prompts", "nat"]["knn_1"] == by_pair["prompts", "nat"]["centroid_accuracy"]
    assert by_pair["nat", "nat"]["n"] == 18
    assert by_pair["nat", "syn"]["centroid_accuracy_ci_low"] <= by_pair["nat", "syn"]["centroid_accuracy"]


def test_a_set_of_one_image_per_class_cannot_be_its_own_query(world: World) -> None:
    rows = run_trials(trial_sets(world.images("one", 1), world.images("many", 6)), SPEC)
    by_pair = {(row["reference"], row["query"]): row for row in rows}
    assert math.isnan(by_pair["one", "one"]["centroid_accuracy"])
    assert by_pair["one", "one"]["n"] == 0
    assert math.isfinite(by_pair["one", "many"]["centroid_accuracy"])


def test_classifiers_are_trained_at_one_size_and_tested_on_natural_images() -> None:
    world = World(4, dim=12, separation=1.5)
    natural, test = world.images("nat", 40), world.images("nat", 25)
    swapped = world.images("swapped", 20, lambda index, n: world.draw((index + 1) % 4, n))
    sets = {"nat": natural, "swapped": swapped}
    sizes = common_size(sets, test)
    assert sizes == dict.fromkeys(natural.classes, 20)
    rows = probe(sets, test, SPEC)
    whole = {row["train_set"]: row for row in rows if row["class_key"] == OVERALL}
    assert whole["nat"]["value"] > 0.95
    assert whole["swapped"]["value"] < 0.05
    assert whole["nat"]["n"] == 100
    assert whole["nat"]["test_set"] == "nat"
    assert [row["class_key"] for row in rows if row["train_set"] == "nat"] == [OVERALL, *natural.classes]


def test_a_classifier_needs_two_classes(world: World) -> None:
    single = make_set("nat", [world.draw(0, 5)])
    assert probe({"nat": single}, single, SPEC) == []


def test_the_map_is_the_same_every_time_and_fits_its_budget() -> None:
    world = World(5, dim=16, separation=2.0)
    natural, synthetic, prompts = world.images("nat", 40), world.images("syn", 40), world.prompts()
    rows = project(natural, [natural, synthetic, prompts], seed=0, most=150)
    assert rows == project(natural, [natural, synthetic, prompts], seed=0, most=150)
    counts = {name: sum(row["set"] == name for row in rows) for name in ("nat", "syn", "prompts")}
    assert counts == {"nat": 50, "syn": 50, "prompts": 5}
    places = {
        key: np.array([(row["x"], row["y"]) for row in rows if row["class_key"] == key]) for key in natural.classes
    }
    within = np.mean([np.linalg.norm(place - place.mean(axis=0), axis=1).mean() for place in places.values()])
    between = np.linalg.norm(
        np.stack([place.mean(axis=0) for place in places.values()])[:, None]
        - np.stack([place.mean(axis=0) for place in places.values()]),
        axis=2,
    )
    assert between[np.triu_indices(5, 1)].min() > within
    assert {row["modality"] for row in rows} == {"image", "prompt"}


def test_two_classes_still_have_a_map() -> None:
    world = World(2, dim=8)
    rows = project(world.images("nat", 30), [world.images("nat", 30)], seed=0)
    assert len(rows) == 60
    assert all(math.isfinite(row["x"]) and math.isfinite(row["y"]) for row in rows)


def renamed(images: EmbeddingSet, keys: dict[str, str], names: dict[str, str]) -> EmbeddingSet:
    return replace(
        images,
        class_keys=[keys[key] for key in images.class_keys],
        classes={keys[key]: names[key] for key in images.classes},
    )


def test_classes_align_by_name_and_the_rest_is_left_out(world: World) -> None:
    natural = renamed(
        world.images("nat", 4),
        {"c000": "cat", "c001": "dog", "c002": "ship"},
        {"c000": "cat", "c001": "dog", "c002": "ship"},
    )
    synthetic = renamed(
        world.images("syn", 4),
        {"c000": "n02121620", "c001": "n02084071", "c002": "x"},
        {"c000": "Cat", "c001": "dog", "c002": "truck"},
    )
    aligned = align(natural, [synthetic])
    assert aligned.names == {"cat": "cat", "dog": "dog"}
    assert set(aligned.synthetic[0].class_keys) == {"cat", "dog"}
    assert aligned.renamed["syn"] == {"n02121620": "cat", "n02084071": "dog"}
    assert aligned.left_out == {"ship": ("ship", "class only in nat"), "x": ("truck", "class only in syn")}


def test_an_empty_class_is_left_out(world: World) -> None:
    natural, synthetic = world.images("nat", 4), make_set("syn", [world.draw(0, 3), world.draw(1, 3), world.draw(2, 0)])
    aligned = align(natural, [synthetic])
    assert list(aligned.names) == ["c000", "c001"]
    assert "c002" in aligned.left_out


def test_too_few_common_classes_are_refused_with_some_of_each() -> None:
    with pytest.raises(
        InputError, match=r"1 class in common and 2 are needed: 'nat' has cat, dog; 'syn' has dog, ship"
    ):
        check_classes([("nat", {"a": "cat", "d": "dog"}), ("syn", {"d": "dog", "s": "ship"})])


def test_zero_vectors_are_skipped_with_a_reason(world: World) -> None:
    images = world.images("nat", 3)
    images.embeddings[4] = 0
    kept = without_direction(images)
    assert len(kept) == 8
    assert kept.skipped[0].image_key == images.image_keys[4]
    assert "zero vector" in kept.skipped[0].reason
    with pytest.raises(InputError, match="no usable image"):
        without_direction(replace(images, embeddings=np.zeros_like(images.embeddings)))


def test_words_of_a_class_that_a_set_ties_to_a_synset() -> None:
    classes = class_words.entries({"crane": "crane", "zzz_q": "zzz_q"}, {"crane": ["n02012849"]})
    assert classes["crane"] == synset("n02012849")
    assert classes["zzz_q"] == ClassEntry("zzz_q", "zzz q", ("zzz q",))
    found = class_words.noun_senses(classes)
    assert list(found) == ["crane"]
    assert found["crane"][0].class_key == "crane"
    texts = class_words.sense_texts(classes)
    assert texts[0][0] == "crane" and "wading bird" in texts[0][2]
    assert len(texts) == 5
    assert class_words.proposals(classes) == {"crane": "a crane bird"}
    assert [prompt for _, _, prompt in class_words.name_prompts(classes)] == ["crane", "zzz q"]


NAN = float("nan")


def outcome(
    *, accuracy: float = 0.6, shift: float = 0.2, spread: float = 0.5, findings: list[Finding] | None = None
) -> Outcome:
    def row(metric: str, query: str, value: float) -> Measurement:
        return Measurement(metric, "nat", query, OVERALL, value, value - 0.02, value + 0.02, 100)

    def trained(name: str, value: float) -> dict[str, object]:
        return {
            "train_set": name,
            "class_key": OVERALL,
            "value": value,
            "ci_low": value - 0.02,
            "ci_high": value + 0.02,
        }

    return Outcome(
        "nat",
        "syn",
        [row("centroid_shift", "syn", shift), row("centroid_distance", "syn", spread)],
        [row("centroid_shift", "held", 0.05), row("centroid_distance", "held", 1.0)],
        [trained("nat", 0.9), trained("syn", accuracy)],
        findings or [],
        {"a": "cat", "b": "dog"},
    )


def finding(key: str, cause: str, severity: float, flagged: bool = True) -> Finding:
    return Finding(key, cause, severity, flagged, f"Mend {cause}.", "")


def test_sentences_say_how_far_why_and_what() -> None:
    found = [finding("a", "low-diversity", 0.7), finding("b", "low-diversity", 0.4)]
    far, why, what = sentences(outcome(findings=found))
    assert "trained on 'syn' recognises 60% of natural images, one trained on as many natural images 90%" in far
    assert "shifted by 0.2, 4 times the shift between natural halves" in far
    assert "diversity is 0.50 of natural images'" in far
    assert (
        why
        == "2 of 2 classes are at fault, all by images that are too much alike; the worst are 'cat' (0.70), 'dog' (0.40)."
    )
    assert what == "First, in 2 classes, 'cat' first: Mend low-diversity."


def test_sentences_stay_honest_within_the_baseline() -> None:
    found = [finding("a", "sound", 0.0, flagged=False), finding("b", "sound", 0.1, flagged=False)]
    far, why, what = sentences(outcome(accuracy=0.89, shift=0.06, spread=0.99, findings=found))
    assert "within chance of each other" in far
    assert far.count("within the natural baseline") == 2
    assert "No fault was found in any of the 2 classes" in why
    assert what == "Nothing to change class by class."


def test_diversity_is_compared_as_if_the_sets_were_of_one_size() -> None:
    few = [Measurement("centroid_distance", "nat", "syn", key, 0.81, 0.8, 0.82, 10) for key in (OVERALL, "a")]
    many = [Measurement("centroid_distance", "nat", "held", key, 0.99, 0.98, 1.0, 200) for key in (OVERALL, "a")]
    far = sentences(replace(outcome(), measurements=few, baseline=many))[0]
    assert "its diversity is within the natural baseline" in far


def test_sentences_without_numbers() -> None:
    empty = Outcome("nat", "syn", [], [], [], [], {})
    far, why, what = sentences(empty)
    assert "cannot be told" in far
    assert "cannot be told" in why
    assert what
