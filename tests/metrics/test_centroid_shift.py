"""Centroid shift: closed forms, invariances, scipy; its bootstrap: coverage and edge cases."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from scipy.spatial.distance import cosine
from sklearn.preprocessing import normalize


@pytest.mark.parametrize("angle", [0.0, 0.01, 0.8, math.pi / 2, 3.0])
def test_a_set_turned_by_a_known_angle(metrics: SimpleNamespace, angle: float) -> None:
    spread = torch.tensor([-0.2, 0.2], dtype=torch.float64)
    a = torch.stack([spread.cos(), spread.sin()], dim=1)
    b = torch.stack([(spread + angle).cos(), (spread + angle).sin()], dim=1)
    labels = torch.zeros(2, dtype=torch.long)
    found = float(metrics.centroid_shift(a, labels, 5 * b, labels, 1))
    assert found == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-9, abs=1e-30)


def test_a_set_against_itself_shuffled_and_doubled(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs()
    order = torch.randperm(len(e), generator=torch.Generator().manual_seed(0)).repeat(2)
    found = metrics.centroid_shift(e, labels, e[order], labels[order], 5)
    torch.testing.assert_close(found, torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-24)


def test_against_scipy(metrics: SimpleNamespace, blobs, rotation) -> None:
    (a, of_a), (b, of_b) = blobs(6, 20, draw=0), blobs(6, 30, draw=1)
    found = metrics.centroid_shift(a, of_a, b, of_b, 6)
    for key, value in enumerate(found.tolist()):
        middles = [normalize(e[of == key].double().numpy()).sum(axis=0) for e, of in ((a, of_a), (b, of_b))]
        assert value == pytest.approx(cosine(*middles), rel=1e-7)
    torch.testing.assert_close(metrics.centroid_shift(b, of_b, a, of_a, 6), found)
    turn = rotation(a.shape[1])
    turned = metrics.centroid_shift(a.double() @ turn, of_a, b.double() @ turn, of_b, 6)
    torch.testing.assert_close(turned, found, rtol=1e-9, atol=0)


def test_a_class_in_one_set_only(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs()
    kept = labels != 3
    assert metrics.centroid_shift(e, labels, e[kept], labels[kept], 6).isnan().tolist() == [
        False,
        False,
        False,
        True,
        False,
        True,
    ]
    found = metrics.centroid_shift_bootstrap(e, labels, e[kept], labels[kept], 6, resamples=50, seed=0)
    assert found.low.isnan().tolist() == [False, False, False, True, False, True]
    assert not math.isnan(found.overall[0])


@pytest.mark.parametrize(("d", "moved", "most"), [(8, 1.0, 0.98), (32, 0.2, 1.0)])
def test_interval_covers_the_expected_figure(metrics: SimpleNamespace, d: int, moved: float, most: float) -> None:
    """Each class is one trial.

    Where scatter is most of the shift (d = 32) the plain percentile interval lies above the truth, as scatter counts
    twice in a resample; the shifted one is wide there.
    """
    n, trials, all_classes = 40, 300, 1000
    generator = torch.Generator().manual_seed(5)
    a = torch.randn(all_classes * n, d, generator=generator) + 1
    b = torch.randn(all_classes * n, d, generator=generator) + torch.linspace(1 - moved, 1 + moved, d)
    labels = torch.arange(all_classes).repeat_interleave(n)
    truth = float(metrics.centroid_shift(a, labels, b, labels, all_classes).mean())
    few = slice(0, trials * n)
    found = metrics.centroid_shift_bootstrap(a[few], labels[few], b[few], labels[few], trials, resamples=200, seed=0)
    assert 0.89 <= float(((found.low <= truth) & (truth <= found.high)).double().mean()) <= most
    assert float((found.high - found.low).mean()) < 2 * truth


def test_one_prompt_against_many_images_has_an_interval(metrics: SimpleNamespace, blobs) -> None:
    e, labels = blobs(3)
    prompts, own = torch.eye(16)[:3], torch.arange(3)
    found = metrics.centroid_shift_bootstrap(prompts, own, e, labels, 3, resamples=100, seed=0)
    value = metrics.centroid_shift(prompts, own, e, labels, 3)
    assert ((found.low < value) & (value < found.high)).all()
    alone = metrics.centroid_shift_bootstrap(prompts, own, prompts, own, 3, resamples=100, seed=0)
    assert alone.low.isnan().all()
    none = metrics.centroid_shift_bootstrap(prompts, own, e, labels, 3, resamples=0, seed=0)
    assert none.low.isnan().all()


def test_two_samples_of_one_population_touch_zero(metrics: SimpleNamespace, blobs) -> None:
    (a, of_a), (b, of_b) = blobs(4, 60, draw=0), blobs(4, 60, draw=1)
    found = metrics.centroid_shift_bootstrap(a, of_a, b, of_b, 4, resamples=200, seed=0)
    assert (found.low >= 0).all()
    moved = metrics.centroid_shift_bootstrap(a, of_a, b + 1, of_b, 4, resamples=200, seed=0)
    assert (moved.low > found.high).all()
