"""Fréchet distance: diagonal Gaussians in closed form, scipy's sqrtm, singular covariances, invariances."""

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
from synthgap.metrics import _blocks


def with_moments(n: int, mean: Tensor, deviation: Tensor, seed: int) -> Tensor:
    """A sample whose own mean is exactly ``mean`` and whose own covariance is exactly diagonal."""
    x = torch.randn(n, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    q = torch.linalg.qr(x - x.mean(dim=0)).Q  # orthonormal columns, each of mean 0
    return q * math.sqrt(n - 1) * deviation + mean


def by_scipy(a: Tensor, b: Tensor) -> tuple[float, float]:
    one, two = np.cov(a.double().numpy().T), np.cov(b.double().numpy().T)
    root = np.trace(scipy.linalg.sqrtm(one @ two)).real
    apart = a.double().mean(dim=0) - b.double().mean(dim=0)
    return float(apart @ apart), float(np.trace(one) + np.trace(two) - 2 * root)


def test_diagonal_gaussians(metrics: SimpleNamespace) -> None:
    mean_a, mean_b = torch.tensor([0.0, 1.0, 5.0]).double(), torch.tensor([2.0, 1.0, 4.0]).double()
    spread_a, spread_b = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 2.0, 0.1]).double()
    found = metrics.frechet_distance(with_moments(50, mean_a, spread_a, 0), with_moments(80, mean_b, spread_b, 1))
    assert found.mean_term == pytest.approx(4 + 0 + 1, rel=1e-12)
    assert found.covariance_term == pytest.approx(4 + 0 + 0.16, rel=1e-9)
    assert found.total == found.mean_term + found.covariance_term


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 24), (60, 60, 48), (20, 200, 24), (20, 30, 24)])
def test_against_scipy(metrics: SimpleNamespace, blobs, n: int, m: int, d: int) -> None:
    a, b = blobs(1, n, d)[0], 1.5 * blobs(1, m, d, seed=1)[0]
    found = metrics.frechet_distance(a, b)
    assert (found.mean_term, found.covariance_term) == pytest.approx(by_scipy(a, b), rel=1e-5)


def test_few_images_in_many_dimensions_in_closed_form(metrics: SimpleNamespace) -> None:
    """Two pairs of points: one direction of variance each, at a known angle."""
    angle = 0.7
    along, other = torch.zeros(100).double(), torch.zeros(100).double()
    along[0], other[0], other[1] = 1, math.cos(angle), math.sin(angle)
    a, b = torch.stack([along, -along]), 3 * torch.stack([other, -other])
    # variances 2 and 18; tr((S_a S_b)^(1/2)) = sqrt(2 * 18) |cos|
    found = metrics.frechet_distance(a, b)
    assert found.covariance_term == pytest.approx(20 - 2 * 6 * math.cos(angle), rel=1e-9)
    assert found.mean_term == 0


def test_images_in_a_subspace(metrics: SimpleNamespace, rotation) -> None:
    """More images than dimensions, and yet a singular covariance: the distance is that within the subspace."""
    a, b = (torch.randn(n, 5, generator=torch.Generator().manual_seed(n)).double() for n in (90, 80))
    value = metrics.frechet_distance(a, 2 * b).total
    padded = [torch.nn.functional.pad(e, (0, 20)) for e in (a, 2 * b)]
    assert metrics.frechet_distance(*padded).total == pytest.approx(value, rel=1e-6)
    for seed in range(5):
        turned = [e @ rotation(25, seed) for e in padded]
        assert metrics.frechet_distance(*turned).total == pytest.approx(value, rel=1e-6)
    constant = metrics.frechet_distance(torch.ones(9, 4), 2 * torch.ones(9, 4))
    assert (constant.mean_term, constant.covariance_term) == (4, 0)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (6, 30)])
def test_a_set_against_itself(metrics: SimpleNamespace, blobs, n: int, d: int) -> None:
    e, _ = blobs(1, n, d)
    found = metrics.frechet_distance(e, e[torch.randperm(n, generator=torch.Generator().manual_seed(0))])
    assert found.total == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (1, 5), (5, 1), (0, 0)])
def test_too_few_images(metrics: SimpleNamespace, n: int, m: int) -> None:
    found = metrics.frechet_distance(torch.rand(n, 3), torch.rand(m, 3))
    assert math.isnan(found.total)
    assert math.isnan(found.covariance_term)
    assert math.isnan(found.mean_term) == (min(n, m) == 0)


def test_the_same_in_small_blocks(metrics: SimpleNamespace, blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = blobs(1, 90)[0], blobs(1, 90, seed=1)[0]
    whole = metrics.frechet_distance(a, b)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 7 * 16)
    parts = metrics.frechet_distance(a, b)
    assert (parts.mean_term, parts.covariance_term) == pytest.approx(
        (whole.mean_term, whole.covariance_term), rel=1e-12
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 12), st.integers(0, 10**6))
def test_symmetry_rotation_shift_scale_and_order(n: int, m: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, d, dtype=torch.float64, generator=generator)
    b = 2 * torch.randn(m, d, dtype=torch.float64, generator=generator) + 1
    value = plain.frechet_distance(a, b).total
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    assert value >= 0
    for changed in [(b, a), (a @ turn, b @ turn), (a + 5, b + 5), (a.flip(0), b.flip(0))]:
        assert plain.frechet_distance(*changed).total == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert plain.frechet_distance(3 * a, 3 * b).total == pytest.approx(9 * value, rel=1e-6, abs=1e-9)


def test_interval_by_resampling(blobs) -> None:
    a, b = blobs(1, 80, 4)[0], blobs(1, 80, 4, seed=1)[0]

    def figures(a: Tensor, b: Tensor) -> tuple[float, float, float]:
        found = plain.frechet_distance(a, b)
        return found.total, found.mean_term, found.covariance_term

    low, high = plain.bootstrap_statistic(figures, [a, b], resamples=100, seed=0)
    value = torch.tensor(figures(a, b), dtype=torch.float64)
    assert ((low < value) & (value < high)).all()


@pytest.mark.parametrize(("n", "m"), [(500, 300), (6, 9), (12, 40)])
def test_interval_is_the_plain_jackknifes(metrics: SimpleNamespace, n: int, m: int) -> None:
    """The sums that are added up give what the images themselves give, few of them or many."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(n, 8, generator=generator) + 3, 2 * torch.randn(m, 8, generator=generator)

    def figures(a: torch.Tensor, b: torch.Tensor) -> list[float]:
        found = metrics.frechet_distance(a, b)
        return [found.total, found.mean_term, found.covariance_term]

    low, high = metrics.frechet_distance_interval(a, b, seed=4)
    plain_low, plain_high = metrics.jackknife_interval(figures, [a, b], seed=4)
    torch.testing.assert_close(low, plain_low.clamp_min(0))
    torch.testing.assert_close(high, plain_high)
    assert bool((low < high).all())


def test_no_interval_of_two_images(metrics: SimpleNamespace) -> None:
    low, high = metrics.frechet_distance_interval(torch.randn(2, 3), torch.randn(9, 3), seed=0)
    assert low.isnan().all() and high.isnan().all()
