"""The examples in the docstrings of prompts and presets run."""

import doctest
import importlib
import pkgutil

import pytest

import synthgap.prompts

MODULES = [
    "synthgap.stages.presets",
    *(info.name for info in pkgutil.walk_packages(synthgap.prompts.__path__, "synthgap.prompts.")),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 10
