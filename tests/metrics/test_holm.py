"""Holm's correction: a worked example, the closed test it is a shortcut of, order, untested classes, false findings."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgap import metrics as plain

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def closed(p_values: list[float]) -> list[float]:
    """Largest Bonferroni p-value of any set of tests that holds the one in question (Marcus et al. 1976)."""
    places = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(places, size)]
    return [
        max(min(1.0, len(chosen) * min(p_values[i] for i in chosen)) for chosen in sets if place in chosen)
        for place in places
    ]


def test_worked_example(metrics: SimpleNamespace) -> None:
    found = metrics.holm(torch.tensor([0.01, 0.04, 0.03, 0.005], dtype=torch.float64))
    assert found.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02], rel=1e-12)
    assert metrics.holm(torch.tensor([0.2, 0.9, 0.6])).tolist() == pytest.approx([0.6, 1.0, 1.0], rel=1e-6)


def test_untested_classes_do_not_count(metrics: SimpleNamespace) -> None:
    found = metrics.holm(torch.tensor([torch.nan, 0.02, torch.nan, 0.03], dtype=torch.float64))
    assert found.isnan().tolist() == [True, False, True, False]
    assert found[[1, 3]].tolist() == pytest.approx([0.04, 0.04], rel=1e-12)
    assert metrics.holm(torch.full((3,), torch.nan)).isnan().all()
    assert metrics.holm(torch.empty(0)).shape == (0,)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(P_VALUES)
def test_it_is_the_closed_bonferroni_test(p_values: list[float]) -> None:
    found = plain.holm(torch.tensor(p_values, dtype=torch.float64))
    assert found.tolist() == pytest.approx(closed(p_values), rel=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(P_VALUES, st.randoms())
def test_order_is_kept(p_values: list[float], chance) -> None:
    given_ = torch.tensor(p_values, dtype=torch.float64)
    order = chance.sample(range(len(p_values)), len(p_values))
    found = plain.holm(given_)
    assert torch.equal(plain.holm(given_[order]), found[order])
    assert (found >= given_).all()
    assert (found <= (given_ * len(p_values)).clamp(max=1)).all()  # never stricter than Bonferroni
    ranked = found[given_.argsort()]
    assert (ranked[1:] >= ranked[:-1]).all()


def test_false_findings_are_as_rare_as_stated() -> None:
    drawn = torch.rand(2000, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = torch.stack([plain.holm(row) for row in drawn])
    assert 0.035 <= float((found <= 0.05).any(dim=1).double().mean()) <= 0.065
    assert float((drawn <= 0.05).any(dim=1).double().mean()) > 0.5


@pytest.mark.parametrize("wrong", [-0.01, 1.01])
def test_values_that_are_no_p_values(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"^p_values: 1 of 2 values are outside \[0, 1\]"):
        plain.holm(torch.tensor([0.5, wrong]))
    assert plain.holm(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
