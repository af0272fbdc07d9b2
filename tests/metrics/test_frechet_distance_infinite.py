"""Fréchet distance at infinity: a planted line, populations of known distance, numpy's fit, few images."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from synthgap.metrics import FrechetDistance, frechet_distance, frechet_distance_infinite
from synthgap.metrics._moments import Gaussian, Moments, gaussian, growing, leaving_out


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_a_planted_line_is_found(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([int(n) for n in torch.linspace(30, 300, 15, dtype=torch.float64).round()])

    def planted(a: Gaussian, b: Gaussian, least: int) -> FrechetDistance:
        return FrechetDistance(2.5 + 70 / next(sizes), 0.0, 0.0)

    monkeypatch.setitem(frechet_distance_infinite.__globals__, "between", planted)
    found = metrics.frechet_distance_infinite(normal(500, 2, 0), normal(300, 2, 1), seed=0)
    assert (found.value, found.slope) == pytest.approx((2.5, 70), rel=1e-9)
    assert found.residual == pytest.approx(0, abs=1e-9)
    assert found.sizes.tolist()[:2] == [30, 49]
    assert found.sizes.tolist()[-1] == 300
    assert len(found.sizes) == 15


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_nearer_to_the_populations_distance(metrics: SimpleNamespace, shift: float) -> None:
    d = 16
    raw, line = [], []
    for seed in range(24):
        a, b = normal(2000, d, 2 * seed), 1.2 * normal(2000, d, 2 * seed + 1) + shift
        found = metrics.frechet_distance_infinite(a, b, seed=0)
        raw.append(found.distances[-1].item())
        line.append(found.value)
    truth = d * (0.2**2 + shift**2)
    assert abs(np.mean(line) - truth) < 0.3 * abs(np.mean(raw) - truth)


def test_the_fit_is_numpys_and_the_last_point_is_the_whole(metrics: SimpleNamespace) -> None:
    a, b = normal(120, 4, 0), normal(120, 4, 1)
    found = metrics.frechet_distance_infinite(a, b, seed=3, points=6)
    (slope, value), (squares,), *_ = np.polyfit(1 / found.sizes.numpy(), found.distances.numpy(), 1, full=True)
    assert (found.value, found.slope) == pytest.approx((value, slope), rel=1e-9)
    assert found.residual == pytest.approx(math.sqrt(squares / 6), rel=1e-6)
    assert found.distances[-1].item() == pytest.approx(frechet_distance(a, b).total, rel=1e-9)


def test_the_seed_decides(metrics: SimpleNamespace) -> None:
    a, b = normal(100, 4, 0), normal(90, 4, 1)
    values = [metrics.frechet_distance_infinite(a, b, seed=seed).value for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("n", [0, 1, 8])
def test_too_few_images(metrics: SimpleNamespace, n: int) -> None:
    found = metrics.frechet_distance_infinite(normal(n, 3, 0), normal(99, 3, 1), seed=0)
    assert math.isnan(found.value)
    assert math.isnan(found.slope)
    assert len(found.sizes) == len(found.distances) == 0


@pytest.mark.parametrize("d", [3, 40])
def test_growing_and_shrinking_gaussians_are_those_of_the_rows(d: int) -> None:
    """Whether the sums are added up or the rows are few, and far from the origin."""
    x = normal(100, d, 0) * 2 + 1000
    for size, found in zip([10, 39, 41, 60, 100], growing(x, [10, 39, 41, 60, 100]), strict=True):
        expected = np.cov(x[:size].double().numpy().T)
        np.testing.assert_allclose(found.covariance.numpy(), expected, atol=1e-8)
        np.testing.assert_allclose(found.mean.numpy(), x[:size].double().mean(dim=0).numpy(), rtol=1e-12)
    groups = torch.arange(100) % 4
    whole, rest = leaving_out(x, groups, 4)
    np.testing.assert_allclose(whole.covariance.numpy(), np.cov(x.double().numpy().T), atol=1e-8)
    for left, found in zip(range(4), rest, strict=True):
        np.testing.assert_allclose(found.covariance.numpy(), np.cov(x[groups != left].double().numpy().T), atol=1e-8)
    np.testing.assert_allclose(gaussian(x).covariance.numpy(), np.cov(x.double().numpy().T), atol=1e-8)


def test_moments_of_nothing_add_nothing() -> None:
    x = normal(5, 2, 0)
    whole, empty = Moments.of(x), Moments.of(x[:0])
    for both in (whole + empty, empty + whole):
        assert both.n == 5
        torch.testing.assert_close(both.scatter, whole.scatter)
        torch.testing.assert_close(both.mean, whole.mean)
