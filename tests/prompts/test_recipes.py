"""Recipes: the same prompt for the same arguments, and as many prompts as a recipe says it has."""

import subprocess
import sys

import pytest

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.seeds import EVAL_INDEX
from synthgap.prompts import MIXTURES, RECIPES, Material, find_recipes, make_prompt
from synthgap.vocabulary import synset

PAPILLON = synset("n02086910")
WIDGET = ClassEntry("my_widget", "my widget", ("my widget",))
OWN = {"template", "captions"}
"""Recipes that need something of the user's."""


def test_backgrounds_take_all_scenes_in_turn():
    prompts = [make_prompt("background", PAPILLON, index, 3) for index in range(730)]
    assert len(set(prompts)) == 365
    assert all(first == again for first, again in zip(prompts[:365], prompts[365:], strict=True))
    assert prompts[8] == "papillon, toy spaniel inside outdoor apartment building"


def test_a_class_without_parents_or_definition_is_its_name():
    for recipe in ("name", "hypernym", "definition", "disambiguated"):
        assert make_prompt(recipe, WIDGET, 0, 0) == "my widget"
    assert make_prompt("background", WIDGET, 0, 0) == "my widget inside airfield"


def test_clarified_prompts_of_the_user():
    mine = {"n02086910": "a papillon dog"}
    assert make_prompt("disambiguated", PAPILLON, 0, 0, mine) == "a papillon dog"
    assert make_prompt("disambiguated", synset("n02012849"), 0, 0, mine) == "crane"
    assert make_prompt("name", PAPILLON, 0, 0, mine) == "papillon"
    assert " papillon dog, " in make_prompt("augmented", PAPILLON, 0, 0, mine)


def test_augmented_takes_the_clarified_name_without_its_article():
    crane = synset("n02012849")
    assert " crane bird, " in make_prompt("augmented", crane, 5, 0)
    assert " a crane bird, " not in make_prompt("augmented", crane, 5, 0)
    assert " crane, " in make_prompt("augmented", crane, 5, 0, {})
    band = ClassEntry("a_cappella_band", "a cappella band", ("a cappella band",))
    assert " a cappella band, " in make_prompt("augmented", band, 0, 0)


@pytest.mark.parametrize("recipe", sorted(set(RECIPES) - OWN))
def test_a_recipe_has_as_many_prompts_as_it_says_and_repeats_them(recipe):
    count = RECIPES[recipe].count(PAPILLON, Material())
    few = {make_prompt(recipe, PAPILLON, index, 7) for index in range(min(count, 400))}
    assert len(few) == min(count, 400)
    assert make_prompt(recipe, PAPILLON, 11 % count, 7) == make_prompt(recipe, PAPILLON, count + 11 % count, 7)
    # the first eval image is the last of the train images' round
    assert make_prompt(recipe, PAPILLON, EVAL_INDEX, 7) == make_prompt(recipe, PAPILLON, count - 1, 7)


def test_eval_images_take_the_scenes_from_the_last_one_back():
    for position in range(365):
        first = make_prompt("background", PAPILLON, 364 - position, 0)
        assert make_prompt("background", PAPILLON, EVAL_INDEX + position, 0) == first


@pytest.mark.parametrize("recipe", sorted(OWN))
def test_a_recipe_of_the_users_says_what_it_needs(recipe):
    with pytest.raises(InputError, match=f"the recipe '{recipe}' needs .* --{recipe} "):
        make_prompt(recipe, PAPILLON, 0, 0)
    with pytest.raises(InputError, match=f"the recipe '{recipe}' needs"):
        RECIPES[recipe].count(PAPILLON, Material())
    with pytest.raises(InputError, match=f"the recipe '{recipe}' needs"):
        RECIPES[recipe].basis(PAPILLON, Material())


def test_mixtures():
    six = ("name", "hypernym", "definition", "multiple", "multiple-different", "background")
    assert MIXTURES["all-six"] == six
    assert tuple(recipe.name for recipe in find_recipes("all-six")) == six
    assert [recipe.name for recipe in find_recipes(" augmented,all-six ,template")] == ["augmented", *six, "template"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("name,hypernim", "unknown prompt recipe 'hypernim'; did you mean 'hypernym'"),
        ("all-sixx", "did you mean 'all-six'"),
        ("name,,background", "unknown prompt recipe ''; the recipes are name"),
        ("name,", "unknown prompt recipe ''"),
        ("background,all-six", "the recipe 'background' is named twice in 'background,all-six'; name each once"),
    ],
)
def test_a_wrong_mixture_is_answered(wrong, message):
    with pytest.raises(InputError, match=message) as error:
        find_recipes(wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("hypernim", "did you mean 'hypernym'"), ("", "the recipes are name, hypernym"), ("x" * 999, "the recipes are")],
)
def test_an_unknown_recipe_is_answered(wrong, message):
    with pytest.raises(InputError, match=message) as error:
        make_prompt(wrong, PAPILLON, 0, 0)
    assert len(str(error.value)) < 250


def test_prompts_do_not_depend_on_the_process():
    code = (
        "from synthgap.prompts import make_prompt; from synthgap.vocabulary import synset; import sys;"
        "print(make_prompt('augmented', synset('n02086910'), 41, 7)); assert 'torch' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == make_prompt("augmented", PAPILLON, 41, 7)
