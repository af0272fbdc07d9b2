"""Nearest centroids and centroid accuracy: scikit-learn, ties at random, missing classes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import normalize

from synthgap import metrics as plain
from synthgap.metrics import _blocks


def test_against_scikit_learn(metrics: SimpleNamespace, blobs) -> None:
    (reference, of_reference), (query, of_query) = blobs(8, 30, spread=2.0), blobs(8, 50, spread=2.0, draw=1)
    middles = NearestCentroid().fit(normalize(reference.double().numpy()), of_reference.numpy()).centroids_
    model = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(middles, np.arange(8))
    predicted = model.predict(query.double().numpy())
    assert np.array_equal(metrics.nearest_centroid(reference, of_reference, query, 8, 0).numpy(), predicted)
    correct = metrics.centroid_accuracy(reference, of_reference, query, of_query, 8, 0)
    assert 0.5 < float(correct.mean()) < 1  # some wrong, so that the comparison means something
    assert float(correct.mean()) == pytest.approx(np.mean(predicted == of_query.numpy()))


def test_two_identical_centroids_share_the_queries(metrics: SimpleNamespace) -> None:
    # the same vectors in another order: sums that differ by rounding only are a tie too
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randn(100, 8, generator=generator) + 1
    reference = torch.cat([prompts, prompts.flip(0), -prompts])
    labels = torch.tensor([0, 1, 2]).repeat_interleave(100)
    query = prompts + torch.randn(100, 8, generator=generator) * 0.1
    query = query.repeat(20, 1)
    found = metrics.nearest_centroid(reference, labels, query, 3, 7)
    counts = torch.bincount(found, minlength=3).tolist()
    assert counts[2] == 0
    assert 900 < counts[0] < 1100  # 1000 expected, standard deviation 22
    assert torch.equal(found, metrics.nearest_centroid(reference, labels, query, 3, 7))
    assert not torch.equal(found, metrics.nearest_centroid(reference, labels, query, 3, 8))


def test_ties_among_many_are_even(metrics: SimpleNamespace) -> None:
    reference = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]])
    found = metrics.nearest_centroid(reference, torch.arange(6), torch.tensor([[2.0, 0.5]]).repeat(5000, 1), 6, 0)
    counts = torch.bincount(found, minlength=6)
    assert counts[5] == 0
    assert (counts[:5] - 1000).abs().max() < 120  # standard deviation 28


def test_a_near_miss_is_no_tie(metrics: SimpleNamespace) -> None:
    reference = torch.tensor([[1.0, 0.0], [1.0, 1e-5]])
    found = metrics.nearest_centroid(reference, torch.tensor([0, 1]), torch.tensor([[1.0, 1.0]]).repeat(50, 1), 2, 0)
    assert found.tolist() == [1] * 50


def test_missing_classes(metrics: SimpleNamespace) -> None:
    reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    labels = torch.tensor([1, 3, 3])  # 3 cancels out, 0 and 2 are empty
    query, own = torch.tensor([[0.0, 1.0], [1.0, 0.1], [1.0, 0.0]]), torch.tensor([3, 1, 2])
    assert metrics.nearest_centroid(reference, labels, query, 4, 0).tolist() == [1, 1, 1]
    correct = metrics.centroid_accuracy(reference, labels, query, own, 4, 0)
    assert correct[:2].tolist() == [0, 1]
    assert correct[2].isnan()
    with pytest.raises(ValueError, match="add up to zero"):
        plain.nearest_centroid(reference[1:], labels[1:], query, 4, 0)


def test_no_query(metrics: SimpleNamespace) -> None:
    nothing, no_labels = torch.empty(0, 2), torch.empty(0, dtype=torch.long)
    assert metrics.nearest_centroid(torch.eye(2), torch.arange(2), nothing, 2, 0).shape == (0,)
    assert metrics.centroid_accuracy(torch.eye(2), torch.arange(2), nothing, no_labels, 2, 0).shape == (0,)


def test_the_same_in_small_blocks(metrics: SimpleNamespace, blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    (reference, labels), (query, _) = blobs(spread=2.0), blobs(draw=1, spread=2.0)
    reference = torch.cat([reference, reference])  # classes 0-4 and 5-9 tie
    labels = torch.cat([labels, labels + 5])
    whole = metrics.nearest_centroid(reference, labels, query, 10, 3)
    assert 0 < int((whole >= 5).sum()) < len(query)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 5 * query.shape[1])
    assert torch.equal(metrics.nearest_centroid(reference, labels, query, 10, 3), whole)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 6), st.integers(2, 10), st.integers(0, 10**6))
def test_rotation_scale_order_and_class_numbers_do_not_matter(classes: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(classes * 3, d, dtype=torch.float64, generator=generator)
    labels = torch.arange(classes).repeat(3)
    query = torch.randn(40, d, dtype=torch.float64, generator=generator)
    found = plain.nearest_centroid(reference, labels, query, classes, 0)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    order = torch.randperm(len(reference), generator=generator)
    rename = torch.randperm(classes, generator=generator)
    changed = plain.nearest_centroid(
        (reference @ turn * 3)[order], rename[labels[order]], query @ turn * 0.01, classes, 1
    )
    assert torch.equal(changed, rename[found])
