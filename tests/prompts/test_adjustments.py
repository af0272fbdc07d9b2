"""Adjustments: what the file may say, what the writer makes of it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from synthgap.commands.words import prompts
from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import PromptWriter
from synthgap.prompts.adjustments import (
    Adjustment,
    adjustments_text,
    load_adjustments,
    read_adjustments,
    recorded_adjustments,
)
from synthgap.stages.generation import write_adjustments
from synthgap.vocabulary import resolve

ENTRIES = resolve("crane.n.05,cat,n03126707").entries
HOSTILE = ClassEntry("x~1234abcd", '../{name}: "<b>\n', ('../{name}: "<b>',))


def write(folder: Path, *rows: str, version: str = "1") -> Path:
    path = folder / "adjustments.yaml"
    path.write_text(f"version: {version}\nadjustments:\n" + "".join(f"  - {{{row}}}\n" for row in rows))
    return path


def test_every_key_is_read_and_written_back(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "class: crane.n.05, prompt: [a crane  bird, a wading bird], guidance_scale: 2, num_inference_steps: 30, "
        "was: {recipe: name}, reason: ambiguous, who: me, when: 2026-11-21",
        "class: Cat, recipe: augmented, apply: false, outcome: worse",
    )
    crane, cat = read_adjustments(path, ENTRIES)
    assert crane == Adjustment(
        "n02012849",
        prompts=("a crane bird", "a wading bird"),
        guidance_scale=2.0,
        num_inference_steps=30,
        was={"recipe": "name"},
        reason="ambiguous",
        who="me",
        when="2026-11-21",
    )
    assert (cat.recipe, cat.apply, cat.outcome) == ("augmented", False, "worse")
    assert set(load_adjustments(path, ENTRIES)) == {"n02012849"}
    path.write_text(adjustments_text([crane, cat], "# head\n"))
    assert read_adjustments(path, ENTRIES) == [crane, cat]


def test_the_file_is_in_the_order_of_class_keys(tmp_path: Path) -> None:
    path = tmp_path / "adjustments.yaml"
    last, first = (Adjustment(key, recipe="augmented") for key in ("n03126707", "n02012849"))
    write_adjustments(path, [last, first])
    assert read_adjustments(path, ENTRIES) == [first, last]


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


@given(st.lists(TEXT, min_size=1, max_size=3), TEXT, st.floats(0, 50))
def test_any_text_survives_the_file(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], reason: str, guidance: float
) -> None:
    one = Adjustment(HOSTILE.class_key, prompts=tuple(prompts), guidance_scale=guidance, reason=reason)
    path = tmp_path_factory.mktemp("file") / "a.yaml"
    path.write_text(adjustments_text([one]), "utf-8")
    assert read_adjustments(path, [HOSTILE]) == [one]


def test_only_the_named_classes_are_written_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path, "class: n02012849, prompt: [one, two]", "class: n03126707, recipe: 'hypernym,definition'")
    spec = GenerateSpec(recipe="augmented", seed=3)
    plain = PromptWriter.of(spec, ENTRIES)
    writer = PromptWriter.of(spec.model_copy(update={"adjustments": path}), ENTRIES)
    crane, cat, machine = ENTRIES
    assert [writer.write(crane, index).text for index in range(3)] == ["one", "two", "one"]
    assert writer.write(crane, 0).recipe == "adjusted" and writer.count(crane) == 2
    assert [writer.write(machine, index).recipe for index in range(3)] == ["hypernym", "definition", "hypernym"]
    assert [writer.write(cat, index) for index in range(9)] == [plain.write(cat, index) for index in range(9)]
    assert writer.fingerprint(cat) == plain.fingerprint(cat) and writer.fingerprint(crane) != plain.fingerprint(crane)


def test_a_recipe_of_one_class_needs_material_for_that_class_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "class: cat, recipe: captions")
    spec = GenerateSpec(recipe="name", adjustments=path)
    with pytest.raises(InputError, match="needs a file of prompts per class"):
        PromptWriter.of(spec, ENTRIES)
    captions = tmp_path / "captions.yaml"
    captions.write_text("cat: [a cat asleep]\n")
    writer = PromptWriter.of(spec.model_copy(update={"captions": captions}), ENTRIES)
    assert writer.write(ENTRIES[1], 5).text == "a cat asleep" and writer.write(ENTRIES[0], 5).text == "crane"
    assert writer.notes == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("class: caat, recipe: name", r"adjustment 1: the set has no class 'caat'; did you mean 'cat'\?"),
        ("class: dog.n.01, recipe: name", "the set has no class 'dog.n.01'"),
        ("class: crane, recipe: name", "'crane' is the name of 2 classes; write one of n02012849, n03126707"),
        ("class: cat, guidence_scale: 2", r"unknown key 'guidence_scale'; did you mean 'guidance_scale'\?"),
        ("class: cat, recipe: hypernim", r"\(n02121620\): unknown prompt recipe 'hypernim'; did you mean 'hypernym'\?"),
        ("class: cat", "changes nothing; give recipe, prompt, guidance_scale or num_inference_steps"),
        ("class: cat, recipe: name, prompt: a cat", "keep one of 'recipe' and 'prompt'"),
        ("class: cat, guidance_scale: true", "'guidance_scale' is True; expected a number"),
        ("class: cat, guidance_scale: -1", "'guidance_scale' is -1; expected a number of at least 0"),
        ("class: cat, guidance_scale: .nan", "'guidance_scale' is nan; expected a number"),
        ("class: cat, num_inference_steps: 2.5", "'num_inference_steps' is 2.5; expected a whole number"),
        ("class: cat, num_inference_steps: 0", "is 0; expected a whole number from 1 to 10000"),
        ("class: cat, num_inference_steps: 10001", "is 10001; expected a whole number from 1 to 10000"),
        ("class: cat, recipe: name, when: 2026-13-01", "is not YAML: month must be in 1..12"),
        ("class: cat, prompt: ['']", "'prompt' holds ''; expected text"),
        ("class: cat, prompt: []", "'prompt' is an empty list"),
        ("class: cat, prompt: 3", "'prompt' holds 3; expected text"),
        ("class: 7, recipe: name", "'class' is 7; expected a class of the set"),
        ("class: cat, recipe: name, apply: maybe", "'apply' is 'maybe'; expected true or false"),
        ("class: cat, recipe: name, was: name", "'was' is 'name'; expected a mapping"),
    ],
)
def test_what_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_adjustments(write(tmp_path, row), ENTRIES)
    assert "\n" not in str(caught.value)


def test_a_set_has_no_more_steps_than_a_class() -> None:
    assert GenerateSpec(num_inference_steps=10_000).num_inference_steps == 10_000
    with pytest.raises(ValidationError, match="less than or equal to 10000"):
        GenerateSpec(num_inference_steps=10_001)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no adjustments file"):
        read_adjustments(tmp_path / "none.yaml", ENTRIES)
    with pytest.raises(InputError, match="n02121620 is adjusted twice; keep one"):
        read_adjustments(write(tmp_path, "class: cat, recipe: name", "class: n02121620, recipe: name"), ENTRIES)
    with pytest.raises(InputError, match="version is 2; expected 1"):
        read_adjustments(write(tmp_path, version="2"), ENTRIES)
    for text, message in (
        ("[", "is not YAML"),
        ("- 1", "holds no mapping"),
        ("version: 1\nadjustments: 3", "is no list"),
    ):
        (tmp_path / "odd.yaml").write_text(text)
        with pytest.raises(InputError, match=message):
            read_adjustments(tmp_path / "odd.yaml", ENTRIES)


def test_what_a_manifest_records_gives_the_same_adjustments(tmp_path: Path) -> None:
    changes = (
        {"recipe": "augmented", "guidance_scale": 2.5},
        {"prompt": ["a cat", "cats"], "num_inference_steps": 30},
        {"prompt": "a machine"},
    )
    recorded = {entry.class_key: dict(change) for entry, change in zip(ENTRIES, changes, strict=True)}
    found = recorded_adjustments(recorded)
    assert {one.class_key: one.changes for one in found} == recorded
    path = tmp_path / "again.yaml"
    path.write_text(adjustments_text(found))
    assert read_adjustments(path, ENTRIES) == found
    assert recorded_adjustments(None) == []
    with pytest.raises(InputError, match="changes nothing"):
        recorded_adjustments({"cat": {}})


def test_the_prompts_of_a_file_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "class: cat, prompt: [a tabby cat, a cat asleep]")
    prompts(classes="crane.n.05,cat", recipe="name", adjustments=path, output="json")
    shown = [(row["class_key"], row["prompt"]) for row in json.loads(capsys.readouterr().out)]
    assert shown == [("n02012849", "crane"), ("n02121620", "a tabby cat"), ("n02121620", "a cat asleep")]
