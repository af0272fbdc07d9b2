"""Prompts: letter for letter what the papers print, and the same for the same arguments."""

import subprocess
import sys

import pytest

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry, Prompt
from synthgap.core.seeds import EVAL_INDEX
from synthgap.prompts import RECIPES, list_prompts, make_prompt
from synthgap.vocabulary import class_list, synset

PAPILLON = synset("n02086910")
WIDGET = ClassEntry("my_widget", "my widget", ("my widget",))
PAPILLON_DEFINITION = "small slender toy spaniel with erect ears and a black-spotted brown to white coat"


@pytest.mark.parametrize(
    ("recipe", "wnid", "prompt"),
    [
        # S 4.1, Fig. 15 and the slides
        ("name", "n02086910", "papillon"),
        ("name", "n03947888", "pirate, pirate ship"),
        ("name", "n01558993", "robin, American robin, Turdus migratorius"),
        # S 4.2 and C.1
        ("hypernym", "n02086910", "papillon, toy spaniel"),
        ("definition", "n02086910", f"papillon, {PAPILLON_DEFINITION}"),
        ("hypernym", "n03947888", "pirate, pirate ship, ship"),
        ("definition", "n03947888", "pirate, pirate ship, a ship that is manned by pirates"),
        ("hypernym", "n02086240", "Shih-Tzu, toy dog"),
        ("hypernym", "n02859443", "boathouse, shed"),
        # both parents of a synset with two
        ("hypernym", "n02084071", "dog, domestic dog, Canis familiaris, canine, domestic animal"),
        # S 4.3
        ("multiple", "n02086910", "a photo of multiple papillon, toy spaniel"),
        ("multiple-different", "n02086910", "a photo of multiple different papillon, toy spaniel"),
        ("background", "n02086910", "papillon, toy spaniel inside airfield"),
        # M Fig. 5
        ("name", "n02012849", "crane"),
        ("disambiguated", "n02012849", "a crane bird"),
        ("disambiguated", "n01580077", "a bird of type jay"),
        ("disambiguated", "n02895154", "breastplate"),
        ("disambiguated", "n03786901", "mortar and pestle"),
        # a class that nobody clarified
        ("disambiguated", "n03126707", "crane"),
    ],
)
def test_printed_prompts(recipe, wnid, prompt):
    assert make_prompt(recipe, synset(wnid), 0, 0) == prompt


def test_sarong_reads_as_the_paper_quotes_it():
    quoted = "a loose skirt consisting of brightly colored fabric wrapped around the body; worn by both women and men in the South Pacific"
    assert make_prompt("definition", synset("n04136333"), 0, 0) == f"sarong, {quoted}"


def test_backgrounds_take_all_scenes_in_turn():
    prompts = [make_prompt("background", PAPILLON, index, 3) for index in range(730)]
    assert len(set(prompts)) == 365
    assert prompts[:365] == prompts[365:]
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


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_as_many_prompts_as_it_says_and_repeats_them(recipe):
    count = RECIPES[recipe].count()
    few = {make_prompt(recipe, PAPILLON, index, 7) for index in range(min(count, 400))}
    assert len(few) == min(count, 400)
    assert make_prompt(recipe, PAPILLON, 11 % count, 7) == make_prompt(recipe, PAPILLON, count + 11 % count, 7)
    assert make_prompt(recipe, PAPILLON, EVAL_INDEX, 7) == make_prompt(recipe, PAPILLON, EVAL_INDEX, 7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("hypernim", "did you mean 'hypernym'"), ("", "the recipes are name, hypernym"), ("x" * 999, "the recipes are")],
)
def test_an_unknown_recipe_is_answered(wrong, message):
    with pytest.raises(InputError, match=message) as error:
        make_prompt(wrong, PAPILLON, 0, 0)
    assert len(str(error.value)) < 250
    with pytest.raises(InputError, match=message):
        list_prompts([PAPILLON], wrong, 3, 0)


def test_lists_of_prompts_hold_each_prompt_once():
    entries = class_list("crane.n.05,papillon.n.01")
    assert list_prompts(entries, "hypernym", 10, 0) == [
        Prompt("n02012849", 0, "crane, wading bird", "hypernym"),
        Prompt("n02086910", 0, "papillon, toy spaniel", "hypernym"),
    ]
    backgrounds = list_prompts(entries, "background", 365, 0)
    assert len({prompt.text for prompt in backgrounds}) == len(backgrounds) == 730
    some = list_prompts(entries, "augmented", 4, 5)
    assert [(prompt.class_key, prompt.index) for prompt in some[2:6]] == [
        ("n02012849", 2),
        ("n02012849", 3),
        ("n02086910", 0),
        ("n02086910", 1),
    ]
    assert some[1].text == make_prompt("augmented", entries[0], 1, 5)


def test_prompts_do_not_depend_on_the_process():
    code = (
        "from synthgap.prompts import make_prompt; from synthgap.vocabulary import synset; import sys;"
        "print(make_prompt('augmented', synset('n02086910'), 41, 7)); assert 'torch' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == make_prompt("augmented", PAPILLON, 41, 7)
