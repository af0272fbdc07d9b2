"""Average cosine similarity: matched pairs, the nearest pairs, scipy, missing classes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from scipy.spatial.distance import cosine
from sklearn.preprocessing import normalize


def test_one_prompt_per_class_against_itself_is_one(metrics: SimpleNamespace, blobs) -> None:
    prompts, _ = blobs(10, 1)
    labels = torch.arange(10).repeat_interleave(7)
    found = metrics.average_cosine_similarity(prompts[labels], labels, prompts, torch.arange(10), 10)
    torch.testing.assert_close(found, torch.ones(10, dtype=torch.float64), rtol=0, atol=1e-12)
    assert (found <= 1).all()


def test_against_scipy(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, own) = blobs(), blobs(draw=1)
    found = metrics.average_cosine_similarity(reference, labels, query, own, 5)
    units = normalize(reference.double().numpy())
    for i in range(0, len(query), 17):
        middle = units[(labels == own[i]).numpy()].sum(axis=0)
        assert float(found[i]) == pytest.approx(1 - cosine(query[i].double().numpy(), middle), rel=1e-9)


def test_the_nearest_is_never_lower_and_equal_where_the_answer_is_right(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, own) = blobs(spread=2.0), blobs(draw=1, spread=2.0)
    matched = metrics.average_cosine_similarity(reference, labels, query, own, 5)
    nearest = metrics.nearest_cosine_similarity(reference, labels, query, 5)
    right = metrics.centroid_accuracy(reference, labels, query, own, 5, 0) == 1
    assert 0 < int(right.sum()) < len(right)
    torch.testing.assert_close(nearest[right], matched[right], rtol=0, atol=1e-12)
    assert (nearest[~right] > matched[~right]).all()


def test_a_common_offset_between_the_sets_lowers_it_and_keeps_the_order(metrics: SimpleNamespace) -> None:
    # prompts and images in two cones: low cosines, right answers (M 4)
    offset = torch.tensor([0.0, 0.0, 0.0, 6.0])
    prompts, labels = torch.eye(4)[:3] + offset, torch.arange(3)
    images = torch.eye(4)[:3] - offset
    found = metrics.average_cosine_similarity(prompts, labels, images, labels, 3)
    assert (found < -0.9).all()
    assert metrics.centroid_accuracy(prompts, labels, images, labels, 3, 0).all()


def test_missing_classes_and_sets(metrics: SimpleNamespace) -> None:
    query, own = torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0])
    found = metrics.average_cosine_similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), query, own, 2)
    assert found[0].isnan()
    assert found[1] == 1
    nothing, no_labels = torch.empty(0, 2), torch.empty(0, dtype=torch.long)
    assert metrics.average_cosine_similarity(nothing, no_labels, query, own, 2).isnan().all()
    assert metrics.nearest_cosine_similarity(nothing, no_labels, query, 2).isnan().all()
    assert metrics.nearest_cosine_similarity(query, own, nothing, 2).shape == (0,)
