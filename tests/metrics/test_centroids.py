"""Centroids against scikit-learn, with empty classes, vectors that cancel, and large sets in blocks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from synthgap.metrics import _blocks


def test_against_scikit_learn(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs(7, 30, 24)
    means = NearestCentroid().fit(normalize(e.double().numpy()), labels.numpy()).centroids_
    np.testing.assert_allclose(metrics.centroids(e.double(), labels, 7).numpy(), normalize(means), rtol=1e-12)


def test_each_image_weighs_the_same_whatever_its_length(metrics: SimpleNamespace) -> None:
    e = torch.tensor([[1000.0, 0.0], [0.0, 0.001]])
    torch.testing.assert_close(metrics.centroids(e, torch.tensor([0, 0]), 1), torch.full((1, 2), 0.5**0.5))


def test_empty_class_and_vectors_that_cancel(metrics: SimpleNamespace) -> None:
    e = torch.tensor([[1.0, 2.0], [-3.0, -6.0], [1.0, 0.0]])
    found = metrics.centroids(e, torch.tensor([0, 0, 2]), 4)
    assert found.isnan().all(dim=1).tolist() == [True, True, False, True]
    assert found[2].tolist() == [1, 0]


def test_three_directions_that_cancel_but_for_rounding(metrics: SimpleNamespace) -> None:
    turns = torch.arange(3, dtype=torch.float64) * (2 * torch.pi / 3)
    e = torch.stack([turns.cos(), turns.sin()], dim=1)
    assert e.sum(dim=0).any()
    assert metrics.centroids(e, torch.zeros(3, dtype=torch.long), 1).isnan().all()


def test_no_image_at_all(metrics: SimpleNamespace) -> None:
    assert metrics.centroids(torch.empty(0, 3), torch.empty(0, dtype=torch.long), 2).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_types(metrics: SimpleNamespace, blobs, dtype: torch.dtype) -> None:
    e, labels = blobs()
    found = metrics.centroids(e.to(dtype), labels, 5)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found.double(), metrics.centroids(e.double(), labels, 5), rtol=0, atol=2e-3)


def test_int32_labels(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs()
    assert torch.equal(metrics.centroids(e, labels.int(), 5), metrics.centroids(e, labels, 5))


def test_the_same_in_small_blocks(metrics: SimpleNamespace, blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    e, labels = blobs()
    whole = metrics.centroids(e.double(), labels, 5)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 7 * e.shape[1])
    torch.testing.assert_close(metrics.centroids(e.double(), labels, 5), whole, rtol=0, atol=1e-12)
