"""Gaussian classes: scikit-learn's LDA, QDA and Ledoit-Wolf, scipy's densities, fallbacks, invariances, blocks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from torch import Tensor

from synthgap import metrics as plain
from synthgap.metrics import _blocks, _covariances
from synthgap.metrics._blocks import unit

KINDS = ("shared", "own")


def covariance_of(e: Tensor, shrinkage: float | None) -> np.ndarray:
    """The (d, d) covariance that `_covariances.own` factored, by its squared lengths: ``|e_i + e_j|^2`` and ``|e_i|^2``."""
    found = _covariances.own(e, unit(e).mean(dim=0), shrinkage)
    assert found is not None
    axes = torch.eye(e.shape[1], dtype=torch.float64)
    sums = (axes.unsqueeze(0) + axes.unsqueeze(1)).reshape(-1, e.shape[1])
    alone = found.squared_lengths(axes)
    inverse = (found.squared_lengths(sums).reshape(axes.shape) - alone.unsqueeze(0) - alone.unsqueeze(1)) / 2
    matrix = np.linalg.inv(inverse.numpy())
    assert found.log_determinant == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-9)
    return np.asarray(matrix)


@pytest.mark.parametrize("n", [3, 10, 15, 16, 17, 200])
def test_own_covariance_is_ledoit_wolfs_with_the_unbiased_divisor(blobs, n: int) -> None:
    e = blobs(1, n)[0]
    theirs = LedoitWolf().fit(unit(e).numpy())
    np.testing.assert_allclose(covariance_of(e, None), theirs.covariance_ * n / (n - 1), rtol=0, atol=1e-10)
    assert 0 < theirs.shrinkage_ < 1


def test_pooled_covariance_is_ledoit_wolfs_of_the_centred_rows(blobs) -> None:
    e, labels = blobs(6, 20, 24)
    means = torch.stack([unit(e)[labels == key].mean(dim=0) for key in range(6)])
    found = _covariances.pooled(e, labels, means, None)
    centred = (unit(e) - means[labels]).numpy()
    theirs = LedoitWolf(assume_centered=True).fit(centred).covariance_ * 120 / 114
    np.testing.assert_allclose((found.factor @ found.factor.T).numpy(), theirs, rtol=0, atol=1e-12)
    assert found.log_determinant == pytest.approx(np.linalg.slogdet(theirs)[1], rel=1e-9)


@pytest.mark.parametrize("shrinkage", [0.001, 0.2, 1.0])
def test_shared_against_scikit_learn(metrics: SimpleNamespace, blobs, shrinkage: float) -> None:
    (reference, labels), (query, _) = blobs(6, 15, 24, spread=2.5), blobs(6, 50, 24, draw=1, spread=2.5)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=np.full(6, 1 / 6))
    expected = model.fit(unit(reference).numpy(), labels.numpy()).predict(unit(query).numpy())
    options = {"covariance": "shared", "shrinkage": shrinkage}
    assert metrics.gaussian_predictions(reference, labels, query, 6, **options).tolist() == expected.tolist()
    assert len(set(expected.tolist())) == 6


def test_the_estimated_shrinkage_against_scikit_learn(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(6, 15, 24, spread=2.5), blobs(6, 50, 24, draw=1, spread=2.5)
    x = unit(reference).numpy()
    centred = x - np.stack([x[labels.numpy() == key].mean(axis=0) for key in range(6)])[labels.numpy()]
    share = LedoitWolf(assume_centered=True).fit(centred).shrinkage_
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share, priors=np.full(6, 1 / 6))
    expected = model.fit(x, labels.numpy()).predict(unit(query).numpy())
    found = metrics.gaussian_predictions(reference, labels, query, 6, covariance="shared", shrinkage=None)
    assert found.tolist() == expected.tolist()
    assert 0.01 < share < 0.99


def test_sizes_of_classes_are_no_priors(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(4, 40, 8, spread=3.0), blobs(4, 60, 8, draw=1, spread=3.0)
    kept = (labels < 2) | (torch.arange(len(labels)) % 3 == 0)
    reference, labels = reference[kept], labels[kept]
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1).fit(unit(reference).numpy(), labels.numpy())
    scores = model.decision_function(unit(query).numpy())
    found = metrics.gaussian_predictions(reference, labels, query, 4, covariance="shared", shrinkage=0.1)
    # scikit-learn takes the priors from the sizes, into its intercept and nothing else
    assert found.tolist() == (scores - np.log(model.priors_)).argmax(axis=1).tolist()
    assert found.tolist() != scores.argmax(axis=1).tolist()


@pytest.mark.parametrize("per_class", [8, 60])
def test_own_against_scipy(metrics: SimpleNamespace, blobs, per_class: int) -> None:
    d = 24
    (reference, labels), (query, _) = blobs(5, per_class, d, spread=2.5), blobs(5, 40, d, draw=1, spread=2.5)
    kept = (labels > 0) | (torch.arange(len(labels)) % 2 == 0)  # classes of two sizes
    reference, labels = reference[kept], labels[kept]
    densities = []
    for key in range(5):
        x = unit(reference[labels == key]).numpy()
        covariance = np.cov(x, rowvar=False)
        shrunk = 0.8 * covariance + 0.2 * np.trace(covariance) / d * np.eye(d)
        densities.append(multivariate_normal(x.mean(axis=0), shrunk).logpdf(unit(query).numpy()))
    expected = np.stack(densities).argmax(axis=0)
    found = metrics.gaussian_predictions(reference, labels, query, 5, covariance="own", shrinkage=0.2)
    assert found.tolist() == expected.tolist()
    assert len(set(expected.tolist())) == 5


def test_own_with_hardly_any_shrinkage_is_quadratic_discriminant_analysis(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(4, 60, 6, spread=2.5), blobs(4, 80, 6, draw=1, spread=2.5)
    model = QuadraticDiscriminantAnalysis(priors=np.full(4, 0.25)).fit(unit(reference).numpy(), labels.numpy())
    found = metrics.gaussian_predictions(reference, labels, query, 4, covariance="own", shrinkage=1e-8)
    assert found.tolist() == model.predict(unit(query).numpy()).tolist()
    linear = metrics.gaussian_predictions(reference, labels, query, 4, covariance="shared", shrinkage=1e-8)
    assert found.tolist() != linear.tolist()


def test_a_wide_class_reaches_further_than_a_narrow_one(metrics: SimpleNamespace) -> None:
    """Two classes of one mean: only the spread tells them apart."""
    generator = torch.Generator().manual_seed(0)
    middle, labels = torch.ones(12), torch.arange(2).repeat_interleave(200)
    scale = torch.tensor([0.1, 0.5])[labels].unsqueeze(1)
    reference, query = (middle + scale * torch.randn(400, 12, generator=generator) for _ in range(2))
    right = {
        kind: metrics.gaussian_accuracy(reference, labels, query, labels, 2, covariance=kind, shrinkage=None).mean()
        for kind in KINDS
    }
    assert right["own"] > 0.97
    assert right["shared"] < right["own"] - 0.04  # it sees that unit vectors of a wide class have a shorter mean
    assert metrics.centroid_accuracy(reference, labels, query, labels, 2, seed=0).mean() < 0.6


def test_one_prompt_per_class_is_the_nearest_centroid(metrics: SimpleNamespace, blobs) -> None:
    reference, labels = blobs(5, 1)
    query, _ = blobs(5, 40, draw=1, spread=2.0)
    expected = metrics.nearest_centroid(reference, labels, query, 5, seed=0)
    for kind in KINDS:
        for prompts, of in [(reference, labels), (reference.repeat(3, 1), labels.repeat(3))]:
            for shrinkage in (None, 0.3):
                found = metrics.gaussian_predictions(prompts, of, query, 5, covariance=kind, shrinkage=shrinkage)
                assert torch.equal(found, expected)


@pytest.mark.parametrize("few", [1, 2])
def test_a_class_too_small_for_its_own_covariance_takes_the_shared_one(
    metrics: SimpleNamespace, blobs, few: int
) -> None:
    (reference, labels), (query, _) = blobs(3, 40, spread=1.5), blobs(3, 60, draw=1, spread=1.5)
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[(labels == 0).nonzero().squeeze(1)[few:]] = False
    reference, labels = reference[kept], labels[kept]
    parts = [unit(reference[labels == key]).numpy() for key in range(3)]
    n = len(labels)
    pooled = LedoitWolf(assume_centered=True).fit(np.concatenate([x - x.mean(axis=0) for x in parts])).covariance_
    shrunk = [pooled * n / (n - 3), *(LedoitWolf().fit(x).covariance_ * 40 / 39 for x in parts[1:])]
    densities = [
        multivariate_normal(x.mean(axis=0), covariance).logpdf(unit(query).numpy())
        for x, covariance in zip(parts, shrunk, strict=True)
    ]
    found = metrics.gaussian_predictions(reference, labels, query, 3, covariance="own", shrinkage=None)
    assert found.tolist() == np.stack(densities).argmax(axis=0).tolist()
    assert set(found.tolist()) == {0, 1, 2}


def test_two_images_have_a_covariance_if_told_how_far_to_shrink_it(blobs) -> None:
    e = blobs(1, 2)[0]
    mean = unit(e).mean(dim=0)
    assert _covariances.own(e, mean, None) is None
    assert _covariances.own(e.repeat(3, 1), mean, None) is None
    found = covariance_of(e, 0.5)
    covariance = np.cov(unit(e).numpy(), rowvar=False)
    np.testing.assert_allclose(found, covariance / 2 + np.trace(covariance) / 32 * np.eye(16), atol=1e-10)
    assert _covariances.own(e[:1].repeat(4, 1), unit(e[0]), 0.5) is None


def test_a_covariance_that_is_a_scaled_identity_already() -> None:
    circle = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for shrinkage in (None, 0.3):
        np.testing.assert_allclose(covariance_of(circle, shrinkage), np.eye(2) * 2 / 3, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_classes_are_never_named_and_not_scored(metrics: SimpleNamespace, blobs, kind: str) -> None:
    (reference, labels), (query, own) = blobs(3, 30, spread=0.4), blobs(3, 20, draw=1, spread=0.4)
    names, options = torch.tensor([1, 4, 6]), {"covariance": kind, "shrinkage": None}
    found = metrics.gaussian_predictions(reference, names[labels], query, 8, **options)
    assert torch.equal(found, names[own])
    asked = torch.where(own == 0, 2, names[own])
    correct = metrics.gaussian_accuracy(reference, names[labels], query, asked, 8, **options)
    assert correct.isnan().tolist() == (own == 0).tolist()
    assert correct[own > 0].all()
    assert metrics.gaussian_predictions(reference, labels, query[:0], 3, **options).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_of_classes_alike_the_lowest(metrics: SimpleNamespace, blobs, kind: str) -> None:
    (reference, labels), (query, own) = blobs(2, 20, spread=0.4), blobs(2, 20, draw=1, spread=0.4)
    twice, of = torch.cat([reference, reference.flip(0)]), torch.cat([labels, labels.flip(0) + 2])
    found = metrics.gaussian_predictions(twice, of, query, 4, covariance=kind, shrinkage=0.1)
    assert torch.equal(found, own)


@pytest.mark.parametrize("kind", KINDS)
def test_small_blocks_change_nothing(
    metrics: SimpleNamespace, blobs, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for per_class in (6, 40):
        (reference, labels), (query, _) = blobs(4, per_class, spread=2.0), blobs(4, 30, draw=1, spread=2.0)
        with monkeypatch.context() as small:
            whole = metrics.gaussian_predictions(reference, labels, query, 4, covariance=kind, shrinkage=None)
            small.setattr(_blocks, "BLOCK_VALUES", 64)
            parts = metrics.gaussian_predictions(reference, labels, query, 4, covariance=kind, shrinkage=None)
        assert torch.equal(parts, whole)


def test_covariances_come_one_at_a_time(blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a class has fewer members than dimensions, nothing of the size (d, d) but the shared one is factored."""
    (reference, labels), (query, _) = blobs(9, 4, 32), blobs(9, 2, 32, draw=1)
    factored: list[tuple[int, ...]] = []
    cholesky: Callable[[Tensor], Tensor] = torch.linalg.cholesky

    def watched(matrix: Tensor) -> Tensor:
        factored.append(tuple(matrix.shape))
        return cholesky(matrix)

    monkeypatch.setattr(torch.linalg, "cholesky", watched)
    plain.gaussian_predictions(reference, labels, query, 9, covariance="own", shrinkage=None)
    assert sorted(factored) == [(4, 4)] * 9 + [(32, 32)]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(3, 12), st.integers(2, 8), st.sampled_from(KINDS), st.integers(0, 10**6))
def test_rotation_scale_and_order_do_not_matter(per_class: int, d: int, kind: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(3 * per_class, d, dtype=torch.float64, generator=generator)
    labels, query = torch.arange(3).repeat(per_class), torch.randn(9, d, dtype=torch.float64, generator=generator)
    options = {"num_classes": 3, "covariance": kind, "shrinkage": 0.3}
    found = plain.gaussian_predictions(reference, labels, query, **options)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    order = torch.randperm(len(reference), generator=generator)
    lengths = torch.rand(len(reference), 1, dtype=torch.float64, generator=generator) + 0.1
    changed = plain.gaussian_predictions(
        (reference * lengths @ turn)[order], labels[order], query @ turn * 7, **options
    )
    assert torch.equal(changed, found)
