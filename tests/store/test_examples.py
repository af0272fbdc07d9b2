"""The examples in the docstrings of core and store run."""

import doctest
import importlib
import pkgutil

import pytest

import synthgap.core
import synthgap.store

MODULES = [
    info.name for package in (synthgap.core, synthgap.store)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 10
