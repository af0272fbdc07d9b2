"""Centroid distance: closed forms, invariances, scipy; its bootstrap: coverage, cost and edge cases."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.preprocessing import normalize

from synthgap import metrics as plain


@pytest.mark.parametrize("angle", [0.01, 0.3, 1.0, 1.5])
def test_images_on_a_cone(metrics: SimpleNamespace, angle: float) -> None:
    turns = torch.arange(12, dtype=torch.float64) * (2 * math.pi / 12)
    ring = torch.stack([turns.cos() * math.sin(angle), turns.sin() * math.sin(angle)], dim=1)
    e = torch.cat([ring, torch.full((12, 1), math.cos(angle), dtype=torch.float64)], dim=1)
    found = metrics.centroid_distance(e, torch.zeros(12, dtype=torch.long), 1)
    assert float(found) == pytest.approx((1 - math.cos(angle)) ** 2, rel=1e-9)


def test_opposite_halves_reach_far(metrics: SimpleNamespace) -> None:
    e = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert float(metrics.centroid_distance(e, torch.zeros(3, dtype=torch.long), 1)) == pytest.approx(4 / 3)


def test_single_image_empty_class_and_no_centroid(metrics: SimpleNamespace) -> None:
    e = torch.tensor([[3.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])
    found = metrics.centroid_distance(e, torch.tensor([0, 2, 2]), 3)
    assert float(found[0]) == pytest.approx(0, abs=1e-15)
    assert found[1:].isnan().all()


def test_against_scipy(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs(6, 25, 20)
    for key, found in enumerate(metrics.centroid_distance(e, labels, 6).tolist()):
        of_class = e[labels == key].double().numpy()
        middle = normalize(of_class).sum(axis=0, keepdims=True)
        assert found == pytest.approx(np.mean(cdist(of_class, middle, "cosine") ** 2), rel=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 30), st.integers(2, 12), st.integers(1, 4), st.integers(0, 10**6))
def test_order_scale_rotation_and_duplication_do_not_matter(n: int, d: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    e = torch.randn(n, d, dtype=torch.float64, generator=generator) + 1
    labels = torch.randint(classes, (n,), generator=generator)
    value = plain.centroid_distance(e, labels, classes)
    order = torch.randperm(n, generator=generator)
    scale = torch.rand(n, 1, dtype=torch.float64, generator=generator) + 0.01
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    for changed, of in [
        (e[order], labels[order]),
        (e * scale, labels),
        (e @ turn, labels),
        (e.repeat(3, 1), labels.repeat(3)),
    ]:
        torch.testing.assert_close(
            plain.centroid_distance(changed, of, classes), value, rtol=1e-9, atol=1e-12, equal_nan=True
        )


def test_wider_spread_is_farther(metrics: SimpleNamespace, blobs) -> None:
    means = [float(metrics.centroid_distance(*blobs(spread=spread), 5).mean()) for spread in (0.1, 0.5, 1.0, 2.0)]
    assert means == sorted(means)
    assert means[-1] > 20 * means[0]


@pytest.mark.parametrize(("d", "least"), [(16, 0.86), (128, 0.90)])
def test_interval_covers_the_expected_figure(metrics: SimpleNamespace, d: int, least: float) -> None:
    """Each class is one trial from the same distribution; the truth is the mean over many more such classes.

    The plain percentile interval covers 0.83 and 0.54 here: it lies too low by the bias of a resample.
    """
    n, trials, all_classes = 50, 300, 1000
    generator = torch.Generator().manual_seed(3)
    e = torch.randn(all_classes * n, d, generator=generator) + 0.6
    labels = torch.arange(all_classes).repeat_interleave(n)
    truth = float(metrics.centroid_distance(e, labels, all_classes).mean())
    found = metrics.centroid_distance_bootstrap(e[: trials * n], labels[: trials * n], trials, resamples=200, seed=0)
    assert least <= float(((found.low <= truth) & (truth <= found.high)).double().mean()) <= 0.98


def test_overall_interval_is_of_the_mean_over_classes(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs(8, 30)
    value = metrics.centroid_distance(e, labels, 8)
    found = metrics.centroid_distance_bootstrap(e, labels, 8, resamples=300, seed=1)
    assert found.overall[0] < float(value.mean()) < found.overall[1]
    assert ((found.low < value) & (value < found.high)).all()
    # eight classes averaged: the interval narrows by about the square root of eight
    narrower = float((found.high - found.low).mean()) / (found.overall[1] - found.overall[0])
    assert 2.2 < narrower < 3.6


def test_bootstrap_is_reproducible_and_depends_on_the_seed(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs()
    first, again, other = (
        metrics.centroid_distance_bootstrap(e, labels, 5, resamples=50, seed=seed) for seed in (4, 4, 5)
    )
    assert torch.equal(first.low, again.low)
    assert first.overall == again.overall
    assert not torch.equal(first.low, other.low)


def test_bootstrap_of_classes_too_small(metrics: SimpleNamespace) -> None:
    e = torch.tensor([[1.0, 0.0], [0.5, 1.0], [1.0, 1.0]])
    found = metrics.centroid_distance_bootstrap(e, torch.tensor([0, 0, 1]), 3, resamples=100, seed=0)
    assert found.low.isnan().tolist() == [False, True, True]
    assert found.low[0] >= 0
    alone = metrics.centroid_distance_bootstrap(e[:1], torch.tensor([0]), 1, resamples=100, seed=0)
    assert all(math.isnan(end) for end in alone.overall)
    none = metrics.centroid_distance_bootstrap(e, torch.tensor([0, 0, 1]), 3, resamples=0, seed=0)
    assert none.high.isnan().all()
    assert math.isnan(none.overall[0])


def test_identical_images_have_an_interval_at_zero(metrics: SimpleNamespace) -> None:
    found = metrics.centroid_distance_bootstrap(
        torch.ones(5, 3), torch.zeros(5, dtype=torch.long), 1, resamples=20, seed=0
    )
    assert float(found.low) == pytest.approx(0, abs=1e-20)
    assert float(found.high) == pytest.approx(0, abs=1e-20)


def test_bootstrap_cost(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs(10, 500, 256)
    start = time.process_time()
    metrics.centroid_distance_bootstrap(e, labels, 10, resamples=200, seed=0)
    assert time.process_time() - start < 2  # measured: 0.1 s
