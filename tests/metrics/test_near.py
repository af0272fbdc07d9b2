"""Pairs that are near: the same as brute force for every tile, scale, tie and precision; bounds that hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthgap.metrics import _near, support_overlap
from synthgap.metrics._near import Space, Step
from synthgap.metrics._screening import int8_is_exact


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def brute(x: Tensor, y: Tensor) -> np.ndarray:
    apart: np.ndarray = ((x.double().numpy()[:, None] - y.double().numpy()[None]) ** 2).sum(axis=2)
    return apart


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


STEPS: dict[str, tuple[Step, ...]] = {"int8": ("int8", "float"), "float": ("float",), "exact": ()}
"""From which precision on; the last computes all distances in float64."""


@pytest.fixture(params=STEPS)
def space_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Space]:
    """Spaces that look at sets as small as these from each precision on."""
    if request.param == "int8" and not int8_is_exact():
        pytest.skip("no int8 instructions on this CPU")
    monkeypatch.setattr(_near, "FEW", 0)

    def make(*sets: Tensor) -> Space:
        space = Space(*sets)
        space.steps = tuple(step for step in STEPS[request.param] if step in space.steps)
        return space

    return make


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tile", [(256, 4096), (32, 32), (64, 32)])
@pytest.mark.parametrize("k", [1, 2, 59])
def test_reach_is_the_kth_distance(
    case: str, tile: tuple[int, int], k: int, space_of: Callable[..., Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_near, "TILE", tile)
    monkeypatch.setattr(_near, "DENSE", 2)
    e = CASES[case]
    apart = brute(e, e)
    np.fill_diagonal(apart, np.inf)
    expected = np.sort(apart, axis=1)[:, k - 1]
    scale = apart[np.isfinite(apart)].max()
    space = space_of(e)
    np.testing.assert_allclose(space.reach(space.cloud(e), k).numpy(), expected, rtol=1e-6, atol=1e-11 * scale)


def test_reach_without_that_many_others_is_endless() -> None:
    space = Space(normal(3, 2, 0))
    assert space.reach(space.cloud(normal(3, 2, 0)), 3).isinf().all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tile", [(256, 4096), (32, 32)])
@pytest.mark.parametrize("share", [0.002, 0.5])
def test_pairs_within_a_limit_are_those_of_brute_force(
    case: str, tile: tuple[int, int], share: float, space_of: Callable[..., Space], monkeypatch: pytest.MonkeyPatch
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
    limits = (torch.full((n,), limit, dtype=torch.float64) for n in (60, 40))
    by_row, by_column = within(space_of(x, y), x, y, *limits)
    clear = np.abs(apart - limit) > 1e-11 * apart.max()  # of squares of the largest scale float64 keeps no more
    assert clear.mean() > 0.2
    np.testing.assert_array_equal(by_row[clear], (apart <= limit)[clear])
    np.testing.assert_array_equal(by_column[clear], (apart <= limit)[clear])


def within(space: Space, x: Tensor, y: Tensor, limit_x: Tensor, limit_y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs are near by the limits of x, and by those of y; none is told twice."""
    found = np.zeros((2, len(x), len(y)), dtype=int)
    for sides in space.within(space.cloud(x), space.cloud(y), limit_x.double(), limit_y.double()):
        for times, (i, j) in zip(found, sides, strict=True):
            np.add.at(times, (i.numpy(), j.numpy()), 1)
    assert found.max() <= 1
    return found[0] == 1, found[1] == 1


def test_a_limit_of_its_own_for_every_row_and_column(space_of: Callable[..., Space]) -> None:
    x, y = normal(45, 3, 0), normal(70, 3, 1)
    limit_x, limit_y = (torch.rand(n, generator=torch.Generator().manual_seed(n)) / 4 for n in (45, 70))
    by_row, by_column = within(space_of(x, y), x, y, limit_x, limit_y)
    np.testing.assert_array_equal(by_row, brute(x, y) <= limit_x.double().numpy()[:, None])
    np.testing.assert_array_equal(by_column, brute(x, y) <= limit_y.double().numpy())


def blobs(n: int, d: int, seed: int, classes: int, spread: float) -> Tensor:
    """Classes around middles that are the same for every seed, in order or, by odd seeds, mixed; a tenth is there twice."""
    e = normal(classes, d, 99)[torch.arange(n) * classes // n] + spread * normal(n, d, seed)
    e[: n // 10] = e[n // 2 : n // 2 + n // 10]
    return e[torch.randperm(n, generator=torch.Generator().manual_seed(seed))] if seed % 2 else e


@pytest.mark.parametrize(("classes", "spread"), [(1, 1.0), (20, 0.7), (3, 0.01), (1000, 0.0)])
@pytest.mark.parametrize("length", [1.0, 300.0])
def test_every_precision_finds_the_same(classes: int, spread: float, length: float, monkeypatch: Any) -> None:
    """Beyond a tile in both directions, at the sizes and dimensions that int8 codes are for."""
    natural, synthetic = (blobs(n, 64, seed, classes, spread) for n, seed in ((700, 0), (611, 1)))
    natural[::50] *= length
    monkeypatch.setattr(_near, "TILE", (256, 512))
    found = {}
    for name, steps in STEPS.items():
        monkeypatch.setattr(_near, "choose_path", lambda device, d, name=name: name)
        monkeypatch.setattr(_near, "FEW", 0 if steps else 10**9)
        assert Space(natural).steps == steps
        found[name] = support_overlap(natural=natural, synthetic=synthetic, k=5)
    for name in ("int8", "float") if int8_is_exact() else ("float",):
        for values in ("precise", "recalled", "balls", "covered"):
            assert torch.equal(getattr(found[name], values), getattr(found["exact"], values)), (name, values)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 80), st.integers(1, 40), st.integers(1, 70), st.integers(0, 1000), st.floats(-3, 3))
def test_scores_err_by_less_than_the_bound(n: int, m: int, d: int, seed: int, power: float) -> None:
    x, y = normal(n, d, seed) * 10**power + 5, normal(m, d, seed + 1)
    y[0] *= 30
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_near, "FEW", 0)
        space = Space(x, y)
    left, right, rows, columns = space.cloud(x), space.cloud(y), slice(0, n), slice(0, m)
    for step in space.steps:
        scores = space._scores(left, right, rows, columns, step)
        by_row, by_column = _near._errors(left, right, rows, columns, step)
        error = np.abs(scores[:n, :m].double().numpy() + brute(x, y) / 2)
        assert (error <= by_row.numpy()[:, None] + space.slack).all()
        assert (error <= by_column.numpy() + space.slack).all()
        assert (scores[n:] == -torch.inf).all() and (scores[:, m:] == -torch.inf).all()


def test_lowered_matmul_precision_changes_nothing() -> None:
    natural, synthetic = normal(300, 16, 0), normal(270, 16, 1)
    plain = support_overlap(natural=natural, synthetic=synthetic, k=3)
    torch.set_float32_matmul_precision("medium")
    try:
        assert Space(natural).dtype == torch.float64
        lowered = support_overlap(natural=natural, synthetic=synthetic, k=3)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(plain.balls, lowered.balls) and torch.equal(plain.covered, lowered.covered)


def test_distances_that_float32_cannot_tell_apart_are_computed_anew(space_of: Callable[..., Space]) -> None:
    """A centre, and sixty points around it whose distances differ in the ninth digit."""
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).double()
    around = torch.eye(60, dtype=torch.float64) * (1 + 1e-9 * order).sqrt().unsqueeze(1)
    others = 3 * normal(700, 60, 0).double()  # among so many sixty are few enough to be looked at one by one
    e = torch.cat([torch.zeros(1, 60, dtype=torch.float64), around, others])
    space = space_of(e)
    for k in (1, 3, 30):
        assert float(space.reach(space.cloud(e), k)[0]) == pytest.approx(1 + 1e-9 * (k - 1), abs=1e-12)
