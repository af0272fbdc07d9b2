"""Lint a class list before anything is drawn: names, WordNet, the prompts of a recipe, and a tokenizer."""

from synthgap.stages.linting.clarify import write_clarified
from synthgap.stages.linting.linting import LintReport, lint_classes

__all__ = ["LintReport", "lint_classes", "write_clarified"]
