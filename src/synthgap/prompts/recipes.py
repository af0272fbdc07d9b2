"""The recipes: how a class becomes the prompt of one of its images (design section 4).

A recipe is a pure function of the class, the image's index and the material that a set gives it (its seed, clarified
prompts, templates, captions); the same arguments give the same prompt on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry
from synthgap.prompts.augmented import augmented, modifiers
from synthgap.prompts.captions import Captions
from synthgap.prompts.overrides import shipped_overrides
from synthgap.prompts.templates import Template
from synthgap.prompts.turns import place
from synthgap.prompts.wording import definition_prompt, hypernym_prompt, name_prompt
from synthgap.vocabulary.shipped import places365


@dataclass(frozen=True, slots=True)
class Material:
    """What recipes draw on besides the class: the same for every image of a set."""

    seed: int = 0
    clarified: Mapping[str, str] = field(default_factory=dict)
    """Clarified prompts by class key."""
    templates: tuple[Template, ...] = ()
    captions: Captions | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to write prompts."""

    name: str
    pattern: str
    """For people, with the letters of the papers: c names, h_c hypernyms, d_c definition, b scene."""
    source: str
    make: Callable[[ClassEntry, int, Material], str]
    """Prompt of a class's image with this index."""
    count: Callable[[ClassEntry, Material], int] = lambda _, __: 1
    """Number of prompts of a class; from there on they repeat."""
    basis: Callable[[ClassEntry, Material], Any] = lambda _, __: None
    """What the prompts of a class follow from besides its own words, for the fingerprint."""


def _background(entry: ClassEntry, index: int, _: Material) -> str:
    """All 365 scenes in turn, in the order of Places (S 4.3)."""
    scenes = places365()
    return f"{hypernym_prompt(entry)} inside {scenes[place(index, len(scenes))]}"


def _disambiguated(entry: ClassEntry, _: int, material: Material) -> str:
    return material.clarified.get(entry.class_key, name_prompt(entry))


def _augmented(entry: ClassEntry, index: int, material: Material) -> str:
    """M Fig. 4 on the clarified names (M Fig. 5, caption), less their article, since adjectives go before them."""
    clarified = re.sub(r"^an? ", "", material.clarified.get(entry.class_key, ""))
    return augmented(clarified or name_prompt(entry), entry.class_key, index, material.seed)


def _template(entry: ClassEntry, index: int, material: Material) -> str:
    return material.templates[place(index, len(_templates(material)))].fill(entry)


def _templates(material: Material) -> list[str]:
    if not material.templates:
        raise InputError("the recipe 'template' needs templates, such as --template 'a photo of {name}'")
    return [template.text for template in material.templates]


def _caption(entry: ClassEntry, index: int, material: Material) -> str:
    captions = _captions(material)
    return captions.prompt(entry.class_key, place(index, captions.count(entry.class_key)))


def _captions(material: Material) -> Captions:
    if material.captions is None:
        raise InputError("the recipe 'captions' needs a file of prompts per class: --captions FILE")
    return material.captions


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("name", "c", "S 4.1, M Synset", lambda entry, _, __: name_prompt(entry)),
        Recipe("hypernym", "c, h_c", "S 4.2", lambda entry, _, __: hypernym_prompt(entry)),
        Recipe("definition", "c, d_c", "S 4.2", lambda entry, _, __: definition_prompt(entry)),
        Recipe(
            "multiple",
            "a photo of multiple c, h_c",
            "S 4.3",
            lambda entry, _, __: f"a photo of multiple {hypernym_prompt(entry)}",
        ),
        Recipe(
            "multiple-different",
            "a photo of multiple different c, h_c",
            "S 4.3",
            lambda entry, _, __: f"a photo of multiple different {hypernym_prompt(entry)}",
        ),
        Recipe(
            "background",
            "c, h_c inside b",
            "S 4.3",
            _background,
            count=lambda _, __: len(places365()),
            basis=lambda _, __: places365(),
        ),
        Recipe(
            "disambiguated",
            "clarified c",
            "M reason 1",
            _disambiguated,
            basis=lambda entry, material: material.clarified.get(entry.class_key),
        ),
        Recipe(
            "augmented",
            "looks, extent typical, extent size c, location. style.",
            "M Fig. 4",
            _augmented,
            count=lambda _, __: modifiers().combinations(),
            basis=lambda entry, material: [
                material.seed,
                material.clarified.get(entry.class_key),
                modifiers().slots(),
            ],
        ),
        Recipe(
            "template",
            "your templates in turn",
            "",
            _template,
            count=lambda _, material: len(_templates(material)),
            basis=lambda _, material: _templates(material),
        ),
        Recipe(
            "captions",
            "your prompts of the class in turn",
            "",
            _caption,
            count=lambda entry, material: _captions(material).count(entry.class_key),
            basis=lambda entry, material: _captions(material).prompts(entry.class_key),
        ),
    )
}
"""All recipes by name."""

MIXTURES = {"all-six": ("name", "hypernym", "definition", "multiple", "multiple-different", "background")}
"""Names for several recipes that take turns: S Table 2, "all six prompts above"."""


def find_recipe(name: str) -> Recipe:
    """The recipe of this name. Raises InputError, with the nearest name, when there is none."""
    if name not in RECIPES:
        known = (*RECIPES, *MIXTURES)
        hint = nearest(name, known) or f"; the recipes are {', '.join(known)}"
        raise InputError(f"unknown prompt recipe {name[:60]!r}{hint}")
    return RECIPES[name]


def find_recipes(text: str) -> tuple[Recipe, ...]:
    """The recipes that a text names, one or several with commas, in the order of their turns.

    Raises InputError for an unknown one, with the nearest, and for one that is named twice.

    >>> [recipe.name for recipe in find_recipes("name, background")]
    ['name', 'background']
    """
    words = [word.strip() for word in text.split(",")]
    names = [name for word in words for name in MIXTURES.get(word, (word,))]
    recipes = tuple(find_recipe(name) for name in names)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"the recipe {twice!r} is named twice in {text[:120]!r}; name each once")
    return recipes


def make_prompt(
    recipe: str,
    entry: ClassEntry,
    index: int,
    seed: int,
    overrides: Mapping[str, str] | None = None,
) -> str:
    """Prompt of one image of a class: the same arguments always give the same prompt.

    ``overrides`` maps class keys to clarified prompts, for ``disambiguated`` and ``augmented``; None stands for the
    shipped ones (M's printed examples), an empty mapping for none. ``index`` and ``seed`` matter only to recipes with
    more than one prompt. Raises InputError for an unknown recipe, with the nearest known. ``PromptWriter`` knows
    mixtures, templates and captions too.

    >>> from synthgap.vocabulary import synset
    >>> make_prompt("hypernym", synset("n02086910"), 0, 0)
    'papillon, toy spaniel'
    """
    clarified = shipped_overrides() if overrides is None else overrides
    return find_recipe(recipe).make(entry, index, Material(seed, clarified))
