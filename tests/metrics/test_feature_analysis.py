"""S App. B.1: sparsity, intra-class distance, redundancy, coding length; closed forms, numpy, scipy, blocks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr
from sklearn.preprocessing import normalize

from synthgap.metrics import _blocks


def test_sparsity_counts_after_normalising(metrics: SimpleNamespace) -> None:
    e = torch.tensor([[1e-4, 1e-4, 0.0, 0.0], [100.0, 1e-4, 2e-3, -2e-3], [0.0, 0.0, 0.0, 3.0]])
    assert metrics.sparsity(e).tolist() == [0.5, 0.25, 0.75]
    assert metrics.sparsity(-1e6 * e).tolist() == [0.5, 0.25, 0.75]
    assert metrics.sparsity(e[:0]).shape == (0,)


def test_intra_class_distance_in_closed_form(metrics: SimpleNamespace) -> None:
    # 0: three orthogonal images; 1: copies; 2: one image; 3: none
    e = torch.cat([5 * torch.eye(3), torch.tensor([[0.3, 0.2, 0.7]]).repeat(4, 1), torch.ones(1, 3)])
    found = metrics.intra_class_distance(e, torch.tensor([0, 0, 0, 1, 1, 1, 1, 2]), 4)
    assert found[0].item() == pytest.approx(math.sqrt(2), rel=1e-12)
    assert found[1].item() == pytest.approx(0, abs=1e-12)
    assert found[2:].isnan().all()


def test_intra_class_distance_against_scipy(
    metrics: SimpleNamespace, blobs, rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    e, labels = blobs(4, 25)
    units = normalize(e.double().numpy())
    expected = [pdist(units[(labels == key).numpy()]).mean() for key in range(4)]
    assert metrics.intra_class_distance(e, labels, 4).tolist() == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 49)
    turned = metrics.intra_class_distance(7 * e.double() @ rotation(16), labels, 4)
    assert turned.tolist() == pytest.approx(expected, rel=1e-9)


def test_redundancy_of_copies_and_of_independent_dimensions(metrics: SimpleNamespace) -> None:
    # all of one length, so that normalising changes nothing: x, -x, and two that are orthogonal to it and one another
    x = torch.tensor([1.0, 1.0, -1.0, -1.0])
    e = torch.stack([x, -x, torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, -1.0, -1.0, 1.0])], dim=1)
    assert metrics.redundancy(e) == pytest.approx((4 + 2) / 16, rel=1e-12)
    assert metrics.redundancy(torch.cat([e, torch.ones(4, 3)], dim=1)) == pytest.approx(6 / 16, rel=1e-12)
    assert metrics.redundancy(torch.stack([x, -x], dim=1)) == pytest.approx(1, rel=1e-12)


def test_redundancy_against_scipy(metrics: SimpleNamespace, blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    e, _ = blobs(2, 30, 7)
    units = normalize(e.double().numpy())
    expected = np.mean([[abs(pearsonr(x, y).statistic) for x in units.T] for y in units.T])
    assert metrics.redundancy(e) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 50)
    assert metrics.redundancy(e.flip(0).repeat(2, 1)) == pytest.approx(expected, rel=1e-9)


def test_redundancy_undefined(metrics: SimpleNamespace) -> None:
    assert math.isnan(metrics.redundancy(torch.ones(1, 4)))
    assert math.isnan(metrics.redundancy(0.1 * torch.ones(9, 4)))


def test_coding_length_in_closed_form(metrics: SimpleNamespace) -> None:
    for d, n in [(8, 3), (8, 80)]:
        same = metrics.coding_length(torch.rand(1, d).repeat(n, 1) + 0.1)
        assert same == pytest.approx(math.log(1 + d / 0.5) / 2, rel=1e-9)
    assert metrics.coding_length(torch.eye(5).repeat(4, 1)) == pytest.approx(5 / 2 * math.log(3), rel=1e-12)
    fine = metrics.coding_length(torch.eye(5), epsilon_squared=0.01)
    assert fine == pytest.approx(5 / 2 * math.log(101), rel=1e-12)
    assert math.isnan(metrics.coding_length(torch.empty(0, 3)))


@pytest.mark.parametrize(("n", "d"), [(60, 12), (12, 60)])
def test_coding_length_is_the_sum_over_singular_values(
    metrics: SimpleNamespace, blobs, rotation, n: int, d: int
) -> None:
    e = blobs(1, n, d)[0].double()
    lengths = np.linalg.svd(normalize(e.numpy()), compute_uv=False)
    expected = np.log1p(2 * d / n * lengths**2).sum() / 2
    for changed in (e, 9 * e @ rotation(d), e.flip(0), e.repeat(6, 1)):
        assert metrics.coding_length(changed) == pytest.approx(expected, rel=1e-9)
