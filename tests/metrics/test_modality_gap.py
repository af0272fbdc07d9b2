"""Modality gap: two directions, scikit-learn's unit vectors, the figure of `linear_separability`, empty sets."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.preprocessing import normalize


def test_two_directions(metrics: SimpleNamespace) -> None:
    a, b = torch.tensor([[2.0, 0.0]]).repeat(4, 1), torch.tensor([[math.cos(0.8), math.sin(0.8)]])
    assert metrics.modality_gap(a, b) == pytest.approx(2 * math.sin(0.4), rel=1e-6)
    assert metrics.modality_gap(a, a) == 0
    # opposite images cancel: a mean of 0
    assert metrics.modality_gap(torch.cat([b, -b]), a) == pytest.approx(1, rel=1e-12)


def test_against_scikit_learn_and_the_neighbour(metrics: SimpleNamespace, blobs, rotation) -> None:
    a, b = blobs(1, 40)[0].double(), blobs(1, 30, seed=1)[0].double()
    means = [normalize(e.numpy()).mean(axis=0) for e in (a, b)]
    value = metrics.modality_gap(a, b)
    assert value == pytest.approx(np.linalg.norm(means[0] - means[1]), rel=1e-12)
    assert value == pytest.approx(metrics.linear_separability(a, b, 0).modality_gap, rel=1e-12)
    assert metrics.modality_gap(3 * b @ rotation(16), a @ rotation(16)) == pytest.approx(value, rel=1e-12)


def test_empty_sets(metrics: SimpleNamespace) -> None:
    assert math.isnan(metrics.modality_gap(torch.ones(3, 2), torch.empty(0, 2)))
