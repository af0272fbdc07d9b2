"""Prompt recipes: a class and an image's index become a prompt. Imports only ``core`` and ``vocabulary``."""

from synthgap.prompts.captions import Captions, load_captions
from synthgap.prompts.overrides import Override, load_overrides, read_overrides, shipped_overrides
from synthgap.prompts.recipes import MIXTURES, RECIPES, Material, Recipe, find_recipe, find_recipes, make_prompt
from synthgap.prompts.templates import Template, read_templates
from synthgap.prompts.writer import PromptWriter

__all__ = [
    "MIXTURES",
    "RECIPES",
    "Captions",
    "Material",
    "Override",
    "PromptWriter",
    "Recipe",
    "Template",
    "find_recipe",
    "find_recipes",
    "load_captions",
    "load_overrides",
    "make_prompt",
    "read_overrides",
    "read_templates",
    "shipped_overrides",
]
