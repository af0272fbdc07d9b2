"""Paired test: scipy's, enumeration, uniform p under the null, power, unscored pairs, symmetries."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthgap import metrics as plain
from synthgap.metrics import _blocks


def pair(n: int, shift: float = 0.0, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return drawn[0] + shift, drawn[1]


def mean_difference(a: np.ndarray, b: np.ndarray, axis: int = 0) -> np.ndarray:
    return np.asarray(np.mean(a - b, axis=axis))


@pytest.mark.parametrize("n", [2, 5, 10])
@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_exact_against_scipy(metrics: SimpleNamespace, n: int, shift: float) -> None:
    a, b = pair(n, shift, seed=n)
    expected = scipy.stats.permutation_test(
        (a.numpy(), b.numpy()), mean_difference, permutation_type="samples", vectorized=True, n_resamples=2**n
    )
    found = metrics.paired_test(a, b, permutations=2**n, seed=0)
    assert found.p_value == pytest.approx(float(expected.pvalue), rel=1e-12)
    assert found.statistic == pytest.approx(float(expected.statistic), rel=1e-12)
    assert found.permutations == 2**n


def test_drawn_flips_come_near_the_exact_ones(metrics: SimpleNamespace) -> None:
    a, b = pair(12, 0.4, seed=2)
    exact = metrics.paired_test(a, b, permutations=4096, seed=0)
    drawn = metrics.paired_test(a, b, permutations=4095, seed=0)
    assert (exact.permutations, drawn.permutations) == (4096, 4095)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.03)
    assert drawn.p_value != exact.p_value
    assert (drawn.p_value * 4096) % 1 == pytest.approx(0, abs=1e-9)


def test_p_is_uniform_where_nothing_changed() -> None:
    found = [plain.paired_test(*pair(30, seed=k), permutations=199, seed=k).p_value for k in range(400)]
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.025 <= np.mean([p <= 0.05 for p in found]) <= 0.08


def test_pairs_see_what_sets_do_not() -> None:
    """Images differ by far more than the change: the differences of pairs do not."""
    images, noise = pair(60)
    before, after = 10 * images, 10 * images + 0.3 + 0.3 * noise
    assert plain.paired_test(after, before, permutations=999, seed=0).p_value == pytest.approx(0.001)
    assert scipy.stats.ttest_ind(after.numpy(), before.numpy()).pvalue > 0.5


@pytest.mark.parametrize("n", [2, 5, 6])
def test_the_smallest_p_of_few_pairs(metrics: SimpleNamespace, n: int) -> None:
    found = metrics.paired_test(torch.arange(n) + 1.0, torch.zeros(n), permutations=1000, seed=0)
    assert found.p_value == 2.0 ** (1 - n)
    drawn = metrics.paired_test(torch.ones(80), torch.zeros(80), permutations=99, seed=0)
    assert drawn.p_value == pytest.approx(0.01, rel=1e-12)


def test_equal_values_and_rounding(metrics: SimpleNamespace) -> None:
    assert metrics.paired_test(torch.ones(40), torch.ones(40), permutations=99, seed=0).p_value == 1
    # 0.1 + 0.2 against 0.3: the two sums are as far from 0 but for rounding
    tied = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64)
    assert metrics.paired_test(tied, torch.zeros_like(tied), permutations=8, seed=0).p_value == 1


def test_right_and_wrong_answers_are_mcnemars_exact_test(metrics: SimpleNamespace) -> None:
    a, b = torch.tensor([1.0] * 9 + [0.0] * 3 + [1.0] * 4), torch.tensor([0.0] * 9 + [1.0] * 3 + [1.0] * 4)
    found = metrics.paired_test(a, b, permutations=2**16, seed=0)
    assert found.p_value == pytest.approx(scipy.stats.binomtest(3, 12).pvalue, rel=1e-12)


def test_unscored_pairs_are_left_out(metrics: SimpleNamespace) -> None:
    a, b = pair(8, 0.5)
    holes = torch.tensor([torch.nan])
    found = metrics.paired_test(torch.cat([a, holes, a[:1]]), torch.cat([b, b[:1], holes]), permutations=256, seed=0)
    assert found == metrics.paired_test(a, b, permutations=256, seed=0)
    assert found.permutations == 256


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan]])
def test_too_few_pairs(metrics: SimpleNamespace, values: list[float]) -> None:
    found = metrics.paired_test(torch.tensor(values), torch.zeros(len(values)), permutations=9, seed=0)
    assert math.isnan(found.p_value)
    assert math.isnan(found.statistic)


def test_small_blocks_change_nothing(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(pair(9, 0.4), 512), (pair(40, 0.2), 300)]
    whole = [metrics.paired_test(*values, permutations=permutations, seed=0) for values, permutations in cases]
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 64)
    parts = [metrics.paired_test(*values, permutations=permutations, seed=0) for values, permutations in cases]
    assert parts == whole
    assert metrics.paired_test(*cases[1][0], permutations=300, seed=1) != whole[1]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=9), st.randoms())
def test_swap_scale_and_order_do_not_matter(values: list[tuple[int, int]], chance) -> None:
    a, b = torch.tensor(values, dtype=torch.float64).T
    found = plain.paired_test(a, b, permutations=512, seed=0)
    order = chance.sample(range(len(values)), len(values))
    changed = plain.paired_test(3 * b[order], 3 * a[order], permutations=512, seed=1)
    assert changed.p_value == found.p_value
    assert changed.statistic == pytest.approx(-3 * found.statistic, rel=1e-9, abs=1e-12)
    assert 2.0 ** (1 - len(values)) <= found.p_value <= 1
