"""Covered share: diagonal covariances in closed form, scipy's matrix root, means, subspaces, invariances."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthgap import metrics as plain


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_variances(*variances: float, turn: Tensor, n: int = 30, seed: int = 0) -> Tensor:
    """A sample whose own covariance has exactly these variances along the rows of ``turn``."""
    x = normal(n, len(variances), seed)
    q = torch.linalg.qr(x - x.mean(dim=0)).Q
    return q * math.sqrt(n - 1) * torch.tensor(variances).double().sqrt() @ turn[: len(variances)]


@pytest.mark.parametrize("d", [3, 200])
def test_the_same_principal_directions(metrics: SimpleNamespace, rotation, d: int) -> None:
    turn = rotation(d)
    natural = with_variances(4, 2, 2, turn=turn)
    for variances, share in [((4, 2, 2), 1), ((1, 2, 2), 5 / 8), ((9, 1, 0), 5 / 8), ((0, 0, 99), 2 / 8)]:
        synthetic = with_variances(*variances, turn=turn, n=25, seed=1) + 7
        assert metrics.covered_share(natural=natural, synthetic=synthetic) == pytest.approx(share, abs=1e-9)


def test_turned_directions_against_scipy(metrics: SimpleNamespace) -> None:
    natural, synthetic = normal(50, 6, 0) * torch.arange(1, 7), 2 * normal(40, 6, 1)
    one, two = np.cov(natural.numpy().T), np.cov(synthetic.numpy().T)
    magnitude = scipy.linalg.sqrtm((one - two) @ (one - two)).real
    shared = (np.trace(one) + np.trace(two) - np.trace(magnitude)) / 2  # what both have
    found = metrics.covered_share(natural=natural, synthetic=synthetic)
    assert found == pytest.approx(shared / np.trace(one), rel=1e-6)
    assert 0.1 < found < 0.9


def test_orthogonal_sets_and_one_image_over_and_over(metrics: SimpleNamespace) -> None:
    e = normal(20, 4, 0)
    apart = torch.nn.functional.pad(e, (0, 4)), torch.nn.functional.pad(e, (4, 0))
    assert metrics.covered_share(natural=apart[0], synthetic=apart[1]) == pytest.approx(0, abs=1e-9)
    assert metrics.covered_share(natural=e, synthetic=torch.ones(9, 4).double()) == pytest.approx(0, abs=1e-9)
    assert metrics.covered_share(natural=e, synthetic=100 * e) == pytest.approx(1, abs=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 40), st.integers(0, 10**6))
def test_range_rotation_shift_scale_and_order(n: int, m: int, d: int, seed: int) -> None:
    a, b = normal(n, d, seed), 0.7 * normal(m, d, seed + 1)
    value = plain.covered_share(natural=a, synthetic=b)
    assert 0 <= value <= 1
    turn = torch.linalg.qr(normal(d, d, seed + 2)).Q
    for x, y in [(a @ turn, b @ turn), (a + 3, b - 5), (4 * a, 4 * b), (a.flip(0), b.flip(0))]:
        assert plain.covered_share(natural=x, synthetic=y) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 5), (5, 0)])
def test_too_few_images(metrics: SimpleNamespace, n: int, m: int) -> None:
    assert math.isnan(metrics.covered_share(natural=normal(n, 3, 0), synthetic=normal(m, 3, 1)))
    assert math.isnan(metrics.covered_share(natural=torch.ones(5, 3), synthetic=torch.rand(5, 3)))
