"""Planted faults are found and named, sound sets are left alone, and severity follows the strength of the fault."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthgap.core.records import ClassEntry, Finding
from synthgap.core.specs import MeasureSpec
from synthgap.stages.comparison.sentences import Outcome, sentences
from synthgap.stages.diagnosis import Case, SweepSet, diagnose
from synthgap.stages.diagnosis.case import sample
from synthgap.stages.diagnosis.concept import measure_concept
from synthgap.stages.diagnosis.diversity import spread_ratio
from synthgap.stages.diagnosis.language import measure_language
from synthgap.store.embeddings import EmbeddingSet

from .simulated import Vectors, World, make_set

SPEC = MeasureSpec()
CAUSES = {"ambiguous", "over-adherent", "under-adherent", "low-diversity", "concept-missing", "wrong-concept", "sound"}


def case_of(world: World, synthetic: EmbeddingSet, n: int = 60, prompts: EmbeddingSet | None = None) -> Case:
    return Case(world.images("reference", n // 2), world.images("query", n - n // 2), synthetic, prompts=prompts)


def found(case: Case) -> dict[str, Finding]:
    findings = diagnose(case, SPEC)
    assert len({one.class_key for one in findings}) == len(findings)
    return {one.class_key: one for one in findings}


def flagged(findings: dict[str, Finding]) -> set[str]:
    return {key for key, one in findings.items() if one.flagged}


def faulty(world: World, faults: dict[int, Callable[[int], Vectors]], n: int = 60) -> EmbeddingSet:
    return world.images("synthetic", n, lambda index, n: faults[index](n) if index in faults else world.draw(index, n))


@pytest.mark.parametrize(("classes", "n", "seeds"), [(10, 20, 8), (10, 200, 3), (100, 20, 2), (100, 60, 1)])
def test_sound_sets_are_left_alone(classes: int, n: int, seeds: int) -> None:
    alarms = total = 0
    for seed in range(seeds):
        world = World(classes, seed=seed)
        findings = found(case_of(world, world.images("synthetic", n), n, world.prompts()))
        assert len(findings) == classes
        alarms, total = alarms + len(flagged(findings)), total + classes
        assert all(one.cause == "sound" and one.severity <= 0.1 for one in findings.values() if not one.flagged)
    assert alarms / total <= 0.05


def concept_faults(findings: dict[str, Finding]) -> set[str]:
    return {key for key, one in findings.items() if one.cause in {"ambiguous", "wrong-concept"}}


def test_a_shift_that_all_classes_share_is_no_fault_of_a_class() -> None:
    world = World(10, seed=3)
    towards_one = 0.9 * (world.means[0] - np.mean(world.means, axis=0))
    findings = found(case_of(world, world.images("synthetic", 60, lambda i, n: world.draw(i, n, offset=towards_one))))
    assert "without the shift that all classes share" in findings["c004"].evidence
    assert concept_faults(findings) == set()


def test_a_set_whose_classes_have_all_moved_a_little_has_no_outlier() -> None:
    world = World(20, seed=3)
    offsets = [world.direction(length) for length in np.linspace(0.2, 0.8, 20)]
    findings = found(case_of(world, world.images("synthetic", 60, lambda i, n: world.draw(i, n, offset=offsets[i]))))
    assert len(concept_faults(findings)) <= 1


def test_of_two_classes_the_one_that_moved_is_named() -> None:
    world = World(2, seed=4)
    first, between = world.means[0], world.means[1] - world.means[0]
    basis = np.linalg.qr(np.stack([first, between], axis=1))[0]
    aside = world.direction(1.0)
    aside -= basis @ (basis.T @ aside)
    moved = first + 1.5 * aside
    away = moved * np.linalg.norm(first) / np.linalg.norm(moved) - first
    findings = found(case_of(world, faulty(world, {0: lambda n: world.draw(0, n, offset=away)})))
    assert concept_faults(findings) == {"c000"}


def test_a_wider_class_has_not_moved() -> None:
    world = World(10, seed=5)
    findings = found(case_of(world, faulty(world, {3: lambda n: world.draw(3, n, spread=1.6)}, 200), 200))
    assert "c003" not in concept_faults(findings)


def test_a_small_set_does_not_look_less_diverse() -> None:
    world = World(60, seed=5)
    order = list(world.images("any", 1).classes)
    few, many = (sample(world.images("any", n), order) for n in (6, 300))
    assert spread_ratio(many, few).value.mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("n", [20, 60])
def test_images_of_another_class(n: int) -> None:
    world = World(10, seed=1)
    findings = found(case_of(world, faulty(world, {3: lambda n: world.draw(7, n)}, n), n))
    assert flagged(findings) == {"c003"}
    worst = findings["c003"]
    assert worst.cause in {"wrong-concept", "ambiguous"}
    assert worst.severity > 0.8
    assert "'class 7'" in worst.evidence
    assert "synthetic-" in worst.evidence
    assert next(iter(findings)) == "c003"


def test_a_concept_that_is_no_class() -> None:
    world = World(10, seed=2)
    offset = world.elsewhere(4)
    findings = found(case_of(world, faulty(world, {4: lambda n: world.draw(4, n, offset=offset)})))
    assert flagged(findings) == {"c004"}
    assert findings["c004"].cause in {"wrong-concept", "ambiguous"}


def test_another_concept_is_named_before_images_that_are_alike() -> None:
    world = World(10, seed=1)

    def mostly_another(n: int) -> Vectors:
        return np.repeat(np.concatenate([world.draw(3, 6), world.draw(7, 14)]), n // 20, axis=0)

    findings = found(case_of(world, faulty(world, {3: mostly_another}, 200), 200))
    assert findings["c003"].cause in {"wrong-concept", "ambiguous"}
    assert "Also low-diversity (0.90)" in findings["c003"].evidence
    assert findings["c003"].severity == pytest.approx(0.9)


def test_two_clusters_of_which_one_matches_are_ambiguous() -> None:
    world = World(10, seed=5)
    offset = world.elsewhere(2)

    def mixed(n: int) -> Vectors:
        return np.concatenate([world.draw(2, n // 2), world.draw(2, n - n // 2, offset=offset)])

    findings = found(case_of(world, faulty(world, {2: mixed}, 100), 100))
    assert flagged(findings) == {"c002"}
    assert findings["c002"].cause == "ambiguous"
    assert "two clusters" in findings["c002"].evidence
    assert 0.3 < findings["c002"].severity < 0.8


@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_collapsed_diversity(spread: float) -> None:
    world = World(10, seed=4)
    findings = found(case_of(world, faulty(world, {6: lambda n: world.draw(6, n, spread=spread)})))
    assert flagged(findings) == {"c006"}
    assert findings["c006"].cause == "low-diversity"
    assert "augmented" in findings["c006"].suggestion


def test_variations_of_one_image_are_alike_and_not_another_concept() -> None:
    hits = []
    for seed in range(5):
        world = World(10, seed=seed)

        def one_image(n: int, world: World = world) -> Vectors:
            return world.draw(6, 1) + 0.05 * (world.draw(6, n) - world.means[6])

        findings = found(case_of(world, faulty(world, {6: one_image})))
        hits.append(findings["c006"].cause)
        assert "Also" not in findings["c006"].evidence
    assert hits == ["low-diversity"] * 5


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_copies(noise: float) -> None:
    world = World(10, seed=4)

    def copied(n: int) -> Vectors:
        return np.repeat(world.draw(1, n // 3), 3, axis=0) + noise * world.rng.normal(size=(n, world.dim))

    findings = found(case_of(world, faulty(world, {1: copied})))
    assert flagged(findings) == {"c001"}
    assert findings["c001"].cause == "low-diversity"
    assert "40 of 60 images are copies" in findings["c001"].evidence
    assert "seed" in findings["c001"].suggestion
    assert findings["c001"].severity == pytest.approx(2 / 3, abs=0.1)


def test_a_prompt_that_finds_neither_set_misses_the_concept() -> None:
    """M's "hammer": the prompt points elsewhere, whatever the images show."""
    world = World(10, seed=6)
    prompts = world.prompts(moved={5: world.means[0] - 2 * world.means[5]})
    findings = found(case_of(world, world.images("synthetic", 60), prompts=prompts))
    assert flagged(findings) == {"c005"}
    assert findings["c005"].cause == "concept-missing"
    assert "encoder or generator" in findings["c005"].suggestion


def test_a_prompt_that_finds_only_the_synthetic_images_is_faithful_to_a_wrong_concept() -> None:
    """M's "nail": prompt and images agree on something that the natural images do not show."""
    world = World(10, seed=7)
    offset = world.elsewhere(8)
    prompts = world.prompts(moved={8: offset})
    findings = found(case_of(world, faulty(world, {8: lambda n: world.draw(8, n, offset=offset)}, 200), 200, prompts))
    assert flagged(findings) == {"c008"}
    assert findings["c008"].cause == "wrong-concept"
    assert "concept-missing" not in findings["c008"].evidence


def test_a_narrow_class_may_lie_anywhere_natural_images_lie() -> None:
    """One natural picture, varied a little, is off its class's centre by as much as single natural images are."""
    world = World(10, seed=0)
    narrow = faulty(world, {6: lambda n: world.draw(6, 1) + 0.05 * (world.draw(6, n) - world.means[6])})
    case = case_of(world, narrow)
    order = list(narrow.classes)
    sets = [sample(images, order) for images in (case.natural_reference, case.natural_query, narrow)]
    widths = []
    for narrowing in (0.0, 1.0):
        shift = measure_concept(*sets, np.full(10, narrowing), torch.ones(600, dtype=torch.bool), seed=0).shift.at(6)
        widths.append(shift.high - shift.low)
    assert widths[1] > 2 * widths[0]


def test_prompts_that_find_nothing_at_all_judge_nothing() -> None:
    world = World(10, seed=8)
    # The prompts of the classes' neighbours: here and there one is nearest by luck.
    wrong = make_set("prompts", [world.means[(index + 1) % 10][None] for index in range(10)], modality="prompt")
    natural, order = world.images("natural", 60), list(wrong.classes)
    images = sample(natural, order)
    assert measure_language(sample(wrong, order), images, images, np.ones(10), seed=0) is None
    good = sample(world.prompts(), order)
    assert measure_language(good, images, images, np.ones(10), seed=0) is not None
    assert flagged(found(case_of(world, world.images("synthetic", 60), prompts=wrong))) == set()


def test_a_clear_prompt_and_other_images_are_ambiguous() -> None:
    world = World(10, seed=9)
    offset = world.elsewhere(2)
    synthetic = faulty(world, {2: lambda n: world.draw(2, n, offset=offset)})
    case = case_of(world, synthetic, prompts=world.prompts())
    case = replace(case, proposals={"c002": "crane, wading bird"})
    finding = found(case)["c002"]
    assert finding.cause == "ambiguous"
    assert finding.suggestion == "Say what is meant: 'crane, wading bird'."


def test_another_sense_is_named() -> None:
    world = World(10, seed=10)
    offset, gap = world.elsewhere(2), world.direction(3.0)
    synthetic = faulty(world, {2: lambda n: world.draw(2, n, offset=offset)})
    texts = [("crane: a bird", world.means[2] + gap), ("crane: a machine", world.means[2] + offset + gap)]
    case = replace(case_of(world, synthetic), sense_embeddings={"c002": texts})
    finding = found(case)["c002"]
    assert finding.cause == "ambiguous"
    assert "'crane: a machine'" in finding.evidence


def test_another_class_of_the_same_name_is_another_sense() -> None:
    world = World(10, seed=10)
    senses = [ClassEntry("c002", "crane", ("crane",), "a bird"), ClassEntry("c007", "crane", ("crane",), "a machine")]
    case = case_of(world, faulty(world, {2: lambda n: world.draw(7, n)}))
    assert found(case)["c002"].cause == "wrong-concept"
    finding = found(replace(case, senses={"c002": senses}))["c002"]
    assert finding.cause == "ambiguous"
    assert "a machine" in finding.evidence


def sweep_case(keeps: bool) -> Case:
    """Guidance 7.5 draws classes 0 to 4 at a third of the spread; 2.5 mends that, with or without the accuracy."""
    world = World(10, seed=11)

    def high(index: int, n: int) -> Vectors:
        return world.draw(index, n, spread=0.35 if index < 5 else 1.0)

    def low(index: int, n: int) -> Vectors:
        images = world.draw(index, n, spread=0.95)
        half = n // 2
        return images if keeps else np.concatenate([images[half:], world.draw((index + 1) % 10, half)])

    case = case_of(world, world.images("high", 80, high), 80)
    return replace(case, guidance_scale=7.5, sweep=[SweepSet("low", 2.5, world.images("low", 80, low))])


def test_diversity_that_returns_as_guidance_falls_is_over_adherence() -> None:
    findings = found(sweep_case(keeps=True))
    assert {findings[f"c{index:03d}"].cause for index in range(5)} == {"over-adherent"}
    assert flagged(findings) == {f"c{index:03d}" for index in range(5)}
    assert findings["c000"].suggestion == "Draw at guidance 2.5 instead of 7.5."


def test_diversity_at_the_cost_of_accuracy_is_no_remedy() -> None:
    findings = found(sweep_case(keeps=False))
    assert {findings[f"c{index:03d}"].cause for index in range(5)} == {"low-diversity"}
    assert "does not mend it" in findings["c000"].evidence
    assert "guidance 2.5" not in findings["c000"].suggestion


def test_a_higher_guidance_is_no_remedy() -> None:
    case = sweep_case(keeps=True)
    assert found(replace(case, guidance_scale=1.5))["c000"].cause == "low-diversity"


@pytest.mark.parametrize(("guidance", "named"), [(7.5, True), (2.5, False), (1.0, False)])
def test_a_lower_guidance_that_was_not_tried_is_only_named_where_it_is_lower(guidance: float, named: bool) -> None:
    case = replace(sweep_case(keeps=True), guidance_scale=guidance, sweep=[])
    assert ("No lower guidance was drawn" in found(case)["c000"].evidence) == named
    again = found(replace(case, recipe="augmented"))["c000"]
    assert ("Draw at guidance 2.5" in again.suggestion) == named
    assert again.change == ('{"guidance_scale": 2.5}' if named else "")


FAULTS: dict[str, Callable[[World, float, int], Vectors]] = {
    "swapped": lambda world, strength, n: np.concatenate(
        [world.draw(0, n - round(strength * n)), world.draw(5, round(strength * n))]
    ),
    "narrow": lambda world, strength, n: world.draw(0, n, spread=1 - 0.95 * strength),
    "copied": lambda world, strength, n: world.draw(0, n)[np.arange(n) % max(1, round((1 - strength) * n))],
    "elsewhere": lambda world, strength, n: world.draw(0, n, offset=strength * (world.means[5] - world.means[0])),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_severity_grows_with_the_fault(kind: str) -> None:
    world = World(10, seed=12)
    natural = (world.images("reference", 100), world.images("query", 100))
    sound = [world.draw(index, 200) for index in range(10)]
    severities = []
    for strength in (0.0, 0.25, 0.5, 0.75, 0.98):
        parts = [FAULTS[kind](world, strength, 200), *sound[1:]]
        finding = found(Case(*natural, make_set("synthetic", parts)))["c000"]
        assert 0 <= finding.ci_low <= finding.severity <= finding.ci_high <= 1
        severities.append(finding.severity)
    assert severities == sorted(severities)
    assert severities[0] <= 0.1
    assert severities[-1] > 0.9


def test_nothing_depends_on_scale_rotation_or_order() -> None:
    world = World(6, seed=13)
    case = case_of(world, faulty(world, {3: lambda n: world.draw(1, n)}))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(world.dim, world.dim)))[0]

    def turned(images: EmbeddingSet) -> EmbeddingSet:
        moved = replace(images, embeddings=(7.0 * images.embeddings @ turn).astype(np.float32))
        return moved.subset(np.random.default_rng(1).permutation(len(moved)))

    again = Case(turned(case.natural_reference), turned(case.natural_query), turned(case.synthetic))
    for one, other in zip(diagnose(case, SPEC), diagnose(again, SPEC), strict=True):
        assert (one.class_key, one.cause, one.flagged) == (other.class_key, other.cause, other.flagged)
        assert one.severity == pytest.approx(other.severity, abs=1e-3)


def test_two_images_per_class_raise_no_alarm_and_say_so() -> None:
    world = World(4, seed=14)
    findings = found(case_of(world, world.images("synthetic", 2), 2))
    assert len(findings) == 4
    assert flagged(findings) == set()
    assert all("few images" in one.evidence for one in findings.values())


def test_one_image_is_not_judged() -> None:
    world = World(3, seed=15)
    synthetic = make_set("synthetic", [world.draw(0, 1), world.draw(1, 30), world.draw(2, 30)])
    findings = found(case_of(world, synthetic))
    assert math.isnan(findings["c000"].severity)
    assert not findings["c000"].flagged
    assert "1 synthetic" in findings["c000"].evidence
    assert list(findings)[-1] == "c000"
    assert not math.isnan(findings["c001"].severity)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_one_picture_slightly_changed_is_found_by_its_share(share: float) -> None:
    world = World(10, seed=4)

    def varied(n: int) -> Vectors:
        own, count = world.draw(1, n), round(share * n)
        return np.concatenate([own[:1] + 0.1 * (own[:count] - world.means[1]), own[count:]])

    finding = found(case_of(world, faulty(world, {1: varied})))["c001"]
    assert finding.cause == "low-diversity"
    assert finding.severity == pytest.approx(share, abs=0.12)
    assert "vary an earlier one" in finding.evidence
    assert json.loads(finding.change) == {"recipe": "augmented"}


def test_a_quarter_of_another_concept_is_found() -> None:
    world = World(10, seed=5)
    offset = world.elsewhere(2)

    def mixed(n: int) -> Vectors:
        return np.concatenate([world.draw(2, n - n // 4), world.draw(2, n // 4, offset=offset)])

    finding = found(case_of(world, faulty(world, {2: mixed}), prompts=world.prompts()))["c002"]
    assert finding.cause == "ambiguous"
    assert finding.severity == pytest.approx(0.25, abs=0.12)
    assert "off to one side" in finding.evidence


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_neighbour_class_is_a_wrong_concept_though_the_prompt_is_clear(share: float) -> None:
    world = World(10, seed=9)

    def other(n: int) -> Vectors:
        return np.concatenate([world.draw(2, n - round(share * n)), world.draw(7, round(share * n))])

    finding = found(case_of(world, faulty(world, {2: other}), prompts=world.prompts()))["c002"]
    assert finding.cause == "wrong-concept"
    assert "lie where its natural images do" in finding.evidence


def test_a_prompt_that_moved_with_what_is_drawn_is_more_often_a_wrong_concept() -> None:
    """Prompts lie so far from the point between them and the images that not every world tells the two apart."""
    wrong = [0, 0]
    for seed in range(8):
        world = World(10, seed=seed)
        way = 0.35 * world.elsewhere(2)
        for at, moved in enumerate(({}, {2: way})):
            prompts = world.prompts(moved=moved)
            synthetic = faulty(world, {2: lambda n, world=world, way=way: world.draw(2, n, offset=way)})  # type: ignore[misc]
            wrong[at] += found(case_of(world, synthetic, prompts=prompts))["c002"].cause == "wrong-concept"
    assert wrong[0] <= 3
    assert wrong[1] >= 6


def test_a_guidance_between_two_sets_of_the_sweep_is_offered() -> None:
    """The lowest guidance is too wide: what meets natural diversity lies between."""
    world = World(10, seed=11)
    high, low = (world.images(name, 80, lambda i, n, f=f: world.draw(i, n, spread=f)) for name, f in (("h", 0.4), ("l", 1.6)))  # fmt: skip
    case = replace(case_of(world, high, 80), guidance_scale=7.5, sweep=[SweepSet("low", 1.0, low)])
    finding = found(case)["c003"]
    assert finding.cause == "over-adherent"
    assert 1.0 < json.loads(finding.change)["guidance_scale"] < 7.5
    assert "read off between the sets" in finding.evidence


def test_accuracy_beyond_that_of_natural_images_is_not_needed() -> None:
    """Images too typical are recognised better than photographs; to lose that much is no loss."""
    world = World(10, seed=3, separation=0.3)
    narrow = world.images("high", 80, lambda i, n: world.draw(i, n, spread=0.3))
    low = world.images("low", 80)
    findings = found(replace(case_of(world, narrow, 80), guidance_scale=7.5, sweep=[SweepSet("low", 2.5, low)]))
    assert {one.cause for one in findings.values()} == {"over-adherent"}


def test_what_a_lower_guidance_costs_is_said() -> None:
    evidence = found(sweep_case(keeps=False))["c000"].evidence
    assert "and accuracy 0." in evidence
    assert "needed 0." in evidence


def scattered(world: World, index: int, n: int, way: float = 0.75) -> Vectors:
    """Images of a class, each on the way to another class of the list."""
    targets = np.stack(world.means)[world.rng.choice(np.delete(np.arange(world.classes), index), n)]
    return world.draw(index, n) + way * (targets - world.means[index])


def lost_case(world: World, *, higher: bool, regained: bool = True) -> Case:
    """At guidance 1 classes 0 to 2 lose themselves in all others; 7.5 brings them back, or not."""

    def low(index: int, n: int) -> Vectors:
        return scattered(world, index, n) if index < 3 else world.draw(index, n)

    case = case_of(world, world.images("low", 60, low), prompts=world.prompts())
    high = world.images("high", 60, None if regained else low)
    case = replace(case, guidance_scale=1.0, usual_guidance=5.0)
    return replace(case, sweep=[SweepSet("high", 7.5, high)]) if higher else case


@pytest.mark.parametrize("seed", range(4))
def test_images_that_lose_their_class_for_none_want_more_guidance(seed: int) -> None:
    findings = found(lost_case(World(10, seed=seed), higher=True))
    assert {findings[f"c{index:03d}"].cause for index in range(3)} == {"under-adherent"}
    assert flagged(findings) == {"c000", "c001", "c002"}
    finding = findings["c000"]
    assert 1.0 < json.loads(finding.change)["guidance_scale"] <= 7.5
    assert "points to the middle of all classes" in finding.evidence
    assert "natural" in finding.evidence.split("At guidance")[1]
    assert finding.severity > 0.3


def test_without_a_sweep_the_generators_own_guidance_is_proposed() -> None:
    case = lost_case(World(10, seed=1), higher=False)
    finding = found(case)["c000"]
    assert (finding.cause, json.loads(finding.change)) == ("under-adherent", {"guidance_scale": 5.0})
    assert "No higher guidance was drawn" in finding.evidence
    for other in ({"guidance_scale": 5.0}, {"guidance_scale": None}, {"usual_guidance": None}):
        assert found(replace(case, **other))["c000"].cause in {"ambiguous", "wrong-concept"}  # type: ignore[arg-type]


def test_a_higher_guidance_that_brings_nothing_back_is_not_the_cause() -> None:
    assert found(lost_case(World(10, seed=1), higher=True, regained=False))["c000"].cause != "under-adherent"


@pytest.mark.parametrize("seed", range(4))
def test_another_concept_at_a_low_guidance_is_not_under_adherent(seed: int) -> None:
    world = World(10, seed=seed)
    offset = world.elsewhere(2)
    faults: dict[int, Callable[[int], Vectors]] = {
        1: lambda n: np.concatenate([world.draw(1, n // 2), world.draw(7, n - n // 2)]),
        2: lambda n: world.draw(2, n, offset=offset),
    }
    case = case_of(world, faulty(world, faults), prompts=world.prompts())
    findings = found(replace(case, guidance_scale=1.0, usual_guidance=7.5))
    assert {findings[key].cause for key in ("c001", "c002")} <= {"ambiguous", "wrong-concept"}


def test_the_shift_of_scattered_images_points_to_the_middle() -> None:
    """In closed form: halfway to the middle of the classes is all on that line, sideways is none of it."""
    world = World(8, seed=3)
    way = 0.5 * (np.mean(world.means, axis=0) - world.means[0])
    aside = world.direction(1.0)
    aside -= way * (aside @ way) / (way @ way)
    order = [f"c{index:03d}" for index in range(8)]
    natural = [sample(world.images(name, 400), order) for name in ("reference", "query")]
    for offset, share in ((way, 1.0), (aside, 0.0), (-way, 0.0), (way + aside * np.linalg.norm(way), 0.5)):
        moved = faulty(world, {0: lambda n, offset=offset: world.draw(0, n, offset=offset)}, 400)  # type: ignore[misc]
        images = sample(moved, order)
        found = measure_concept(*natural, images, np.zeros(8), torch.ones(len(images.e), dtype=torch.bool), seed=0)
        assert found.to_middle[0] == pytest.approx(share, abs=0.2)


def test_classes_of_the_same_prompt_are_no_missing_concepts() -> None:
    world = World(10, seed=6)
    prompts = world.prompts()
    e = prompts.embeddings.copy()
    e[4] = e[7]  # class 4 was drawn by the prompt of class 7
    prompts = replace(prompts, embeddings=e)
    findings = found(case_of(world, faulty(world, {4: lambda n: world.draw(7, n)}), prompts=prompts))
    assert flagged(findings) == {"c004"}
    assert findings["c004"].cause == "ambiguous"
    assert "the same prompt as 'class 7'" in findings["c004"].evidence
    assert "the same prompt as 'class 4'" in findings["c007"].evidence


def test_two_classes_of_one_name_are_each_drawn_as_both() -> None:
    world = World(10, seed=6)
    prompts = world.prompts()
    e = prompts.embeddings.copy()
    e[4] = e[7] = (e[4] + e[7]) / 2

    def both(n: int) -> Vectors:
        return np.concatenate([world.draw(4, n // 2), world.draw(7, n - n // 2)])

    case = case_of(world, faulty(world, {4: both, 7: both}), prompts=replace(prompts, embeddings=e))
    findings = found(case)
    assert flagged(findings) == {"c004", "c007"}
    assert {findings[key].cause for key in ("c004", "c007")} == {"ambiguous"}


def test_where_a_prompt_lies_has_the_interval_of_a_bootstrap_over_images() -> None:
    """The other prompts lie where they should, so only the images make it uncertain."""
    world = World(10, seed=9)
    way = world.elsewhere(2)
    gap = world.direction(3.0)
    natural, drawn = world.images("natural", 60), faulty(world, {2: lambda n: world.draw(2, n, offset=way)})
    order = list(drawn.classes)

    def means(images: EmbeddingSet) -> Vectors:
        e = images.embeddings.astype(np.float64)
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        return e.reshape(10, -1, e.shape[1]).mean(axis=1)

    rows = means(natural)
    prompts = [row + gap for row in rows]
    prompts[2] = prompts[2] + 0.4 * (means(drawn) - rows)[2]
    length = np.linalg.norm(prompts, axis=1, keepdims=True)
    samples = [sample(images, order) for images in (make_set("p", list(np.stack(prompts)[:, None])), natural, drawn)]
    # Prompts are unit vectors to the diagnosis; here they keep their lengths, so that the closed form holds.
    samples[0] = replace(samples[0], e=samples[0].e * torch.from_numpy(length).float())
    language = measure_language(*samples, np.ones(10), seed=0)
    assert language is not None
    leaning = language.leaning.at(2)
    assert leaning.value == pytest.approx(0.4, abs=0.03)
    rng, told = np.random.default_rng(0), []
    for _ in range(80):
        drawn_rows = [
            replace(
                part,
                e=torch.cat([part.of(at)[rng.integers(60, size=60)] for at in range(10)]),
                rows=list(torch.arange(600).split(60)),
            )
            for part in samples[1:]
        ]
        drawn_rows = [replace(part, labels=torch.arange(10).repeat_interleave(60)) for part in drawn_rows]
        again = measure_language(samples[0], *drawn_rows, np.ones(10), seed=0)
        assert again is not None
        told.append(again.leaning.value[2])
    assert (leaning.high - leaning.low) / 2 == pytest.approx(1.96 * np.std(told), rel=0.35)


def test_what_cannot_be_told_apart_is_said() -> None:
    doubtful, clear = 0, 0
    for seed in range(4):
        world = World(10, seed=seed)
        way = world.elsewhere(2)
        for share in (0.0, 0.5):
            prompts = world.prompts(moved={2: share * way})
            synthetic = faulty(world, {2: lambda n, world=world, way=way: world.draw(2, n, offset=way)})  # type: ignore[misc]
            evidence = found(case_of(world, synthetic, prompts=prompts))["c002"].evidence
            clear, doubtful = (
                clear + (share == 0 and "told apart" not in evidence),
                doubtful + (share > 0 and "told apart" in evidence),
            )
    assert clear == 4
    assert doubtful >= 2


KEYS = {"guidance_scale": float, "recipe": str, "prompt": str, "drop_copies": bool}


def test_suggestion_and_change_say_the_same() -> None:
    world = World(10, seed=12)
    offset = world.elsewhere(1)
    faults: dict[int, Callable[[int], Vectors]] = {
        0: lambda n: np.repeat(world.draw(0, n // 3), 3, axis=0),
        1: lambda n: world.draw(1, n, offset=offset),
        2: lambda n: world.draw(2, n, spread=0.4),
    }
    prompts = world.prompts(moved={3: world.means[0] - 2 * world.means[3]})
    case = case_of(world, faulty(world, faults), prompts=prompts)
    changes = {key: one.change for key, one in found(case).items()}
    assert json.loads(changes["c000"]) == {"drop_copies": True}
    assert json.loads(changes["c001"]) == {"recipe": "hypernym"}
    assert json.loads(changes["c002"]) == {"recipe": "augmented"}
    assert changes["c003"] == changes["c005"] == ""
    named = found(replace(case, recipe="hypernym", proposals={"c002": "unused"}))["c001"]
    assert json.loads(named.change) == {"recipe": "definition"}
    for one in [*found(case).values(), named]:
        for key, value in json.loads(one.change or "{}").items():
            assert isinstance(value, KEYS[key])
            assert key == "drop_copies" or str(value) in one.suggestion


@pytest.mark.parametrize(("n", "judged"), [(3, False), (9, False), (10, True)])
def test_few_images_are_not_called_sound(n: int, judged: bool) -> None:
    world = World(4, seed=14)
    findings = found(case_of(world, world.images("synthetic", n), 40))
    for one in findings.values():
        assert not one.flagged
        assert math.isfinite(one.severity) == judged
        assert ("too few images to tell" in one.evidence) != judged
        assert one.ci_high > (0.0 if judged else 0.2)
    again = diagnose(case_of(world, world.images("synthetic", n), 40), MeasureSpec(few=2))
    assert all(math.isfinite(one.severity) for one in again)


def outcome(findings: dict[str, Finding]) -> Outcome:
    return Outcome("natural", "synthetic", [], [], [], list(findings.values()), {})


def test_the_sentences_count_what_could_not_be_judged() -> None:
    world = World(6, seed=14)
    natural = case_of(world, world.images("any", 40), 40)
    counts = [3, 3, 40, 40, 40, 40]
    parts = [world.draw(index, n) for index, n in enumerate(counts)]
    _, why, what = sentences(outcome(found(replace(natural, synthetic=make_set("synthetic", parts)))))
    assert "4 classes with enough images" in why
    assert "2 more could not be judged" in why
    assert "add images" in what
    none = sentences(outcome(found(replace(natural, synthetic=world.images("synthetic", 3)))))
    assert "No fault" not in none[1]
    assert "Nothing to change" not in none[2]


def test_causes_and_suggestions_are_complete() -> None:
    world = World(6, seed=16)
    findings = found(case_of(world, faulty(world, {0: lambda n: world.draw(3, n)})))
    for one in findings.values():
        assert one.cause in CAUSES
        assert one.suggestion
        assert one.evidence
        assert (one.cause == "sound") == (not one.flagged)
