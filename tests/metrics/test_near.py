"""Pairs that are near: the same as brute force for every tile, scale, tie and precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthgap.metrics import _near, support_overlap
from synthgap.metrics._near import Space


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def brute(x: Tensor, y: Tensor) -> np.ndarray:
    return ((x.double().numpy()[:, None] - y.double().numpy()[None]) ** 2).sum(axis=2)


CASES = {
    "plain": normal(60, 8, 0),
    "far from the origin": normal(60, 8, 0) * 1e-3 + 1000,
    "two scales": torch.cat([normal(30, 8, 0) * 1e-4, normal(30, 8, 1) * 1e3]),
    "copies": normal(6, 8, 0).repeat(10, 1),
    "all alike": torch.ones(60, 8),
    "tiny": normal(60, 8, 0) * 1e-20,
    "huge": normal(60, 8, 0) * 1e17,
    "float64": normal(60, 8, 0).double() + 1e5,
    "one column": normal(60, 1, 0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tile", [(512, 4096), (7, 5), (1, 60)])
@pytest.mark.parametrize("k", [1, 4, 59])
def test_reach_is_the_kth_distance(case: str, tile: tuple[int, int], k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_near, "SIDE", tile[0])
    e = CASES[case]
    apart = brute(e, e)
    np.fill_diagonal(apart, np.inf)
    expected = np.sort(apart, axis=1)[:, k - 1]
    scale = apart[np.isfinite(apart)].max()
    np.testing.assert_allclose(Space(e).reach(e, k).numpy(), expected, rtol=1e-6, atol=1e-11 * scale)


def test_reach_without_that_many_others_is_endless() -> None:
    assert Space(normal(3, 2, 0)).reach(normal(3, 2, 0), 3).isinf().all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tile", [(512, 4096), (7, 5)])
@pytest.mark.parametrize("share", [0.002, 0.5])
def test_pairs_within_a_limit_are_those_of_brute_force(
    case: str, tile: tuple[int, int], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few pairs, which are computed one by one, or so many that a whole tile is."""
    monkeypatch.setattr(_near, "TILE", tile)
    x = CASES[case]
    y = x[torch.randperm(60, generator=torch.Generator().manual_seed(5))[:40]] * 1.01
    apart = brute(x, y)
    distinct = np.unique(apart)
    place = int(share * max(0, len(distinct) - 2))
    # between two distances, or beyond the only one
    limit = (distinct[place] + distinct[place + 1]) / 2 if len(distinct) > 1 else 1.5 * distinct[0]
    space, found = Space(x, y), np.zeros_like(apart, dtype=bool)
    for rows, columns, product in space.products(x, y):
        limits = torch.full((rows.stop - rows.start, 1), limit, dtype=torch.float64)
        i, j = space.within(product, limits, x[rows], y[columns])
        found[i + rows.start, j + columns.start] = True
    clear = np.abs(apart - limit) > 1e-11 * apart.max()  # of squares of the largest scale float64 keeps no more
    assert clear.mean() > 0.2
    np.testing.assert_array_equal(found[clear], (apart <= limit)[clear])


def test_a_limit_of_its_own_for_every_column() -> None:
    x, y = normal(20, 3, 0), normal(30, 3, 1)
    limits = torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    space = Space(x, y)
    ((_, _, product),) = space.products(x, y)
    i, j = space.within(product, limits, x, y)
    found = np.zeros((20, 30), dtype=bool)
    found[i, j] = True
    np.testing.assert_array_equal(found, brute(x, y) <= limits.numpy())


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 25), st.integers(1, 25), st.integers(1, 4), st.integers(0, 1000), st.floats(-3, 3))
def test_products_err_by_less_than_the_slack(n: int, m: int, d: int, seed: int, power: float) -> None:
    x, y = normal(n, d, seed) * 10**power + 5, normal(m, d, seed + 1)
    space = Space(x, y)
    for rows, columns, product in space.products(x, y):
        error = np.abs(product.double().numpy() + brute(x[rows], y[columns]) / 2)
        assert error.max() <= space.slack


def test_lowered_matmul_precision_changes_nothing() -> None:
    natural, synthetic = normal(80, 16, 0), normal(70, 16, 1)
    plain = support_overlap(natural=natural, synthetic=synthetic, k=3)
    torch.set_float32_matmul_precision("medium")
    try:
        assert Space(natural).dtype == torch.float64
        lowered = support_overlap(natural=natural, synthetic=synthetic, k=3)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(plain.balls, lowered.balls) and torch.equal(plain.covered, lowered.covered)


@pytest.mark.parametrize("tile", [(512, 4096), (512, 9)])
def test_distances_that_float32_cannot_tell_apart_are_searched_again(
    tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A centre, and sixty points around it whose distances differ in the ninth digit."""
    monkeypatch.setattr(_near, "SIDE", tile[1])
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).double()
    around = torch.eye(60, dtype=torch.float64) * (1 + 1e-9 * order).sqrt().unsqueeze(1)
    e = torch.cat([torch.zeros(1, 60, dtype=torch.float64), around])
    for k in (1, 3, 30):
        assert float(Space(e).reach(e, k)[0]) == pytest.approx(1 + 1e-9 * (k - 1), abs=1e-12)
