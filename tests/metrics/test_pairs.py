"""Products of chosen pairs: those of whole matrices, also where torch's sampled product is absent or wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from synthgap.metrics import _pairs
from synthgap.metrics._pairs import pair_products, sampled_is_right


@pytest.fixture(autouse=True)
def fresh_guard() -> Iterator[None]:
    sampled_is_right.cache_clear()
    yield
    sampled_is_right.cache_clear()


def check(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 33, dtype=dtype, generator=generator) for n in (70, 50))
    i, j = (torch.rand(70, 50, generator=generator) < 0.1).nonzero().T
    i, j = i[i != 3], j[i != 3]  # a row without pairs
    torch.testing.assert_close(pair_products(x, y, i, j), (x @ y.T)[i, j])
    assert pair_products(x, y, i[:0], j[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_those_of_the_whole_matrices(dtype: torch.dtype) -> None:
    assert sampled_is_right(dtype)
    check(dtype)


def _absent(*_: Tensor) -> Tensor:
    raise AttributeError("module 'torch.sparse' has no attribute 'sampled_addmm'")


def _in_another_order(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """As of an interface that sorts the columns of each row."""
    return (x @ y.T)[i, (i * len(y) + j).sort().values % len(y)]


def _of_another_type(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return (x @ y.T)[i, j].bfloat16()


@pytest.mark.parametrize("broken", [_absent, _in_another_order, _of_another_type])
def test_a_sampled_product_that_is_wrong_or_absent_is_not_used(
    broken: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pairs, "_sampled", broken)
    assert not sampled_is_right(torch.float32)
    check(torch.float32)


def test_that_sparse_matrices_are_young_is_not_heard(recwarn: pytest.WarningsRecorder) -> None:
    check(torch.float32)
    assert not recwarn.list
