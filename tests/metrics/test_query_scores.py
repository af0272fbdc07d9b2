"""Query scores: equal to the measures called one by one, however the references come."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from synthgap import metrics as plain


def one_by_one(reference: Tensor, labels: Tensor, query: Tensor, own: Tensor, c: int, ks: tuple[int, ...]) -> dict:
    return {
        "nearest_centroid": plain.nearest_centroid(reference, labels, query, c, seed=3),
        "correct": plain.centroid_accuracy(reference, labels, query, own, c, seed=3),
        "own_cosine": plain.average_cosine_similarity(reference, labels, query, own, c),
        "nearest_cosine": plain.nearest_cosine_similarity(reference, labels, query, c),
        "knn_predictions": plain.knn_predictions(reference, labels, query, c, ks),
        "knn_correct": plain.knn_accuracy(reference, labels, query, own, c, ks=ks),
    }


def assert_same(found: plain.QueryScores, expected: dict, *, exact: bool = True) -> None:
    for name, value in expected.items():
        pairs = (
            [(getattr(found, name)[k], value[k]) for k in value]
            if isinstance(value, dict)
            else [(getattr(found, name), value)]
        )
        for mine, theirs in pairs:
            tolerance = {"rtol": 0, "atol": 0 if exact else 1e-12}
            torch.testing.assert_close(mine, theirs, equal_nan=True, **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("shape", [(6, 60, 24), (30, 9, 130), (3, 150, 768)])
def test_the_values_are_those_of_the_measures(
    metrics: SimpleNamespace, blobs, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    (reference, labels), (query, own) = (blobs(*shape, draw=draw, spread=2.5) for draw in (0, 1))
    reference, query = reference.to(dtype), query.to(dtype)
    found = metrics.query_scores(reference, labels, query, own, shape[0], 3, ks=(1, 5, 9))
    assert_same(found, one_by_one(reference, labels, query, own, shape[0], (1, 5, 9)))
    assert 0.1 < float(found.correct.mean()) <= 1


@pytest.mark.parametrize("sizes", [[360], [1] * 360, [0, 7, 300, 53]])
def test_references_block_by_block(metrics: SimpleNamespace, blobs, sizes: list[int]) -> None:
    (reference, labels), (query, own) = blobs(6, 60, 24), blobs(6, 10, 24, draw=1)
    blocks = zip(reference.split(sizes), labels.split(sizes), strict=True)
    found = metrics.query_scores(blocks, None, query, own, 6, 3, ks=(1, 5))
    assert_same(found, one_by_one(reference, labels, query, own, 6, (1, 5)), exact=False)


def test_ties_of_centroids_go_by_the_seed() -> None:
    reference, labels = torch.tensor([[1.0, 0.0]]).repeat(4, 1), torch.arange(4)
    query = torch.tensor([[1.0, 1.0]]).repeat(50, 1)
    own = torch.zeros(50, dtype=torch.long)
    found = plain.query_scores(reference, labels, query, own, 4, 7, ks=(1,))
    assert torch.equal(found.nearest_centroid, plain.nearest_centroid(reference, labels, query, 4, seed=7))
    assert len(found.nearest_centroid.unique()) == 4


def test_a_class_without_references_is_not_scored() -> None:
    found = plain.query_scores(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), torch.tensor([0, 2]), 3, 0, ks=(1,))
    for values in (found.correct, found.own_cosine, found.knn_correct[1]):
        assert values[0] == 1
        assert values[1].isnan()
    assert found.nearest_cosine.tolist() == [1, 1]


def test_a_class_whose_vectors_cancel_out_has_no_centroid() -> None:
    angles = torch.tensor([0.2, 1, 1 + 2 * torch.pi / 3, 1 - 2 * torch.pi / 3], dtype=torch.float64)
    reference, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 1, 1, 1])
    query, own = torch.tensor([[0.3, 0.7], [1.0, 0.0]], dtype=torch.float64), torch.tensor([1, 0])
    found = plain.query_scores(reference, labels, query, own, 2, 3, ks=(1,))
    assert_same(found, one_by_one(reference, labels, query, own, 2, (1,)))
    assert found.nearest_centroid.tolist() == [0, 0]


def test_without_neighbours(blobs) -> None:
    (reference, labels), (query, own) = blobs(), blobs(draw=1)
    found = plain.query_scores(reference, labels, query, own, 5, 3, ks=())
    assert found.knn_correct == found.knn_predictions == {}
    assert_same(found, {"correct": plain.centroid_accuracy(reference, labels, query, own, 5, seed=3)})


def test_no_query() -> None:
    found = plain.query_scores(torch.eye(2), torch.arange(2), torch.empty(0, 2), torch.empty(0).long(), 2, 0, ks=(1,))
    assert [len(values) for values in (found.correct, found.own_cosine, found.knn_correct[1])] == [0, 0, 0]


def test_references_without_a_centroid_or_too_few() -> None:
    query, own = torch.eye(2), torch.arange(2)
    with pytest.raises(ValueError, match="reference: the vectors of every class add up to zero"):
        plain.query_scores(torch.tensor([[1.0, 0], [-1, 0]]), torch.tensor([0, 0]), query, own, 2, 0, ks=(1,))
    with pytest.raises(ValueError, match="reference: found 0 rows"):
        plain.query_scores([], None, query, own, 2, 0)
    with pytest.raises(ValueError, match=r"ks: found \(3,\); expected integers in \[1, 2\]"):
        plain.query_scores([(query, own)], None, query, own, 2, 0, ks=(3,))
