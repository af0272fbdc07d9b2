"""Bootstrap over classes: coverage of a mean over drawn classes, scipy, sizes, undefined classes, blocks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch

from synthgap import metrics as plain
from synthgap.metrics import _blocks


def figures(classes: int, *, seed: int = 0) -> torch.Tensor:
    return torch.rand(classes, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_it_covers_the_mean_of_the_population_of_classes_where_resampled_images_do_not() -> None:
    """Classes of accuracies between 0 and 1, 20 images each: the mean of all such classes is 0.5."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(50).repeat_interleave(20)
    over_classes, over_images = [], []
    for trial in range(200):
        chances = torch.rand(50, generator=generator)[labels]
        correct = (torch.rand(1000, generator=generator) < chances).double()
        by_class = plain.class_means(correct, labels, 50)
        low, high = plain.bootstrap_over_classes(by_class, resamples=200, seed=trial)
        over_classes.append(low <= 0.5 <= high)
        low, high = plain.bootstrap_interval(correct, labels, resamples=200, seed=trial)
        over_images.append(low <= 0.5 <= high)
    assert 0.9 <= np.mean(over_classes) <= 0.98
    assert np.mean(over_images) < 0.6


def test_sizes_that_follow_the_figures_are_covered_as_a_ratio() -> None:
    """Large classes are the easy ones: of figures u in [0, 1] and sizes near 100 u the mean over images is 2 / 3."""
    generator = torch.Generator().manual_seed(1)
    with_sizes, alike = [], []
    for trial in range(200):
        by_class = torch.rand(60, dtype=torch.float64, generator=generator)
        sizes = (100 * by_class).round().long()
        low, high = plain.bootstrap_over_classes(by_class, resamples=200, seed=trial, sizes=sizes)
        with_sizes.append(low <= 2 / 3 <= high)
        low, high = plain.bootstrap_over_classes(by_class, resamples=200, seed=trial)
        alike.append(low <= 0.5 <= high)
    assert 0.89 <= np.mean(with_sizes) <= 0.99
    assert 0.89 <= np.mean(alike) <= 0.99


@pytest.mark.parametrize("weighted", [False, True])
def test_against_scipy(metrics: SimpleNamespace, weighted: bool) -> None:
    by_class, sizes = figures(30), torch.arange(30) + 1
    found = metrics.bootstrap_over_classes(by_class, resamples=20_000, seed=0, sizes=sizes if weighted else None)

    def mean(rows: np.ndarray) -> float:
        return float(np.average(by_class.numpy()[rows], weights=sizes.numpy()[rows] if weighted else None))

    expected = scipy.stats.bootstrap(
        (np.arange(30),), mean, n_resamples=9999, method="percentile", vectorized=False, rng=np.random.default_rng(0)
    )
    assert found == pytest.approx(tuple(expected.confidence_interval), abs=0.01)


def test_classes_of_one_size_weigh_alike(metrics: SimpleNamespace) -> None:
    by_class = figures(12)
    alike = metrics.bootstrap_over_classes(by_class, resamples=100, seed=0)
    of_seven = metrics.bootstrap_over_classes(by_class, resamples=100, seed=0, sizes=torch.full((12,), 7))
    assert of_seven == pytest.approx(alike, rel=1e-12)


def test_undefined_and_empty_classes_are_left_out(metrics: SimpleNamespace) -> None:
    by_class = figures(6)
    expected = metrics.bootstrap_over_classes(by_class, resamples=100, seed=0)
    with_holes = torch.cat([by_class[:3], torch.tensor([torch.nan]), by_class[3:]])
    assert metrics.bootstrap_over_classes(with_holes, resamples=100, seed=0) == expected
    with_empty = torch.cat([by_class, torch.tensor([9.0])])
    sizes = torch.tensor([2, 2, 2, 2, 2, 2, 0])
    assert metrics.bootstrap_over_classes(with_empty, resamples=100, seed=0, sizes=sizes) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [math.nan, math.nan]])
def test_fewer_than_two_classes(metrics: SimpleNamespace, values: list[float]) -> None:
    found = metrics.bootstrap_over_classes(torch.tensor(values), resamples=9, seed=0)
    assert all(math.isnan(end) for end in found)


def test_no_resamples_equal_classes_and_seeds(metrics: SimpleNamespace) -> None:
    by_class = figures(20)
    assert all(math.isnan(end) for end in metrics.bootstrap_over_classes(by_class, resamples=0, seed=0))
    assert metrics.bootstrap_over_classes(torch.ones(5), resamples=9, seed=0) == (1.0, 1.0)
    first, again, other = (metrics.bootstrap_over_classes(by_class, resamples=40, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_many_resamples_come_in_blocks(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    by_class, sizes = figures(30), torch.arange(30) + 1
    whole = metrics.bootstrap_over_classes(by_class, resamples=200, seed=0, sizes=sizes)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 64)
    assert metrics.bootstrap_over_classes(by_class, resamples=200, seed=0, sizes=sizes) == pytest.approx(
        whole, rel=1e-12
    )


@pytest.mark.parametrize(
    ("sizes", "words"),
    [([1, 2], "2 sizes for 3 classes"), ([1, -2, 3], "found -2; expected"), ([1.0, 2.0, 3.0], "expected integers")],
)
def test_wrong_sizes(sizes: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=f"^sizes: .*{words}"):
        plain.bootstrap_over_classes(figures(3), resamples=9, seed=0, sizes=torch.tensor(sizes))
