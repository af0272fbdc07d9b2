"""Permutation test: uniform p under the null, power, scipy's test, invariances, small sets, blocks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from torch import Tensor

from synthgap import metrics as plain
from synthgap.metrics import _blocks
from synthgap.metrics._blocks import unit


def pair(n: int = 20, m: int = 20, d: int = 6, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(n + m, d, generator=torch.Generator().manual_seed(seed)) + 1
    return drawn[:n], drawn[n:]


def by_scikit_learn(x: np.ndarray, first: np.ndarray) -> float:
    """Unbiased squared discrepancy of the rows marked and the others."""
    sigma = np.median(euclidean_distances(x)[np.triu_indices(len(x), 1)])
    kernel = rbf_kernel(x, gamma=1 / (2 * sigma**2))
    within = [kernel[np.ix_(side, side)][~np.eye(side.sum(), dtype=bool)].mean() for side in (first, ~first)]
    return float(sum(within) - 2 * kernel[np.ix_(first, ~first)].mean())


def test_p_is_uniform_where_the_sets_are_alike() -> None:
    """Of unlike sizes; 0.05 and below comes in 5 % of 300 trials."""
    found = [plain.permutation_test(*pair(15, 25, seed=k), permutations=99, seed=k).p_value for k in range(300)]
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean([p <= 0.05 for p in found]) <= 0.08


def test_power_for_a_shift_and_for_a_spread() -> None:
    shifted, wider = [], []
    for trial in range(30):
        a, b = pair(40, 40, seed=trial)
        shifted.append(plain.permutation_test(a, b + 1.5 * torch.eye(6)[0], permutations=99, seed=trial).p_value)
        # of one mean direction, and twice the spread around it
        wider.append(plain.permutation_test(a + 2, 2 * (b - 1) + 3, permutations=99, seed=trial).p_value)
    assert np.mean([p <= 0.05 for p in shifted]) > 0.8
    assert np.mean([p <= 0.05 for p in wider]) > 0.8


def test_the_smallest_p_is_the_one_of_no_deal_as_large(metrics: SimpleNamespace) -> None:
    a, b = pair(30, 30)
    for permutations in (9, 99, 500):
        found = metrics.permutation_test(a, b - 4, permutations=permutations, seed=0)
        assert found.p_value == pytest.approx(1 / (1 + permutations), rel=1e-12)
        assert found.permutations == permutations


def test_against_scipy_over_all_arrangements(metrics: SimpleNamespace) -> None:
    a, b = pair(5, 5, seed=8)
    x = unit(torch.cat([a, b])).numpy()

    def statistic(first: np.ndarray, second: np.ndarray) -> float:
        return by_scikit_learn(x, np.isin(np.arange(10), first))

    rows = (np.arange(5), np.arange(5, 10))
    expected = scipy.stats.permutation_test(
        rows, statistic, permutation_type="independent", alternative="greater", n_resamples=252
    )
    found = metrics.permutation_test(a, b, permutations=20_000, seed=0)
    assert found.statistic == pytest.approx(float(expected.statistic), rel=1e-9)
    assert found.p_value == pytest.approx(float(expected.pvalue), abs=0.011)
    assert 0.05 < expected.pvalue < 0.95


def test_the_statistic_is_the_kernel_distance_at_the_median(metrics: SimpleNamespace) -> None:
    a, b = pair(17, 30, seed=3)
    x = unit(torch.cat([a, b]))
    sigma = float(np.median(euclidean_distances(x.numpy())[np.triu_indices(47, 1)]))
    found = metrics.permutation_test(a, b, permutations=9, seed=0).statistic
    assert found == pytest.approx(metrics.kernel_distance(x[:17], x[17:], sigma=sigma), rel=1e-9)
    assert found == pytest.approx(by_scikit_learn(x.numpy(), np.arange(47) < 17), rel=1e-9)


def test_swap_scale_rotation_and_order(metrics: SimpleNamespace, rotation) -> None:
    a, b = pair(25, 35, seed=7)
    found = metrics.permutation_test(a, b, permutations=4000, seed=0)
    lengths = torch.rand(25, 1, generator=torch.Generator().manual_seed(0)) + 0.1
    for others in [(b, a), (a * lengths, b * 9), (a.flip(0), b), (a.double() @ rotation(6), b.double() @ rotation(6))]:
        again = metrics.permutation_test(*others, permutations=4000, seed=1)
        assert again.statistic == pytest.approx(found.statistic, rel=1e-5)
        assert again.p_value == pytest.approx(found.p_value, abs=0.04)
    assert 0.02 < found.p_value < 0.98


def test_sets_that_are_the_same_and_vectors_that_are_all_one(metrics: SimpleNamespace) -> None:
    a, _ = pair()
    assert metrics.permutation_test(a, a, permutations=99, seed=0).p_value > 0.9
    found = metrics.permutation_test(torch.ones(4, 3), 7 * torch.ones(6, 3), permutations=99, seed=0)
    assert (found.p_value, found.statistic) == (1.0, 0.0)
    # most pairs are identical: sigma is the distance of those that differ
    prompts, others = torch.eye(3)[[0] * 20], torch.eye(3)[[0] * 14 + [2] * 6]
    found = metrics.permutation_test(prompts, others, permutations=499, seed=0)
    assert found.statistic == pytest.approx(metrics.kernel_distance(prompts, others, sigma=math.sqrt(2)), rel=1e-9)
    assert 0.005 < found.p_value < 0.05


@pytest.mark.parametrize(("n", "m"), [(0, 5), (1, 5), (5, 1), (0, 0)])
def test_too_few_images(metrics: SimpleNamespace, n: int, m: int) -> None:
    found = metrics.permutation_test(*pair(n, m), permutations=9, seed=0)
    assert math.isnan(found.p_value)
    assert math.isnan(found.statistic)


def test_reproducible_in_small_blocks_too(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair(seed=7)
    found = metrics.permutation_test(a, b, permutations=300, seed=0)
    assert metrics.permutation_test(a, b, permutations=300, seed=0) == found
    assert metrics.permutation_test(a, b, permutations=300, seed=1) != found
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 64)
    assert metrics.permutation_test(a, b, permutations=300, seed=0) == found


def test_large_sets_are_drawn_from(metrics: SimpleNamespace) -> None:
    a, b = pair(2600, 1500, 3)
    found = metrics.permutation_test(a, b, permutations=1, seed=0)
    assert found != metrics.permutation_test(a, b, permutations=1, seed=1)
    used = a[torch.randperm(2600, generator=torch.Generator().manual_seed(0))[:2000]]
    assert found.statistic == pytest.approx(
        metrics.permutation_test(used, b, permutations=1, seed=5).statistic, rel=1e-9
    )
