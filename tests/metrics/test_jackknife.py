"""Jackknife intervals: coverage, the textbook value for a mean, invariances, small samples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import scipy.stats
import torch
from torch import Tensor


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_of_a_mean_it_is_students_interval_of_the_group_means(metrics: SimpleNamespace) -> None:
    """With groups of one image each size, leaving a group out of a mean is the t interval of the ten group means."""
    x = normal(20, 1, seed=0)
    low, high = metrics.jackknife_interval(lambda x: [x.mean()], [x], seed=3)
    groups = torch.randperm(20, generator=torch.Generator().manual_seed(3)) % 10
    means = torch.stack([x[groups == group].mean() for group in range(10)])
    expected = scipy.stats.t.interval(0.95, 9, loc=float(x.mean()), scale=scipy.stats.sem(means.numpy()))
    assert (float(low), float(high)) == pytest.approx(expected)


def test_it_covers_what_it_estimates(metrics: SimpleNamespace) -> None:
    """A figure of two samples: the difference of their variances, 3 in the population."""
    covered = 0
    for trial in range(200):
        a, b = 2 * normal(100, 1, seed=2 * trial), normal(60, 1, seed=2 * trial + 1)
        low, high = metrics.jackknife_interval(lambda a, b: [a.var() - b.var()], [a, b], seed=trial)
        covered += bool(low <= 3 <= high)
    assert 0.89 <= covered / 200 <= 0.99


def test_vendi_score_is_covered_where_a_bootstrap_is_not(metrics: SimpleNamespace) -> None:
    """The mean score of other samples of the same size lies within; images that are there twice would lower it."""
    scores = torch.tensor([metrics.vendi_score(normal(80, 40, seed=1000 + trial)) for trial in range(200)])
    covered = 0
    for trial in range(40):
        sample = [normal(80, 40, seed=trial)]
        low, high = metrics.jackknife_interval(lambda x: [metrics.vendi_score(x)], sample, seed=0)
        covered += bool(low <= scores.mean() <= high)
    assert covered >= 34
    _, high = metrics.bootstrap_statistic(
        lambda x: [metrics.vendi_score(x[torch.randint(80, (80,))])], [normal(80, 40, seed=0)], resamples=20, seed=0
    )
    assert float(high) < float(scores.mean())


def test_figures_are_told_apart_and_scale(metrics: SimpleNamespace) -> None:
    x = normal(50, 3, seed=1)
    low, high = metrics.jackknife_interval(lambda x: [x.sum(), 2 * x.sum(), 5.0], [x], seed=0)
    assert low.shape == high.shape == (3,)
    assert 2 * (high[0] - low[0]) == pytest.approx(float(high[1] - low[1]))
    assert float(low[2]) == float(high[2]) == 5.0
    assert float(low[0] + high[0]) / 2 == pytest.approx(float(x.sum()))


def test_too_few_images_have_no_interval(metrics: SimpleNamespace) -> None:
    low, high = metrics.jackknife_interval(
        lambda a, b: [1.0, 2.0], [normal(2, 2, seed=0), normal(50, 2, seed=1)], seed=0
    )
    assert low.isnan().all() and high.isnan().all()
    assert low.shape == (2,)


@pytest.mark.parametrize("n", range(3, 11))
def test_few_images_are_a_group_each(metrics: SimpleNamespace, n: int) -> None:
    x = normal(n, 1, seed=n)
    low, high = metrics.jackknife_interval(lambda x: [x.mean()], [x], seed=0)
    expected = scipy.stats.t.interval(0.95, n - 1, loc=float(x.mean()), scale=scipy.stats.sem(x[:, 0].numpy()))
    assert (float(low), float(high)) == pytest.approx(expected)


def test_no_sample_is_refused(metrics: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="samples: found none"):
        metrics.jackknife_interval(lambda: [1.0], [], seed=0)
