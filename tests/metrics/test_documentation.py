"""The examples in the docstrings run, the public names are all documented, and shapes are really checked here."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from jaxtyping import TypeCheckError

import synthgap.metrics

FOLDER = Path(str(synthgap.metrics.__file__)).parent
MODULES = [module.name for module in pkgutil.iter_modules([str(FOLDER)])]
FUNCTIONS = [name for name in synthgap.metrics.__all__ if inspect.isfunction(getattr(synthgap.metrics, name))]


def load(name: str) -> ModuleType:
    return importlib.import_module(f"synthgap.metrics.{name}")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    found = doctest.testmod(load(name))
    assert found.failed == 0
    assert found.attempted > 0 or name.startswith("_")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_has_every_part(name: str) -> None:
    text = inspect.getdoc(getattr(synthgap.metrics, name)) or ""
    missing = [part for part in ("Args:", "Returns:", "Raises:", "Example:", ">>>") if part not in text]
    assert not missing
    assert text.splitlines()[0].endswith(".")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_imports_only_torch_jaxtyping_and_the_standard_library(path: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    outside = {
        name
        for name in names
        if name.split(".")[0] not in {"torch", "jaxtyping", *sys.stdlib_module_names}
        and not name.startswith("synthgap.metrics")
    } - ({"scipy.linalg"} if path.stem == "_symmetric" else set())
    assert outside == set()


def test_a_file_for_every_measure() -> None:
    measures = {
        "centroid_accuracy",
        "knn_accuracy",
        "average_cosine_similarity",
        "centroid_distance",
        "centroid_shift",
        "linear_separability",
        "frechet_distance",
        "attribution",
        "gaussian_accuracy",
        "kernel_density_accuracy",
        "logistic_accuracy",
        "permutation_test",
        "paired_test",
        "holm",
        "bootstrap_over_classes",
    }
    assert measures <= set(MODULES)
    assert measures <= set(synthgap.metrics.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_guide_names_every_function(name: str) -> None:
    guide = FOLDER.parents[2] / "docs" / "metrics.md"
    if not guide.is_file():
        pytest.skip("the guide is not part of an installed package")
    assert f"`{name}`" in guide.read_text(encoding="utf-8")


def test_shapes_are_checked_in_tests(metrics: SimpleNamespace) -> None:
    with pytest.raises(TypeCheckError):
        metrics.centroids(torch.ones(4, 2), torch.zeros(5, dtype=torch.long), 1)
