"""Near duplicates: copies, chains, scipy's connected components, blocks, the list of pairs."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from sklearn.metrics.pairwise import cosine_similarity

from synthgap import metrics as plain
from synthgap.metrics import _blocks


def test_copies(metrics: SimpleNamespace) -> None:
    rows = torch.tensor([0, 1, 2, 1, 0, 1, 3])
    e = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))[rows] * torch.arange(1, 8).unsqueeze(1)
    found = metrics.near_duplicates(e, threshold=1.0)
    assert found.groups.tolist() == [0, 1, 2, 1, 0, 1, 6]
    assert found.count == 1 + 3
    assert found.share == pytest.approx(5 / 7)
    assert sorted(map(tuple, found.pairs.tolist())) == [(0, 4), (1, 3), (1, 5), (3, 5)]
    torch.testing.assert_close(found.cosines, torch.ones(4, dtype=torch.float64))


def test_a_chain_is_one_group_whatever_the_order(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 16)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    angles = 0.05 * order
    found = metrics.near_duplicates(torch.stack([angles.cos(), angles.sin()], dim=1), threshold=math.cos(0.06))
    assert found.count == 39
    assert found.share == 1
    assert (found.groups == 0).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.floats(-0.5, 0.99), st.integers(1, 400), st.integers(0, 10**6))
def test_against_scipy(n: int, threshold: float, block: int, seed: int) -> None:
    e = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blocks, "BLOCK_VALUES", block)
        found = plain.near_duplicates(e, threshold=threshold, most_pairs=n * n)
    cosines = cosine_similarity(e.numpy())
    alike = np.triu(cosines >= threshold, 1)
    _, labels = connected_components(alike, directed=False)
    lowest = [int(np.flatnonzero(labels == label)[0]) for label in labels]
    assert found.groups.tolist() == lowest
    assert found.count == len(found.pairs) == alike.sum()
    assert {tuple(pair) for pair in found.pairs.tolist()} == set(
        zip(*map(np.ndarray.tolist, alike.nonzero()), strict=True)
    )
    np.testing.assert_allclose(found.cosines.numpy(), cosines[tuple(found.pairs.T.numpy())], atol=1e-12)
    assert (found.cosines.diff() <= 0).all()


def test_only_the_most_alike_are_listed(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    e = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    whole = metrics.near_duplicates(e, threshold=0.5)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 100)
    few = metrics.near_duplicates(e, threshold=0.5, most_pairs=7)
    assert torch.equal(few.pairs, whole.pairs[:7])
    assert few.count == whole.count > 7
    assert metrics.near_duplicates(e, threshold=0.5, most_pairs=0).count == whole.count


def test_no_image_and_one(metrics: SimpleNamespace) -> None:
    assert math.isnan(metrics.near_duplicates(torch.empty(0, 3), threshold=0.9).share)
    assert metrics.near_duplicates(torch.ones(1, 3), threshold=0.9).share == 0
