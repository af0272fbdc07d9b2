"""Bootstrap intervals: coverage on known distributions, scipy, strata, small and empty classes, blocks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch

from synthgap import metrics as plain
from synthgap.metrics import _blocks, _resampling


@pytest.mark.parametrize("kind", ["bernoulli", "exponential", "normal"])
def test_interval_of_a_class_covers_its_mean(metrics: SimpleNamespace, kind: str) -> None:
    """Each class is one trial of 60 images from the same distribution."""
    trials, n = 500, 60
    draws = torch.rand(trials * n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values, truth = {
        "bernoulli": ((draws < 0.7).double(), 0.7),
        "exponential": (-draws.clamp_min(1e-12).log(), 1.0),
        "normal": (torch.special.ndtri(draws), 0.0),
    }[kind]
    found = metrics.bootstrap_classes(values, torch.arange(trials).repeat_interleave(n), trials, resamples=300, seed=0)
    assert 0.90 <= float(((found.low <= truth) & (truth <= found.high)).double().mean()) <= 0.97


def test_overall_interval_covers_the_mean(metrics: SimpleNamespace) -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(4).repeat_interleave(torch.tensor([20, 30, 40, 60]))
    chances = torch.tensor([0.1, 0.5, 0.9, 0.7])[labels]
    covered = []
    for trial in range(200):
        values = (torch.rand(150, generator=generator) < chances).double()
        low, high = metrics.bootstrap_interval(values, labels, resamples=200, seed=trial)
        covered.append(low <= float(chances.mean()) <= high)
    assert 0.88 <= np.mean(covered) <= 0.98


def test_strata_narrow_the_interval_to_what_varies_within_classes(metrics: SimpleNamespace) -> None:
    labels = torch.tensor([0, 1]).repeat(100)
    values = labels.double()  # all of the spread lies between the classes
    assert metrics.bootstrap_interval(values, labels, resamples=100, seed=0) == (0.5, 0.5)
    low, high = metrics.bootstrap_interval(values, None, resamples=1000, seed=0)
    half = 1.96 * 0.5 / math.sqrt(200)
    assert low == pytest.approx(0.5 - half, abs=0.01)
    assert high == pytest.approx(0.5 + half, abs=0.01)


def test_against_scipy(metrics: SimpleNamespace) -> None:
    values = -torch.rand(80, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).log()
    found = metrics.bootstrap_interval(values, None, resamples=20_000, seed=0)
    expected = scipy.stats.bootstrap((values.numpy(),), np.mean, n_resamples=20_000, method="percentile")
    assert found == pytest.approx(tuple(expected.confidence_interval), abs=0.01)


def test_classes_of_one_size_give_one_overall_interval(metrics: SimpleNamespace) -> None:
    labels = torch.arange(5).repeat(40)
    values = torch.rand(200, generator=torch.Generator().manual_seed(0))
    over_images = metrics.bootstrap_interval(values, labels, resamples=200, seed=3)
    over_classes = metrics.bootstrap_classes(values, labels, 5, resamples=200, seed=3).overall
    assert over_images == pytest.approx(over_classes, rel=1e-12)


def test_classes_of_unlike_size_do_not(metrics: SimpleNamespace) -> None:
    labels = torch.tensor([0] * 300 + [1] * 20)
    values = torch.cat([torch.ones(300), torch.zeros(20)])
    assert metrics.bootstrap_interval(values, labels, resamples=50, seed=0) == pytest.approx((300 / 320, 300 / 320))
    assert metrics.bootstrap_classes(values, labels, 2, resamples=50, seed=0).overall == (0.5, 0.5)


def test_small_empty_and_unscored_classes(metrics: SimpleNamespace) -> None:
    values = torch.tensor([0.0, 1.0, 1.0, torch.nan, 1.0, torch.nan])
    labels = torch.tensor([0, 0, 1, 1, 2, 3])
    found = metrics.bootstrap_classes(values, labels, 5, resamples=200, seed=0)
    assert found.low.isnan().tolist() == [False, True, True, True, True]
    assert found.overall == pytest.approx((2 / 3, 1.0))  # classes 1 and 2 hold at 1, class 0 moves from 0 to 1
    low, high = metrics.bootstrap_interval(values, labels, resamples=200, seed=0)
    assert (low, high) == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize(
    ("values", "labels"), [([], []), ([1.0], [0]), ([1.0, 0.0], [0, 1]), ([math.nan, math.nan], [0, 0])]
)
def test_nothing_to_resample(metrics: SimpleNamespace, values: list[float], labels: list[int]) -> None:
    of = torch.tensor(labels, dtype=torch.long)
    assert all(math.isnan(end) for end in metrics.bootstrap_interval(torch.tensor(values), of, resamples=9, seed=0))
    found = metrics.bootstrap_classes(torch.tensor(values), of, 2, resamples=9, seed=0)
    assert found.low.isnan().all()
    assert all(math.isnan(end) for end in found.overall)


def test_no_resamples_no_interval(metrics: SimpleNamespace) -> None:
    assert all(math.isnan(end) for end in metrics.bootstrap_interval(torch.rand(5), None, resamples=0, seed=0))
    low, high = plain.bootstrap_statistic(lambda x: [x.mean()], [torch.rand(5, 1)], resamples=0, seed=0)
    assert low.isnan().all()
    assert high.isnan().all()


def test_reproducible_and_dependent_on_the_seed(metrics: SimpleNamespace) -> None:
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    first, again, other = (metrics.bootstrap_interval(values, None, resamples=40, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_many_resamples_come_in_blocks(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels = torch.rand(300, generator=torch.Generator().manual_seed(0)), torch.arange(3).repeat(100)
    whole = metrics.bootstrap_classes(values, labels, 3, resamples=64, seed=0)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 500)
    monkeypatch.setattr(_resampling, "QUANTILE_VALUES", 64)
    parts = metrics.bootstrap_classes(values, labels, 3, resamples=64, seed=0)
    torch.testing.assert_close(parts.low, whole.low, rtol=1e-12, atol=0)
    torch.testing.assert_close(parts.high, whole.high, rtol=1e-12, atol=0)


def test_any_statistic_with_its_bias_taken_out() -> None:
    """The squared length of a mean grows by its scatter, d / n, and in a resample by as much again."""
    generator = torch.Generator().manual_seed(0)
    covered = []
    for trial in range(60):
        x = torch.randn(40, 30, generator=generator)
        low, high = plain.bootstrap_statistic(
            lambda x: [x.mean(dim=0).square().sum(), 5.0], [x], resamples=100, seed=trial
        )
        assert low[0] < x.mean(dim=0).square().sum() < high[0]
        assert low[1] == high[1] == 5
        assert high[0] - low[0] < 2
        covered.append(bool(low[0] <= 30 / 40 <= high[0]))
    assert np.mean(covered) >= 0.9  # the plain percentile interval: hardly ever


def test_statistic_of_two_samples_resamples_each() -> None:
    a, b = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 2)
    low, high = plain.bootstrap_statistic(
        lambda a, b: [float(a.mean() - b.mean()), len(a), len(b)], [a, b], resamples=100, seed=0
    )
    assert low[0] < a.mean() < high[0]
    assert (low[1:].tolist(), high[1:].tolist()) == ([60, 2], [60, 2])
    assert plain.bootstrap_statistic(lambda a, b: [1.0], [a, b[:1]], resamples=9, seed=0)[0].isnan().all()
    with pytest.raises(ValueError, match="samples: found none"):
        plain.bootstrap_statistic(lambda: [1.0], [], resamples=9, seed=0)
