"""The writer of a set's prompts: mixtures, eval images, fingerprints, and classes that mean harm."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry, Prompt
from synthgap.core.seeds import EVAL_INDEX
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import MIXTURES, RECIPES, PromptWriter
from synthgap.prompts.turns import place, share
from synthgap.vocabulary import synset

CRANE, PAPILLON = synset("n02012849"), synset("n02086910")
WIDGET = ClassEntry("my_widget", "my widget", ("my widget",))
TEMPLATES = tuple(f"{number} {{first}}" for number in range(7))
ALL = ",".join(RECIPES)


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captions") / "mine.json"
    path.write_text(json.dumps({"n02012849": [f"crane {n}" for n in range(5)], "papillon": ["a {first} dog"] * 1}))
    return path


def writer(*entries: ClassEntry, **settings: Any) -> PromptWriter:
    return PromptWriter.of(GenerateSpec(**({"template": TEMPLATES} | settings)), entries)


@pytest.mark.parametrize("start", [0, EVAL_INDEX])
def test_recipes_take_turns_and_each_counts_its_own_images(start: int) -> None:
    made = writer(CRANE, recipe="name,background,template,augmented")
    alone = {recipe.name: writer(CRANE, recipe=recipe.name) for recipe in made.recipes}
    seen = Counter[str]()
    for index in range(4 * 365):
        prompt = made.write(CRANE, start + index)
        assert prompt.recipe == ("name", "background", "template", "augmented")[index % 4]
        assert prompt.index == start + index
        assert prompt.text == alone[prompt.recipe].write(CRANE, start + index // 4).text
        seen[prompt.text] += prompt.recipe == "background"
    assert sorted(seen.values())[-365:] == [1] * 365


def test_one_recipe_is_a_mixture_of_one() -> None:
    made = writer(CRANE, recipe="hypernym")
    assert made.write(CRANE, 3) == Prompt("n02012849", 3, "crane, wading bird", "hypernym")


def test_counts_and_first_prompts(captions: Path) -> None:
    made = writer(CRANE, PAPILLON, recipe="name,template,captions,background", captions=captions)
    assert made.count(CRANE) == 1 + 7 + 5 + 365
    assert made.count(PAPILLON) == 1 + 7 + 1 + 365
    assert [prompt.recipe for prompt in made.first(CRANE, 6)] == [
        "name", "template", "captions", "background", "name", "template",
    ]  # fmt: skip
    every = made.first(CRANE, 10_000)
    assert len(every) == 4 * 365
    assert len({prompt.text for prompt in every}) == made.count(CRANE)
    assert len(writer(CRANE, recipe="hypernym").first(CRANE, 10)) == 1
    assert len(writer(CRANE, recipe="background").first(CRANE, 365)) == 365


def test_what_a_recipe_lacks_is_said_before_any_prompt() -> None:
    for recipe, lack in (("template", "--template"), ("captions", "--captions")):
        with pytest.raises(InputError, match=f"the recipe '{recipe}' needs .*{lack}"):
            PromptWriter.of(GenerateSpec(recipe=f"name,{recipe}"), [CRANE])
    with pytest.raises(InputError, match="did you mean 'hypernym'"):
        writer(CRANE, recipe="name,hypernim")


OVERRIDES = "version: 1\noverrides:\n  - {class: n02012849, old: crane, new: a tall grey crane}\n"


def test_settings_without_effect_are_noted(tmp_path: Path, captions: Path) -> None:
    (tmp_path / "mine.yaml").write_text(OVERRIDES)
    made = writer(CRANE, recipe="name", captions=captions, overrides=tmp_path / "mine.yaml")
    assert made.notes == (
        "'template' has no effect on the recipe 'name'; only 'template' use it",
        "'captions' has no effect on the recipe 'name'; only 'captions' use it",
        "'overrides' has no effect on the recipe 'name'; only 'disambiguated' and 'augmented' use it",
    )
    assert writer(CRANE, recipe="name", template=()).notes == ()
    used = writer(CRANE, recipe="disambiguated", template=(), overrides=tmp_path / "mine.yaml")
    assert (used.notes, used.write(CRANE, 0).text) == ((), "a tall grey crane")


def test_a_fingerprint_follows_what_the_class_s_prompts_follow_from(tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text(OVERRIDES)
    (tmp_path / "a.json").write_text('{"crane": ["x"], "papillon": ["y"]}')
    (tmp_path / "b.json").write_text('{"crane": ["x", "z"], "papillon": ["y"]}')

    def same(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, bool]:
        old, new = (writer(CRANE, PAPILLON, **settings) for settings in (before, after))
        return old.fingerprint(CRANE) == new.fingerprint(CRANE), old.fingerprint(PAPILLON) == new.fingerprint(PAPILLON)

    plain: dict[str, Any] = {"recipe": "name"}
    assert same(plain, plain | {"seed": 3, "template": ("x",), "overrides": tmp_path / "over.yaml"}) == (True, True)
    assert same(plain, {"recipe": "hypernym"}) == (False, False)
    assert same({"recipe": "name,hypernym"}, {"recipe": "hypernym,name"}) == (False, False)
    assert same({"recipe": "disambiguated"}, {"recipe": "disambiguated", "overrides": tmp_path / "over.yaml"}) == (
        False,
        True,
    )
    assert same({"recipe": "augmented"}, {"recipe": "augmented", "seed": 3}) == (False, False)
    assert same({"recipe": "template"}, {"recipe": "template", "template": TEMPLATES[:3]}) == (False, False)
    taken: dict[str, Any] = {"recipe": "captions", "captions": tmp_path / "a.json"}
    assert same(taken, taken | {"captions": tmp_path / "b.json"}) == (False, True)
    other = ClassEntry(CRANE.class_key, CRANE.name, ("crane", "Grus"), CRANE.definition, CRANE.hypernyms)
    assert writer(other, recipe="name").fingerprint(other) != writer(CRANE, recipe="name").fingerprint(CRANE)


WORDS = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
HOSTILE = st.sampled_from(
    ["{definition}", "{0}", "a\nb", '"', "'; DROP TABLE", "🦩", "{name.__class__}", "%s", "\\n", "}{", "\x00", "\u202e"]
)
ENTRIES = st.builds(
    lambda name, definition, parent: ClassEntry("own", name, (name,), definition, ((parent,),)),
    WORDS | HOSTILE,
    WORDS | HOSTILE,
    WORDS | HOSTILE,
)
INDICES = st.integers(0, 10**6) | st.integers(EVAL_INDEX, EVAL_INDEX + 10**6)
RECIPE_SETS = st.lists(st.sampled_from(sorted(set(RECIPES) - {"captions"})), min_size=1, unique=True)


@settings(deadline=None)
@given(ENTRIES, RECIPE_SETS, INDICES, st.integers(0, 2**31))
def test_prompts_are_a_pure_function_of_class_index_and_seed(
    entry: ClassEntry, recipes: list[str], index: int, seed: int
) -> None:
    made, again = (writer(entry, CRANE, recipe=",".join(recipes), seed=seed) for _ in range(2))
    wanted = made.write(entry, index)
    for other in random.Random(index).sample(range(1000), 5):
        again.write(CRANE, other)
        again.write(entry, other)
    assert again.write(entry, index) == wanted
    assert (wanted.class_key, wanted.index) == ("own", index)
    assert wanted.recipe == recipes[(index % EVAL_INDEX) % len(recipes)]


@settings(deadline=None)
@given(ENTRIES, INDICES)
def test_a_hostile_class_passes_through_every_recipe_unharmed(entry: ClassEntry, index: int) -> None:
    for recipe in sorted(set(RECIPES) - {"captions"}):
        assert entry.lemmas[0] in writer(entry, recipe=recipe).write(entry, index).text
    assert writer(entry, recipe="name").write(entry, index).text == entry.lemmas[0]
    assert writer(entry, recipe="hypernym").write(entry, index).text == f"{entry.lemmas[0]}, {entry.hypernyms[0][0]}"


@settings(deadline=None, max_examples=20)
@given(st.permutations(["background", "template", "augmented", "captions", "name"]), st.integers(0, 2**31), st.data())
def test_within_a_mixture_no_recipe_repeats_before_its_count(
    captions: Path, recipes: list[str], seed: int, data: st.DataObject
) -> None:
    names = recipes[: data.draw(st.integers(1, len(recipes)))]
    made = writer(CRANE, recipe=",".join(names), seed=seed, captions=captions)
    start = data.draw(st.sampled_from([0, EVAL_INDEX]))
    prompts = [made.write(CRANE, start + index) for index in range(400 * len(names))]
    for recipe in made.recipes:
        own = [prompt.text for prompt in prompts if prompt.recipe == recipe.name]
        count = min(recipe.count(CRANE, made.material), 400)
        assert len(own) == 400
        assert len(set(own[:count])) == count
        assert all(again == first for first, again in zip(own, own[count:], strict=False))


@given(
    st.integers(0, 2**31), st.integers(1, 300), st.integers(1, 300), st.sampled_from(["augmented", "name,augmented"])
)
def test_train_and_eval_share_no_augmented_prompt(seed: int, train: int, held: int, recipe: str) -> None:
    made = writer(CRANE, recipe=recipe, seed=seed)
    first, second = (
        {prompt.text for prompt in (made.write(CRANE, start + index) for index in range(count)) if prompt.recipe == "augmented"}
        for start, count in ((0, train), (EVAL_INDEX, held))
    )  # fmt: skip
    assert first.isdisjoint(second)


def test_train_and_eval_share_no_scene_while_there_are_enough() -> None:
    made = writer(CRANE, recipe="background")
    train, held = (
        {made.write(CRANE, start + index).text for index in range(count)}
        for start, count in ((0, 300), (EVAL_INDEX, 65))
    )
    assert train.isdisjoint(held)


@given(INDICES, st.integers(1, 12), st.integers(1, 1000))
def test_turns_depend_on_positions_alone(index: int, recipes: int, count: int) -> None:
    turn, own = share(index, recipes)
    position = index % EVAL_INDEX
    assert (turn, own % EVAL_INDEX) == (position % recipes, position // recipes)
    assert (own >= EVAL_INDEX) == (index >= EVAL_INDEX)
    assert place(index, count) == (position % count if index < EVAL_INDEX else count - 1 - position % count)


def test_all_ten_recipes_at_once(captions: Path) -> None:
    made = writer(CRANE, PAPILLON, recipe=ALL, captions=captions)
    assert [prompt.recipe for prompt in made.first(PAPILLON, 10)] == list(RECIPES)
    assert made.write(PAPILLON, 9).text == "a {first} dog"
    assert set(MIXTURES["all-six"]) < set(RECIPES)
