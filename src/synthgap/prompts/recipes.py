"""The recipes: how a class becomes the prompt of one of its images (design section 4).

A recipe is a pure function of the class, the image's index, the seed and the clarified prompts; the same arguments
give the same prompt on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry, Prompt
from synthgap.prompts.augmented import augmented, modifiers
from synthgap.prompts.overrides import shipped_overrides
from synthgap.prompts.wording import definition_prompt, hypernym_prompt, name_prompt
from synthgap.vocabulary.shipped import places365


@dataclass(frozen=True, slots=True)
class Request:
    """What a recipe may look at."""

    entry: ClassEntry
    index: int
    seed: int
    clarified: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to write prompts."""

    name: str
    pattern: str
    """For people, with the letters of the papers: c names, h_c hypernyms, d_c definition, b scene."""
    source: str
    make: Callable[[Request], str]
    count: Callable[[], int] = lambda: 1
    """Number of different prompts of one class; from there on they repeat."""


def _background(request: Request) -> str:
    """All 365 scenes in turn, in the order of Places (S 4.3)."""
    scenes = places365()
    return f"{hypernym_prompt(request.entry)} inside {scenes[request.index % len(scenes)]}"


def _disambiguated(request: Request) -> str:
    return request.clarified.get(request.entry.class_key, name_prompt(request.entry))


def _augmented(request: Request) -> str:
    """M Fig. 4 on the clarified names (M Fig. 5, caption), less their article, since adjectives go before them."""
    key = request.entry.class_key
    clarified = re.sub(r"^an? ", "", request.clarified.get(key, ""))
    return augmented(clarified or name_prompt(request.entry), key, request.index, request.seed)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("name", "c", "S 4.1, M Synset", lambda request: name_prompt(request.entry)),
        Recipe("hypernym", "c, h_c", "S 4.2", lambda request: hypernym_prompt(request.entry)),
        Recipe("definition", "c, d_c", "S 4.2", lambda request: definition_prompt(request.entry)),
        Recipe(
            "multiple",
            "a photo of multiple c, h_c",
            "S 4.3",
            lambda request: f"a photo of multiple {hypernym_prompt(request.entry)}",
        ),
        Recipe(
            "multiple-different",
            "a photo of multiple different c, h_c",
            "S 4.3",
            lambda request: f"a photo of multiple different {hypernym_prompt(request.entry)}",
        ),
        Recipe("background", "c, h_c inside b", "S 4.3", _background, lambda: len(places365())),
        Recipe("disambiguated", "clarified c", "M reason 1", _disambiguated),
        Recipe(
            "augmented",
            "looks, extent typical, extent size c, location. style.",
            "M Fig. 4",
            _augmented,
            lambda: modifiers().combinations(),
        ),
    )
}
"""All recipes by name."""


def find_recipe(name: str) -> Recipe:
    """The recipe of this name. Raises InputError, with the nearest name, when there is none."""
    if name not in RECIPES:
        hint = nearest(name, RECIPES) or f"; the recipes are {', '.join(RECIPES)}"
        raise InputError(f"unknown prompt recipe {name[:60]!r}{hint}")
    return RECIPES[name]


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
    more than one prompt. Raises InputError for an unknown recipe, with the nearest known.

    >>> from synthgap.vocabulary import synset
    >>> make_prompt("hypernym", synset("n02086910"), 0, 0)
    'papillon, toy spaniel'
    """
    clarified = shipped_overrides() if overrides is None else overrides
    return find_recipe(recipe).make(Request(entry, index, seed, clarified))


def list_prompts(
    entries: Iterable[ClassEntry],
    recipe: str,
    limit: int,
    seed: int,
    overrides: Mapping[str, str] | None = None,
) -> list[Prompt]:
    """The first prompts of each class, in the order of the classes and indices, without repetition.

    At most ``limit`` of a class: one for a recipe that has one, 365 for ``background``.
    """
    count = min(limit, find_recipe(recipe).count())
    return [
        Prompt(entry.class_key, index, make_prompt(recipe, entry, index, seed, overrides), recipe)
        for entry in entries
        for index in range(count)
    ]
