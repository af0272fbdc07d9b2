"""Memorisation: planted copies, the level it promises, scikit-learn's neighbours, natural duplicates, few images."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_copies_are_found(metrics: SimpleNamespace) -> None:
    natural = normal(300, 16, 0)
    synthetic = torch.cat([3 * natural[40:70] + 0.01, normal(70, 16, 1)])
    found = metrics.memorisation(natural=natural, synthetic=synthetic, level=0.99)
    assert found.near[:30].all()
    assert found.nearest[:30].tolist() == list(range(40, 70))
    assert 0.3 <= found.share < 0.36


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_new_images_of_the_population_give_the_level(metrics: SimpleNamespace, level: float) -> None:
    found = metrics.memorisation(natural=normal(1500, 6, 0), synthetic=normal(1500, 6, 1), level=level)
    assert found.share == pytest.approx(1 - level, abs=0.04)


@pytest.mark.parametrize(("level", "place"), [(0.56, 55), (0.951, 95), (1.0, 99), (0.001, 0)])
def test_against_scikit_learn(metrics: SimpleNamespace, level: float, place: int) -> None:
    natural, synthetic = normal(100, 5, 0).double(), normal(80, 5, 1).double()
    found = metrics.memorisation(natural=natural, synthetic=synthetic, level=level)
    model = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute").fit(natural.numpy())
    among = sorted(1 - model.kneighbors()[0][:, 0])  # without a query scikit-learn leaves out the image itself
    apart, rows = model.kneighbors(synthetic.numpy())
    assert found.threshold == pytest.approx(among[place], rel=1e-9)
    assert found.nearest.tolist() == rows[:, 0].tolist()
    assert found.cosines.tolist() == pytest.approx(list(1 - apart[:, 0]), rel=1e-9)
    assert found.share == pytest.approx((1 - apart[:, 0] > among[place]).mean())


def test_natural_duplicates_hide_copies(metrics: SimpleNamespace) -> None:
    natural = normal(20, 8, 0).repeat(3, 1)
    found = metrics.memorisation(natural=natural, synthetic=natural[:5], level=0.9)
    assert found.threshold == pytest.approx(1)
    assert found.share == 0


def test_scale_rotation_and_order(metrics: SimpleNamespace, rotation) -> None:
    natural, synthetic = normal(60, 8, 0).double(), normal(50, 8, 1).double()
    found = metrics.memorisation(natural=natural, synthetic=synthetic, level=0.8)
    changed = metrics.memorisation(
        natural=3 * natural.flip(0) @ rotation(8), synthetic=synthetic @ rotation(8), level=0.8
    )
    assert changed.share == found.share
    assert changed.threshold == pytest.approx(found.threshold, rel=1e-12)
    assert (59 - changed.nearest).tolist() == found.nearest.tolist()


@pytest.mark.parametrize(("n", "m"), [(0, 3), (1, 3), (0, 0), (5, 0)])
def test_too_few_images(metrics: SimpleNamespace, n: int, m: int) -> None:
    found = metrics.memorisation(natural=normal(n, 4, 0), synthetic=normal(m, 4, 1), level=0.9)
    assert math.isnan(found.share)
    assert math.isnan(found.threshold) == (n < 2)
    assert found.cosines.isnan().tolist() == [n == 0] * m
    assert found.nearest.tolist() == [n - 1] * m
