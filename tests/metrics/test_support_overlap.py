"""Precision, recall, density, coverage: points on a line, duplicates, the prdc package, expectations, blocks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from torch import Tensor

from synthgap import metrics as plain
from synthgap.metrics import SupportOverlap, _blocks

NAMES = ("precision", "recall", "density", "coverage")


def figures(found: SupportOverlap) -> list[float]:
    return [getattr(found, name) for name in NAMES]


def line(*places: float) -> Tensor:
    return torch.tensor(places, dtype=torch.float64).unsqueeze(1)


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_points_on_a_line(metrics: SimpleNamespace) -> None:
    # natural balls reach 1, 1, 4, synthetic ones 2, 2, 12
    found = metrics.support_overlap(natural=line(0, 1, 5), synthetic=line(3.5, 5.5, 17.5), k=1)
    assert found.balls.tolist() == [1, 1, 0]
    assert found.precise.tolist() == [1, 1, 0]
    assert found.covered.tolist() == [0, 0, 1]
    assert found.recalled.tolist() == [0, 0, 1]
    assert figures(found) == pytest.approx([2 / 3, 1 / 3, 2 / 3, 1 / 3])


def test_the_edge_belongs_to_the_ball(metrics: SimpleNamespace) -> None:
    assert metrics.precision(natural=line(0, 1), synthetic=line(2, 9), k=1) == 0.5


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_set_against_itself_and_one_far_away(metrics: SimpleNamespace, k: int) -> None:
    e = normal(60, 6, 0)
    same = metrics.support_overlap(natural=e, synthetic=e.flip(0), k=k)
    assert figures(same) == pytest.approx([1, 1, (k + 1) / k, 1])
    assert figures(metrics.support_overlap(natural=e, synthetic=e + 1000, k=k)) == [0, 0, 0, 0]


def test_duplicates_far_from_the_origin(metrics: SimpleNamespace) -> None:
    # balls of radius 0, which rounding must not empty
    e = (normal(20, 48, 0).float() + 50).repeat_interleave(3, dim=0)
    found = metrics.support_overlap(natural=e, synthetic=e[::3], k=2)
    assert (found.precision, found.coverage) == (1, 1)


@pytest.mark.parametrize(("n", "m", "k"), [(80, 60, 3), (30, 90, 5), (12, 12, 1)])
def test_against_the_authors_package(metrics: SimpleNamespace, n: int, m: int, k: int) -> None:
    natural, synthetic = normal(n, 4, 0), 0.8 * normal(m, 4, 1) + 0.5
    expected = compute_prdc(natural.numpy(), synthetic.numpy(), k)
    found = metrics.support_overlap(natural=natural, synthetic=synthetic, k=k)
    assert figures(found) == pytest.approx([expected[name] for name in NAMES], rel=1e-12)
    assert 0 < found.precision < 1 or n < 30
    for name in NAMES:
        assert getattr(metrics, name)(natural=natural, synthetic=synthetic, k=k) == getattr(found, name)


def test_expected_values_of_one_population() -> None:
    n, m, k = 60, 40, 3
    found = [
        plain.support_overlap(natural=normal(n, 3, 2 * i), synthetic=normal(m, 3, 2 * i + 1), k=k) for i in range(60)
    ]
    missed = math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    assert sum(each.coverage for each in found) / 60 == pytest.approx(1 - missed, abs=0.02)
    assert sum(each.density for each in found) / 60 == pytest.approx(1, abs=0.05)


def test_a_mode_left_out_costs_recall_and_an_outlier_costs_no_density(metrics: SimpleNamespace) -> None:
    natural = torch.cat([normal(50, 4, 0), normal(50, 4, 1) + 30])
    found = metrics.support_overlap(natural=natural, synthetic=normal(100, 4, 2), k=5)
    assert found.precision > 0.9
    assert found.coverage < 0.5 + 1e-9
    assert found.recalled[50:].sum() == 0


def test_the_same_in_small_blocks(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    natural, synthetic = normal(50, 4, 0), normal(41, 4, 1)
    whole = metrics.support_overlap(natural=natural, synthetic=synthetic, k=4)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 49)
    parts = metrics.support_overlap(natural=natural, synthetic=synthetic, k=4)
    assert repr(parts) == repr(whole)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(4, 30), st.integers(4, 30), st.integers(1, 6), st.integers(1, 3), st.integers(0, 10**6))
def test_exchange_rotation_shift_scale_and_order(n: int, m: int, d: int, k: int, seed: int) -> None:
    a, b = normal(n, d, seed), normal(m, d, seed + 1)
    turn = torch.linalg.qr(normal(d, d, seed + 2)).Q
    found = plain.support_overlap(natural=a, synthetic=b, k=k)
    back = plain.support_overlap(natural=b, synthetic=a, k=k)
    assert (back.precision, back.recall) == (found.recall, found.precision)
    for x, y in [(a @ turn, b @ turn), (a + 7, b + 7), (3 * a, 3 * b), (a.flip(0), b.flip(0))]:
        assert figures(plain.support_overlap(natural=x, synthetic=y, k=k)) == pytest.approx(figures(found))


@pytest.mark.parametrize(
    ("n", "m", "undefined"), [(3, 9, "pdc"), (9, 3, "r"), (1, 1, "prdc"), (0, 9, "prdc"), (9, 0, "prdc"), (4, 4, "")]
)
def test_too_few_images(metrics: SimpleNamespace, n: int, m: int, undefined: str) -> None:
    found = metrics.support_overlap(natural=normal(n, 2, 0), synthetic=normal(m, 2, 1), k=3)
    assert [math.isnan(value) for value in figures(found)] == [name[0] in undefined for name in NAMES]
