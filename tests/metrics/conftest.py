"""What the tests of the measures share: shape-checked functions and made-up embeddings."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, SimpleNamespace

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor

import synthgap.metrics

Blobs = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def metrics() -> SimpleNamespace:
    """All public functions, with the shapes of their annotations checked at every call."""
    public = {name: getattr(synthgap.metrics, name) for name in synthgap.metrics.__all__}
    functions = {name: value for name, value in public.items() if isinstance(value, FunctionType)}
    return SimpleNamespace(**{name: jaxtyped(typechecker=beartype)(value) for name, value in functions.items()})


@pytest.fixture(scope="session")
def blobs() -> Blobs:
    """Embeddings with a common mean and a mean per class, as CLIP's have, in random order."""

    def make(
        classes: int = 5, per_class: int = 40, d: int = 16, *, seed: int = 0, draw: int = 0, spread: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        place, rows = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(1000 * seed + draw + 1)
        middles = torch.randn(d, generator=place) + torch.randn(classes, d, generator=place)
        labels = torch.arange(classes).repeat_interleave(per_class)[torch.randperm(classes * per_class, generator=rows)]
        return middles[labels] + spread * torch.randn(len(labels), d, generator=rows), labels

    return make


@pytest.fixture(scope="session")
def rotation() -> Callable[[int, int], Tensor]:
    """A random orthogonal matrix (d, d) in float64."""

    def make(d: int, seed: int = 0) -> Tensor:
        square = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        return torch.linalg.qr(square).Q

    return make
