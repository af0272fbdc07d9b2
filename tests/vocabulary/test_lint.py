"""The lint's parts that need no prompts: risk of a name, duplicates, kinds, pulls and proposals."""

import doctest
import importlib
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgap.core.records import ClassEntry
from synthgap.prompts.wording import name_prompt
from synthgap.vocabulary import class_list, synset
from synthgap.vocabulary.lint import (
    definition_pulls,
    duplicates,
    hypernym_pulls,
    kinds_of_others,
    lemma_risk,
    proposals,
    several_senses,
)
from synthgap.vocabulary.lint.ambiguity import cues
from synthgap.vocabulary.lint.duplicates import name_key
from synthgap.vocabulary.lint.taxonomy import ancestors, depth, domain, unlike, visible

CLEAR = ["goldfish", "zebra", "poodle", "helicopter", "giraffe", "accordion"]
UNCLEAR = ["n01847000", "n02012849", "n01580077", "n03786901", "n04592741", "n03804744", "n03481172"]


def entry(key, *lemmas):
    return ClassEntry(key, lemmas[0], lemmas)


def prompts_of(entries):
    return {one.class_key: name_prompt(one) for one in entries}


def found_by(findings):
    return {finding.class_key: finding for finding in findings}


def test_senses_of_the_papers_are_riskier_than_clear_names():
    risks = {key: lemma_risk(synset(key).lemmas[0], key).value for key in UNCLEAR}
    assert min(risks.values()) > 0.5
    for name in CLEAR:
        one = class_list(name)[0]
        assert lemma_risk(name, one.class_key).value < 0.15


def test_risk_of_a_single_other_sense_by_hand():
    # jay.n.02 weighs 1/2; John Jay, sense 1, is a named person (0.6) of another domain: 0.6 / (0.5 + 0.6).
    assert lemma_risk("jay", "n01580077").value == pytest.approx(0.6 / 1.1)
    # eel.n.02 weighs 1/2; its flesh, sense 1, is its own product (0.3): 0.3 / (0.5 + 0.3).
    assert lemma_risk("eel", "n02526121").value == pytest.approx(0.3 / 0.8)
    assert lemma_risk("zebra", "n02391049").value == 0
    assert lemma_risk("crane", "n02391049").value == 0, "not a sense of the word"


@given(st.sampled_from(class_list("imagenet-1k")), st.sampled_from(class_list("imagenet-r")))
def test_taxonomy_keeps_its_bounds(one, other):
    a, b = one.class_key, other.class_key
    assert 0 <= unlike(a, b) <= 1
    assert unlike(a, b) == unlike(b, a)
    assert unlike(a, a) == 0
    assert 0 < visible(a) <= 1
    assert 0 <= lemma_risk(one.lemmas[0], a).value < 1
    assert all(depth(up) < 30 for up in ancestors(a))


def test_domains():
    assert [domain(key) for key in ("n02012849", "n03126707", "n10914331", "n04986796", "n07777945")] == [
        "animal", "artifact", "person", "abstract", "food",
    ]  # fmt: skip


def test_cues_are_words_of_this_sense_alone():
    iron = synset("n03584829")
    assert cues(iron, "iron, smoothing iron") == ["smoothing iron"]
    assert cues(iron, "iron") == []
    crane = synset("n02012849")
    assert cues(crane, "crane, wading bird") == ["wading bird"]
    assert cues(crane, "a crane bird") == ["bird"]
    assert cues(crane, "crane") == []
    assert "its definition" in cues(crane, f"crane, {crane.definition}")
    assert cues(iron, "iron, smoothing iron", frozenset({"smoothingiron"})) == []


def test_a_cue_lowers_the_severity():
    crane = synset("n02012849")
    plain, cued = (
        several_senses([crane], {crane.class_key: text})[0].severity for text in ("crane", "crane, wading bird")
    )
    assert cued < plain / 2
    assert several_senses([crane], {crane.class_key: "a long-legged bird"}) == [], "the name is not in the prompt"


def test_a_clear_first_name_is_a_cue_against_its_synonyms():
    helicopter = synset("n03512147")  # chopper is also an axe, and a tooth
    assert lemma_risk("chopper", "n03512147").value > 0.5
    assert several_senses([helicopter], {"n03512147": "helicopter, chopper, eggbeater"}) == []
    assert several_senses([helicopter], {"n03512147": "chopper"}) != []


def test_names_are_equal_after_normalisation():
    pairs = [("sunglasses", "Sun-glass"), ("T shirt", "t-shirts"), ("boxes", "box"), ("dishes", "dish")]
    assert all(name_key(a) == name_key(b) for a, b in pairs)
    assert name_key("C++") != name_key("C#")
    assert name_key("bass") != name_key("bas")
    assert name_key("猫") != name_key("犬")


def test_duplicates_of_prompt_name_and_lemma():
    entries = class_list("n02012849,n03126707,n04356056,n04355933,n03773504,n04008634,zebra")
    found = found_by(duplicates(entries, prompts_of(entries)))
    assert {key: (one.kind, one.other) for key, one in found.items()} == {
        "n02012849": ("duplicate-prompt", ("n03126707",)),
        "n03126707": ("duplicate-prompt", ("n02012849",)),
        "n04356056": ("duplicate-name", ("n04355933",)),
        "n04355933": ("duplicate-name", ("n04356056",)),
        "n03773504": ("shared-lemma", ("n04008634",)),
        "n04008634": ("shared-lemma", ("n03773504",)),
    }
    assert found["n04356056"].severity < found["n04355933"].severity, "'dark glasses' tells the one apart"


def test_a_synonym_of_both_counts_less_than_a_first_name():
    severity = {}
    for classes in (
        "n02395406,n02396427",
        "n03773504,n04008634",
    ):  # Sus scrofa is last of both; missile is a first name
        entries = class_list(classes)
        severity[classes] = max(one.severity for one in duplicates(entries, prompts_of(entries)))
    assert severity["n02395406,n02396427"] < severity["n03773504,n04008634"]


def test_many_of_one_prompt_are_found_once_each():
    entries = [entry(f"c{number}", f"name {number}") for number in range(50)]
    found = duplicates(entries, dict.fromkeys((one.class_key for one in entries), "a photo"))
    assert len(found) == 50
    assert all(len(one.other) == 3 and "46 more" not in one.what and "48 more" in one.what for one in found)


def test_users_own_classes_have_duplicates_only():
    entries = [entry("blue_widget", "blue widget"), entry("blue-widget", "Blue-Widgets!"), entry("x", "🦊x (a+b)*[")]
    prompts = prompts_of(entries)
    assert {one.class_key for one in duplicates(entries, prompts)} == {"blue_widget", "blue-widget"}
    assert several_senses(entries, prompts) == hypernym_pulls(entries) == definition_pulls(entries) == []
    assert kinds_of_others(entries) == []
    assert proposals(entries, prompts, prompts) == {}


def test_kinds_of_other_classes():
    found = found_by(kinds_of_others(class_list("dog,poodle,papillon,cat,my thing")))
    assert {key: one.other for key, one in found.items()} == {
        "n02113335": ("n02084071",),
        "n02086910": ("n02084071",),
    }
    assert kinds_of_others(class_list("imagenet-1k")) == []


def test_hypernyms_and_definitions_of_the_papers_pull():
    entries = class_list("n02086240,n02859443,n04136333,zebra,n07747607,n02279972")
    hypernyms = found_by(hypernym_pulls(entries))
    assert {"n02086240", "n02859443"} <= set(hypernyms)
    assert "n02391049" not in hypernyms
    assert "'toy'" in hypernyms["n02086240"].what
    assert "at the edge of a river or lake" in hypernyms["n02859443"].what
    # The monarch's definition says 'orange wings', and the fruit is in the list: a colour is no fruit.
    assert set(found_by(definition_pulls(entries))) == {"n04136333"}


def test_a_definition_that_names_another_class():
    entries = class_list("n04532106,n03450230")
    found = found_by(definition_pulls(entries))
    assert found["n04532106"].other == ("n03450230",)
    assert not definition_pulls(entries[:1]), "the gown is not in the list"


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ("n02012849", "crane bird"),
        ("n03126707", "crane, lifting device"),
        ("n01580077", "jay bird"),
        ("n02108089", "boxer dog"),
        ("n02086240", "Shih-Tzu dog"),
        ("n03584829", "smoothing iron"),
        ("n03793489", "computer mouse"),
        ("n02859443", "boathouse at the edge of a river or lake"),
        ("n03481172", "hammer, hand tool"),
    ],
)
def test_proposals(classes, expected):
    entries = class_list(classes)
    assert proposals(entries, [classes], prompts_of(entries)) == {classes: expected}


def test_clarified_prompts_go_first_and_no_two_classes_get_the_same():
    entries = class_list("imagenet-1k")
    prompts = prompts_of(entries)
    found = proposals(entries, prompts, prompts, {"n02012849": "a crane bird"})
    assert found["n02012849"] == "a crane bird"
    both = proposals(entries, ["n02012849", "n03126707"], prompts, {"n02012849": "a crane", "n03126707": "a crane"})
    assert both == {"n02012849": "a crane", "n03126707": "crane, lifting device"}
    assert len(found) == 1000
    assert len({name_key(text) for text in found.values()}) == 1000
    others = {name_key(text): key for key, text in prompts.items()}
    assert all(others.get(name_key(text), key) == key for key, text in found.items())


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_classes_does_not_matter(rng: random.Random):
    entries = class_list("imagenet-r")
    mixed = entries.copy()
    rng.shuffle(mixed)
    prompts = prompts_of(entries)
    parts = (
        lambda one: duplicates(one, prompts),
        lambda one: several_senses(one, prompts),
        hypernym_pulls,
        definition_pulls,
        kinds_of_others,
    )
    for part in parts:
        assert found_by(part(entries)) == found_by(part(mixed))
    assert proposals(entries, prompts, prompts) == proposals(mixed, prompts, prompts)


def test_a_display_name_can_collide_too():
    zebra, goldfish = synset("n02391049"), replace(synset("n01443537"), name="Zebra")
    found = duplicates([zebra, goldfish], prompts_of([zebra, goldfish]))
    assert {one.kind for one in found} == {"duplicate-name"}


@pytest.mark.parametrize("name", ["ambiguity", "duplicates", "pulls", "taxonomy"])
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"synthgap.vocabulary.lint.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
