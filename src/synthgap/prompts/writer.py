"""The prompts of a whole set: one recipe, or several that take turns, with all that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from synthgap.core.fingerprint import fingerprint
from synthgap.core.records import ClassEntry, Prompt
from synthgap.core.specs import GenerateSpec
from synthgap.prompts.adjustments import Adjustment, load_adjustments
from synthgap.prompts.captions import Captions, load_captions
from synthgap.prompts.overrides import load_overrides, shipped_overrides
from synthgap.prompts.recipes import Material, Recipe, find_recipes
from synthgap.prompts.templates import check_templates, read_templates
from synthgap.prompts.turns import share

_USERS = {"template": ("template",), "captions": ("captions",), "overrides": ("disambiguated", "augmented")}
"""Recipes that look at each of a spec's settings."""


@dataclass(frozen=True)
class PromptWriter:
    """Writes the prompt of any image of a set, in any order, always the same.

    Image k of a class and split gets recipe k mod R of R recipes, as that recipe's image k div R; each recipe goes
    through its own prompts in turn and begins again after the last.
    """

    recipes: tuple[Recipe, ...]
    material: Material = field(default_factory=Material)
    notes: tuple[str, ...] = ()
    """What the user should know: settings without effect, classes that a template has no words for; a line each."""
    adjustments: Mapping[str, Adjustment] = field(default_factory=dict)
    """What single classes are drawn with instead, by class key."""

    @classmethod
    def of(cls, spec: GenerateSpec, entries: Sequence[ClassEntry]) -> Self:
        """The writer of a spec for its classes.

        Raises InputError for an unknown recipe, and for a template or a file that is missing, wrong or lacks a class.
        """
        recipes = find_recipes(spec.recipe)
        adjustments = {} if spec.adjustments is None else load_adjustments(spec.adjustments, entries)
        own = [recipe for one in adjustments.values() for recipe in one.recipes()]
        names = {recipe.name for recipe in (*recipes, *own)}
        clarified = shipped_overrides() if spec.overrides is None else load_overrides(spec.overrides, entries)
        templates = read_templates(spec.template) if "template" in names else ()
        writer = cls(
            recipes,
            Material(
                spec.seed, _of_classes(clarified, entries), templates, _captions(spec, recipes, adjustments, entries)
            ),
            (*_unused(spec, names), *check_templates(templates, entries)),
            adjustments,
        )
        for entry in (*entries[:1], *(entry for entry in entries if entry.class_key in adjustments)):
            writer.count(entry)  # a recipe without what it needs says so now
        return writer

    def recipes_of(self, entry: ClassEntry) -> tuple[Recipe, ...]:
        """The recipes that take turns for a class: its own, where it is adjusted."""
        adjustment = self.adjustments.get(entry.class_key)
        return (adjustment.recipes() if adjustment is not None else ()) or self.recipes

    def write(self, entry: ClassEntry, index: int) -> Prompt:
        """Prompt of the image with this index, with the recipe that wrote it; eval images count from ``EVAL_INDEX``."""
        recipes = self.recipes_of(entry)
        turn, own_index = share(index, len(recipes))
        recipe = recipes[turn]
        return Prompt(entry.class_key, index, recipe.make(entry, own_index, self.material), recipe.name)

    def count(self, entry: ClassEntry) -> int:
        """Number of prompts that the recipes have for a class, all together."""
        return sum(recipe.count(entry, self.material) for recipe in self.recipes_of(entry))

    def first(self, entry: ClassEntry, limit: int) -> list[Prompt]:
        """Prompts of the first train images of a class, at most ``limit``, until every prompt has been written once.

        In a mixture a recipe with few prompts repeats its own while another goes on.
        """
        recipes = self.recipes_of(entry)
        turns = max(recipe.count(entry, self.material) for recipe in recipes)
        return [self.write(entry, index) for index in range(min(limit, turns * len(recipes)))]

    def fingerprint(self, entry: ClassEntry) -> str:
        """Hash of all that the prompts of a class follow from, and of nothing that only other classes' do."""
        words = [entry.class_key, entry.lemmas, entry.definition, entry.hypernyms]
        return fingerprint(
            words, [[recipe.name, recipe.basis(entry, self.material)] for recipe in self.recipes_of(entry)]
        )


def _captions(
    spec: GenerateSpec, recipes: Sequence[Recipe], adjusted: Mapping[str, Adjustment], entries: Sequence[ClassEntry]
) -> Captions | None:
    """The captions of the classes that are drawn from some: of all, or of those that are adjusted to be."""

    def asked(names: Sequence[Recipe]) -> bool:
        return any(recipe.name == "captions" for recipe in names)

    own = {key for key, one in adjusted.items() if asked(one.recipes())}
    users = entries if asked(recipes) else [entry for entry in entries if entry.class_key in own]
    return load_captions(spec.captions, users) if spec.captions and users else None


def _of_classes(clarified: Mapping[str, str], entries: Sequence[ClassEntry]) -> dict[str, str]:
    return {entry.class_key: clarified[entry.class_key] for entry in entries if entry.class_key in clarified}


def _unused(spec: GenerateSpec, names: set[str]) -> list[str]:
    """Settings that no recipe of the spec looks at."""
    return [
        f"'{setting}' has no effect on the recipe {spec.recipe!r}; only {' and '.join(repr(one) for one in users)} use it"
        for setting, users in _USERS.items()
        if getattr(spec, setting) and not names.intersection(users)
    ]
