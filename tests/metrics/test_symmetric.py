"""Products and eigenvalues of symmetric matrices, on the CPU's LAPACK and by torch alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthgap.metrics import frechet_distance
from synthgap.metrics._symmetric import add_products, congruent, eigenvalues, mirrored


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(n=st.integers(0, 9), d=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_products_add_up_to_those_of_all_rows(n: int, d: int, seed: int) -> None:
    x = normal(n, d, seed)
    gram = torch.zeros(d, d, dtype=torch.float64)
    for part in x.split(4):
        add_products(gram, part)
    torch.testing.assert_close(mirrored(gram), x.T @ x)


def test_rows_may_lie_apart_in_memory() -> None:
    x = normal(12, 8, 0)[::2, ::2]
    gram = torch.zeros(4, 4, dtype=torch.float64)
    add_products(gram, x)
    torch.testing.assert_close(mirrored(gram), x.T @ x)


@given(d=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_congruent_is_the_product_of_three(d: int, seed: int) -> None:
    x, y = normal(d + 2, d, seed), normal(d + 2, d, seed + 100)
    factor, b = torch.linalg.cholesky(x.T @ x), y.T @ y
    before = factor.clone(), b.clone()
    torch.testing.assert_close(mirrored(congruent(factor, b)), factor.T @ b @ factor)
    assert torch.equal(factor, before[0]) and torch.equal(b, before[1])


@given(n=st.integers(0, 9), d=st.integers(0, 9), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_eigenvalues_read_the_lower_triangle(n: int, d: int, seed: int) -> None:
    x = normal(n, d, seed)
    gram = x.T @ x
    torch.testing.assert_close(eigenvalues(gram.tril()), torch.linalg.svdvals(x.T @ x).flip(0))
    torch.testing.assert_close(eigenvalues(gram.tril()), torch.linalg.eigvalsh(gram))


def test_rows_may_want_a_gradient() -> None:
    x = normal(20, 4, 0)
    found = frechet_distance(x.clone().requires_grad_(), x + 1)
    assert found == frechet_distance(x, x + 1)


def test_a_device_without_lapack_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(40, 13, 0), normal(40, 13, 1)
    factor, b = torch.linalg.cholesky(x.T @ x), y.T @ y
    found = [mirrored(congruent(factor, b)), eigenvalues(b)]
    gram = torch.zeros(13, 13, dtype=torch.float64)
    monkeypatch.setattr("synthgap.metrics._symmetric._by_lapack", lambda matrix: False)
    add_products(gram, x)
    torch.testing.assert_close(mirrored(gram), x.T @ x)
    torch.testing.assert_close([mirrored(congruent(factor, b)), eigenvalues(b)], found)
