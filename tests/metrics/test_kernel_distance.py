"""Kernel distance: two points, near-linear kernels, duplication, scikit-learn's kernels, blocks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
from torch import Tensor

from synthgap.metrics import _blocks

KERNELS = ("gaussian", "polynomial")


def by_scikit_learn(a: Tensor, b: Tensor, kernel: str, unbiased: bool) -> float:
    def k(x: Tensor, y: Tensor) -> np.ndarray:
        x, y = x.double().numpy(), y.double().numpy()
        return rbf_kernel(x, y, gamma=1 / 18) if kernel == "gaussian" else polynomial_kernel(x, y, degree=3)

    keep = [~np.eye(len(x), dtype=bool) if unbiased else np.ones((len(x), len(x)), dtype=bool) for x in (a, b)]
    return k(a, a)[keep[0]].mean() + k(b, b)[keep[1]].mean() - 2 * k(a, b).mean()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("unbiased", [True, False])
def test_against_scikit_learn_in_small_blocks_too(
    metrics: SimpleNamespace, blobs, monkeypatch: pytest.MonkeyPatch, kernel: str, unbiased: bool
) -> None:
    a, b = blobs(1, 50)[0], blobs(1, 37, seed=1)[0]
    expected = by_scikit_learn(a, b, kernel, unbiased)
    options = {"kernel": kernel, "sigma": 3.0, "unbiased": unbiased}
    assert metrics.kernel_distance(a, b, **options) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 64)
    assert metrics.kernel_distance(a, b, **options) == pytest.approx(expected, rel=1e-9)


def test_two_points(metrics: SimpleNamespace) -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    found = metrics.kernel_distance(a, b, sigma=1.0, unbiased=False)
    assert found == pytest.approx(2 - 2 / math.e, rel=1e-12)
    # (1/2 + 1)^3 with itself, 1^3 with the other
    polynomial = metrics.kernel_distance(a, b, kernel="polynomial", unbiased=False)
    assert polynomial == pytest.approx(2 * 1.5**3 - 2, rel=1e-12)
    assert metrics.kernel_distance(a, b, unbiased=False, times_1000=True) == pytest.approx(
        1000 * metrics.kernel_distance(a, b, unbiased=False), rel=1e-12
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_identical_and_duplicated_sets(metrics: SimpleNamespace, blobs, kernel: str) -> None:
    a, b = blobs(1, 30)[0], blobs(1, 30, seed=1)[0]
    biased = {"kernel": kernel, "unbiased": False}
    assert metrics.kernel_distance(a, a.flip(0), **biased) == pytest.approx(0, abs=1e-9)
    assert metrics.kernel_distance(a, a, kernel=kernel) < 0
    once = metrics.kernel_distance(a, b, **biased)
    assert once > 0
    assert metrics.kernel_distance(a.repeat(2, 1), b.repeat(3, 1), **biased) == pytest.approx(once, rel=1e-9)
    assert metrics.kernel_distance(b, a, **biased) == pytest.approx(once, rel=1e-9)


def test_the_unbiased_one_is_right_on_average(metrics: SimpleNamespace) -> None:
    draws = torch.randn(400, 2, 6, 3, generator=torch.Generator().manual_seed(0))
    for unbiased, low, high in [(True, -0.02, 0.02), (False, 0.1, 1.0)]:
        found = [metrics.kernel_distance(a, b, sigma=1.0, unbiased=unbiased) for a, b in draws]
        assert low < sum(found) / 400 < high


def test_rotation_and_shift(metrics: SimpleNamespace, blobs, rotation) -> None:
    a, b = blobs(1, 30)[0].double(), blobs(1, 30, seed=1)[0].double()
    value = metrics.kernel_distance(a, b)
    assert metrics.kernel_distance(a @ rotation(16) + 4, b @ rotation(16) + 4) == pytest.approx(value, rel=1e-9)
    polynomial = metrics.kernel_distance(a, b, kernel="polynomial")
    turned = metrics.kernel_distance(a @ rotation(16), b @ rotation(16), kernel="polynomial")
    assert turned == pytest.approx(polynomial, rel=1e-9)


def test_on_unit_vectors_cmmd_is_almost_the_distance_of_means(metrics: SimpleNamespace, blobs) -> None:
    a, b = metrics.uvec(blobs(1, 200)[0]), metrics.uvec(blobs(1, 200, seed=1)[0])
    means = float((a.double().mean(dim=0) - b.double().mean(dim=0)).square().sum())
    assert metrics.kernel_distance(a, b, unbiased=False) == pytest.approx(means / 100, rel=0.02)


def test_too_few_images_and_a_wrong_kernel(metrics: SimpleNamespace) -> None:
    one, many = torch.ones(1, 2), torch.rand(5, 2)
    assert math.isnan(metrics.kernel_distance(one, many))
    assert math.isnan(metrics.kernel_distance(many[:0], many, unbiased=False))
    assert metrics.kernel_distance(one, many, unbiased=False) > 0


@pytest.mark.parametrize("kernel", ["gaussian", "polynomial"])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(("n", "m"), [(60, 45), (7, 20)])
def test_interval_is_the_plain_jackknifes(
    metrics: SimpleNamespace, kernel: str, unbiased: bool, n: int, m: int
) -> None:
    """The sums over pairs of groups give what the images themselves give."""
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(n, 5, generator=generator), torch.randn(m, 5, generator=generator) + 0.5
    options = {"kernel": kernel, "sigma": 2.0, "unbiased": unbiased}
    low, high = metrics.kernel_distance_interval(a, b, **options, times_1000=True, seed=3)
    expected = metrics.jackknife_interval(lambda a, b: [metrics.kernel_distance(a, b, **options)], [a, b], seed=3)
    assert (low / 1000, high / 1000) == pytest.approx([float(end) for end in expected])
    assert low < high


def test_no_interval_of_two_images(metrics: SimpleNamespace) -> None:
    low, high = metrics.kernel_distance_interval(torch.randn(2, 3), torch.randn(9, 3), seed=0)
    assert math.isnan(low) and math.isnan(high)
