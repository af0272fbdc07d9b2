"""Vendi score: equal and unequal shares in closed form, scipy, both forms, orders, invariances."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics.pairwise import cosine_similarity

ORDERS = (0.1, 0.5, 1.0, 2.0, 7.5, math.inf)


@pytest.mark.parametrize("q", ORDERS)
def test_orthogonal_images_and_copies(metrics: SimpleNamespace, q: float) -> None:
    assert metrics.vendi_score(5 * torch.eye(6, 40), q=q) == pytest.approx(6, rel=1e-9)
    assert metrics.vendi_score(torch.eye(6).repeat(9, 1), q=q) == pytest.approx(6, rel=1e-9)
    # what is left of the 39 eigenvalues that are 0 would show at low orders
    assert metrics.vendi_score(torch.rand(1, 40).repeat(50, 1) + 0.1, q=q) == pytest.approx(1, rel=1e-9)


def test_unequal_shares(metrics: SimpleNamespace) -> None:
    e = torch.eye(2)[torch.tensor([0, 0, 0, 0, 1])]
    expected = {0.5: (0.8**0.5 + 0.2**0.5) ** 2, 1.0: 0.8**-0.8 * 0.2**-0.2, 2.0: 1 / 0.68, math.inf: 1.25}
    for q, value in expected.items():
        assert metrics.vendi_score(e, q=q) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(30, 100), (100, 30), (40, 40)])
def test_against_scipy(metrics: SimpleNamespace, blobs, n: int, d: int) -> None:
    e, _ = blobs(1, n, d)
    shares = np.linalg.svd(cosine_similarity(e.double().numpy()) / n, compute_uv=False)
    assert metrics.vendi_score(e) == pytest.approx(np.exp(entropy(shares)), rel=1e-9)
    assert metrics.vendi_score(e, q=math.inf) == pytest.approx(1 / shares.max(), rel=1e-9)


def test_orders_fall_and_join_at_one(metrics: SimpleNamespace, blobs) -> None:
    e, _ = blobs(3, 30)
    found = [metrics.vendi_score(e, q=q) for q in ORDERS]
    assert found == sorted(found, reverse=True)
    for q in (1 - 1e-9, 1 + 1e-9):
        assert metrics.vendi_score(e, q=q) == pytest.approx(metrics.vendi_score(e), rel=1e-7)
    assert metrics.vendi_score(e, q=1e4) == pytest.approx(metrics.vendi_score(e, q=math.inf), rel=1e-3)


@pytest.mark.parametrize("q", ORDERS)
def test_rotation_scale_order_and_duplication(metrics: SimpleNamespace, blobs, rotation, q: float) -> None:
    e = blobs(2, 20)[0].double()
    value = metrics.vendi_score(e, q=q)
    for changed in (e @ rotation(16), e * torch.arange(1, 41).unsqueeze(1), e.flip(0), e.repeat(3, 1)):
        assert metrics.vendi_score(changed, q=q) == pytest.approx(value, rel=1e-9)


def test_no_image_one_image_and_wrong_orders(metrics: SimpleNamespace) -> None:
    assert math.isnan(metrics.vendi_score(torch.empty(0, 4)))
    assert metrics.vendi_score(torch.rand(1, 4) + 0.1) == pytest.approx(1)
