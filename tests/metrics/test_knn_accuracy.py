"""k-NN: scikit-learn's neighbours, votes counted in Python, ties, duplicates, blocks, blocks that come one by one."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor

from synthgap import metrics as plain
from synthgap.metrics import uvec
from synthgap.metrics._blocks import unit
from synthgap.metrics._neighbours import nearest, without_spare_copies
from synthgap.metrics._votes import majority


def vote(neighbours: list[int]) -> int:
    """The rule in plain Python: most votes, then the class met first."""
    counts = Counter(neighbours)  # keeps the order in which the classes were met
    return max(counts, key=lambda key: counts[key])


def brute(reference: Tensor, query: Tensor, k: int) -> np.ndarray:
    found = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(reference.double().numpy())
    return np.asarray(found.kneighbors(query.double().numpy(), return_distance=False))


@pytest.mark.parametrize("block", [(256, 8192), (7, 64), (1, 40), (1000, 13)])
def test_neighbours_are_scikit_learns_whatever_the_block(blobs, block: tuple[int, int]) -> None:
    (reference, _), (query, _) = blobs(6, 60, 24), blobs(6, 10, 24, draw=1)
    assert np.array_equal(nearest(reference, query, 9, block).numpy(), brute(reference, query, 9))


def test_accuracy_against_scikit_learn(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, own) = blobs(6, 60, spread=2.5), blobs(6, 30, draw=1, spread=2.5)
    model = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(reference.double().numpy(), labels.numpy())
    found = metrics.knn_accuracy(reference, labels, query, own, 6, ks=(1, 5))
    expected = model.predict(query.double().numpy()) == own.numpy()
    assert np.array_equal(found[1].numpy(), expected.astype(float))
    assert 0.2 < expected.mean() < 0.95
    votes = [vote(row) for row in labels.numpy()[brute(reference, query, 5)].tolist()]
    assert found[5].tolist() == (torch.tensor(votes) == own).double().tolist()


def test_tied_votes_go_to_the_nearest_member(metrics: SimpleNamespace) -> None:
    angles = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    reference = torch.stack([angles.cos(), angles.sin()], dim=1)
    query = torch.tensor([[1.0, 0.0]])
    found = metrics.knn_predictions(reference, torch.tensor([2, 1, 1, 2, 0]), query, 3, ks=(1, 2, 3, 4, 5))
    assert {k: int(classes) for k, classes in found.items()} == {1: 2, 2: 2, 3: 1, 4: 2, 5: 2}


def test_equal_cosines_go_by_row(metrics: SimpleNamespace) -> None:
    # rows 0, 2 and 3 point the same way, at different lengths
    reference = torch.tensor([[2.0, 0.0], [1.0, 0.2], [1.0, 0.0], [8.0, 0.0]])
    assert nearest(reference, torch.tensor([[3.0, 0.0]]), 4).tolist() == [[0, 2, 3, 1]]
    found = metrics.knn_predictions(reference, torch.tensor([3, 0, 1, 2]), torch.tensor([[3.0, 0.0]]), 4, ks=(1, 3))
    assert {k: int(classes) for k, classes in found.items()} == {1: 3, 3: 3}


@pytest.mark.parametrize("block", [(256, 8192), (3, 10)])
def test_one_prompt_for_many_images(blobs, block: tuple[int, int]) -> None:
    prompts, _ = blobs(4, 1, 24)
    labels = torch.arange(4).repeat_interleave(100)
    query = prompts + 0.3
    found = nearest(prompts[labels], query, 5, block)
    best = brute(prompts, query, 1)
    # five copies of the nearest prompt, the lowest rows first
    assert found.tolist() == [[100 * int(row) + copy for copy in range(5)] for row in best[:, 0]]
    assert len(without_spare_copies(prompts[labels], 5)) == 20


def test_spare_copies_are_dropped_only_when_identical() -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0000002], [1.0, 2.0], [2.0, 4.0]])
    assert without_spare_copies(rows, 2).tolist() == [0, 1, 2, 4]
    assert without_spare_copies(rows.double(), 1).tolist() == [0, 2, 4]
    assert without_spare_copies(rows, 3).tolist() == [0, 1, 2, 3, 4]


def test_hash_collisions_drop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.zeros(2, dtype=torch.int64))
    rows = torch.tensor([[1.0, 2.0], [3.0, 2.0], [1.0, 2.0]])
    assert without_spare_copies(rows, 1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("n", [20, 400])
def test_neighbours_nearer_than_float32_can_tell(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    d = 64
    query = torch.randn(1, d, dtype=torch.float64, generator=generator)
    aside = torch.randn(n, d, dtype=torch.float64, generator=generator)
    reference = query + 1e-4 * aside
    expected = brute(reference, query, 5)
    assert np.array_equal(nearest(reference, query, 5).numpy(), expected)
    single = unit(query, torch.float32) @ unit(reference, torch.float32).T
    assert set(single.topk(5).indices[0].tolist()) != set(expected[0].tolist())  # float32 alone gets it wrong here


@pytest.mark.parametrize("seed", range(12))
def test_neighbours_that_float32_may_drop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(1, 16, dtype=torch.float64, generator=generator)
    reference = query + 1e-3 * torch.randn(2000, 16, dtype=torch.float64, generator=generator)
    assert np.array_equal(nearest(reference, query, 5).numpy(), brute(reference, query, 5))


def test_scaled_copies_beyond_the_spare_candidates_go_by_row() -> None:
    # 200 references of one direction and different lengths: no identical rows, and cosines equal but for rounding
    lengths = torch.rand(200, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    along = torch.randn(2, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    reference, query = lengths * along[:1], along[1:]
    assert len((unit(reference) @ unit(query).T).unique()) > 1
    assert nearest(reference, query, 5).tolist() == [[0, 1, 2, 3, 4]]
    assert nearest(reference[:15], query, 5).tolist() == [[0, 1, 2, 3, 4]]


def test_references_of_extreme_length(blobs) -> None:
    (reference, _), (query, _) = blobs(6, 60, 24), blobs(6, 10, 24, draw=1)
    expected = nearest(reference, query, 5)
    for scale in (1e-200, 1e-44, 1e-22, 1e18, 1e30, 1e200):
        assert torch.equal(nearest(reference.double() * scale, query * 1e30, 5), expected)
        assert torch.equal(nearest(reference, query.double() * scale, 5), expected)


def test_a_query_among_the_references_finds_itself(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs(spread=4.0)
    assert metrics.knn_accuracy(e, labels, e, labels, 5, ks=(1,))[1].all()


def test_all_references_as_neighbours(metrics: SimpleNamespace) -> None:
    reference, labels = torch.eye(3), torch.tensor([0, 1, 1])
    assert metrics.knn_predictions(reference, labels, torch.tensor([[1.0, 0.0, 0.0]]), 2, ks=(3,))[3].tolist() == [1]


def test_a_class_without_references_is_not_scored(metrics: SimpleNamespace) -> None:
    correct = metrics.knn_accuracy(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), torch.tensor([0, 2]), 3, ks=(1,))
    assert correct[1][0] == 1
    assert correct[1][1].isnan()


def test_no_query(metrics: SimpleNamespace) -> None:
    found = metrics.knn_predictions(torch.eye(2), torch.arange(2), torch.empty(0, 2), 2, ks=(1, 2))
    assert found[1].shape == found[2].shape == (0,)


def test_blocks_one_by_one_are_the_whole(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(6, 60, 24), blobs(6, 10, 24, draw=1)
    expected = metrics.knn_predictions(reference, labels, query, 6, ks=(1, 5))
    for sizes in ([360], [1] * 360, [0, 7, 300, 53], [4, 356]):
        blocks = zip(reference.split(sizes), labels.split(sizes), strict=True)
        found = metrics.knn_predictions(blocks, None, query, 6, ks=(1, 5), block=(16, 64))
        assert all(torch.equal(found[k], expected[k]) for k in (1, 5))


def test_blocks_are_let_go(blobs) -> None:
    query, _ = blobs(6, 10, 24, draw=1)
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal most
        for draw in range(30):
            e, labels = blobs(6, 60, 24, draw=draw)
            alive.append(weakref.ref(e))
            most = max(most, sum(ref() is not None for ref in alive))
            yield e, labels
            del e

    plain.knn_predictions(blocks(), None, query, 6, ks=(3,), block=(16, 360))
    assert len(alive) == 30
    assert most <= 3


def test_wrong_blocks_are_named() -> None:
    good, labels = torch.eye(2), torch.arange(2)
    query = torch.eye(2)
    with pytest.raises(ValueError, match="reference block 1: 1 of 2 rows are not finite"):
        plain.knn_predictions([(good, labels), (good / torch.tensor([[1], [0]]), labels)], None, query, 2, ks=(1,))
    with pytest.raises(ValueError, match="reference block 0: found 1 labels for 2 rows"):
        plain.knn_predictions([(good, labels[:1])], None, query, 2, ks=(1,))
    with pytest.raises(ValueError, match=r"reference block 0: found vectors of 2 dimensions; expected 3"):
        plain.knn_predictions([(good, labels)], None, torch.ones(1, 3), 2, ks=(1,))
    with pytest.raises(ValueError, match=r"ks: found \(3,\); expected integers in \[1, 2\]"):
        plain.knn_predictions(iter([(good, labels)]), None, query, 2, ks=(3,))
    with pytest.raises(ValueError, match="reference_labels: found None"):
        plain.knn_predictions(good, None, query, 2, ks=(1,))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_votes_against_python(row: list[int]) -> None:
    assert majority(torch.tensor([row])).tolist() == [vote(row)]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(6, 40), st.integers(2, 8), st.integers(1, 6), st.integers(0, 10**6))
def test_rotation_scale_and_repeated_queries_do_not_matter(n: int, d: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(n, d, dtype=torch.float64, generator=generator)
    labels = torch.randint(3, (n,), generator=generator)
    query = torch.randn(9, d, dtype=torch.float64, generator=generator)
    found = plain.knn_predictions(reference, labels, query, 3, ks=(k,), block=(4, 5))[k]
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    changed = plain.knn_predictions(reference @ turn * 5, labels, (query @ turn * 0.2).repeat(2, 1), 3, ks=(k,))[k]
    assert torch.equal(changed, found.repeat(2))


def test_neighbours_are_those_of_faiss() -> None:
    """An exact index in float32; no two of these cosines are so near that float32 could exchange them."""
    faiss = pytest.importorskip("faiss")
    generator = torch.Generator().manual_seed(0)
    reference, query = (uvec(torch.randn(n, 48, generator=generator) + 1) for n in (3000, 200))
    index = faiss.IndexFlatIP(48)
    index.add(reference.numpy())
    _, expected = index.search(query.numpy(), 5)
    assert np.array_equal(nearest(reference, query, 5).numpy(), expected)
