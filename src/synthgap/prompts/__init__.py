"""Prompt recipes: a class and an image's index become a prompt. Imports only ``core`` and ``vocabulary``."""

from synthgap.prompts.overrides import Override, load_overrides, read_overrides, shipped_overrides
from synthgap.prompts.recipes import RECIPES, Recipe, find_recipe, list_prompts, make_prompt

__all__ = [
    "RECIPES",
    "Override",
    "Recipe",
    "find_recipe",
    "list_prompts",
    "load_overrides",
    "make_prompt",
    "read_overrides",
    "shipped_overrides",
]
