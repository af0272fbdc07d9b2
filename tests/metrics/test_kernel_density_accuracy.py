"""Kernel density: scikit-learn's KernelDensity, both ends of the concentration, its choice, invariances, blocks."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KernelDensity
from torch import Tensor

from synthgap import metrics as plain
from synthgap.metrics import _blocks
from synthgap.metrics._blocks import class_sums, members_by_class, unit

MODULE = sys.modules["synthgap.metrics.kernel_density_accuracy"]


def by_scikit_learn(reference: Tensor, labels: Tensor, query: Tensor, classes: int, kappa: float) -> np.ndarray:
    """Log-densities (m, c): a Gaussian kernel of variance 1 / kappa on unit vectors."""
    models = (KernelDensity(bandwidth=kappa**-0.5).fit(unit(reference[labels == key])) for key in range(classes))
    return np.stack([model.score_samples(unit(query).numpy()) for model in models], axis=1)


def chosen(reference: Tensor, labels: Tensor, classes: int) -> float:
    return float(MODULE._chosen(reference, labels, members_by_class(labels, classes)))


@pytest.mark.parametrize("kappa", [0.5, 10.0, 300.0, 1e5])
def test_against_scikit_learn(metrics: SimpleNamespace, blobs, kappa: float) -> None:
    (reference, labels), (query, _) = blobs(5, 20, spread=2.0), blobs(5, 40, draw=1, spread=2.0)
    kept = (labels > 1) | (torch.arange(len(labels)) % 3 == 0)  # classes of two sizes
    reference, labels = reference[kept], labels[kept]
    expected = by_scikit_learn(reference, labels, query, 5, kappa)
    members = members_by_class(labels, 5)
    found = MODULE._log_densities(unit(query), reference, members, [kappa])[0].numpy()
    # the same up to a number that depends on kappa and d only
    np.testing.assert_allclose(found - found[0, 0], expected - expected[0, 0], rtol=1e-9, atol=1e-9)
    named = metrics.kernel_density_predictions(reference, labels, query, 5, concentration=kappa)
    assert named.tolist() == expected.argmax(axis=1).tolist()


def test_a_high_concentration_is_the_nearest_neighbour_a_low_one_the_mean(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(5, 30, spread=2.0), blobs(5, 60, draw=1, spread=2.0)
    nearest = metrics.knn_predictions(reference, labels, query, 5, ks=(1,))[1]
    means = class_sums(reference, labels, 5) / torch.bincount(labels).unsqueeze(1)
    mean = (unit(query) @ means.T).argmax(dim=1)
    assert torch.equal(metrics.kernel_density_predictions(reference, labels, query, 5, concentration=1e8), nearest)
    assert torch.equal(metrics.kernel_density_predictions(reference, labels, query, 5, concentration=1e-5), mean)
    assert not torch.equal(nearest, mean)


def test_more_references_of_a_class_are_no_votes(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(4, 10, spread=2.0), blobs(4, 50, draw=1, spread=2.0)
    found = metrics.kernel_density_predictions(reference, labels, query, 4, concentration=20.0)
    more = [torch.cat([part, part[labels == 0].repeat(5, *[1] * (part.ndim - 1))]) for part in (reference, labels)]
    assert torch.equal(metrics.kernel_density_predictions(*more, query, 4, concentration=20.0), found)


def test_leaving_out_is_fitting_to_the_others(blobs) -> None:
    reference, labels = blobs(3, 12, spread=2.0)
    for row in (0, 7, 20):
        others = torch.arange(len(labels)) != row
        expected = by_scikit_learn(reference[others], labels[others], reference[[row]], 3, 30.0)
        itself = torch.tensor([row])
        found = MODULE._log_densities(
            unit(reference[itself]), reference, members_by_class(labels, 3), [30.0], (itself, labels[itself])
        )[0].numpy()
        np.testing.assert_allclose(found - found[0, 0], expected - expected[0, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("per_class", "spread"), [(5, 1.0), (60, 1.5), (60, 3.0)])
def test_the_chosen_concentration_is_among_the_good_ones(blobs, per_class: int, spread: float) -> None:
    (reference, labels), (query, own) = blobs(6, per_class, spread=spread), blobs(6, 200, draw=1, spread=spread)
    found = plain.kernel_density_accuracy(reference, labels, query, own, 6, concentration=None).mean()
    tried = [
        float(plain.kernel_density_accuracy(reference, labels, query, own, 6, concentration=kappa).mean())
        for kappa in (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
    ]
    assert found >= max(tried) - 0.03


def test_clusters_want_a_higher_concentration_than_clouds() -> None:
    """Classes of twelve tight clusters each, dealt at random: only near references tell."""
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(36, 8, generator=generator)
    which = torch.arange(36).repeat(15)
    clusters = places[which] + 0.15 * torch.randn(len(which), 8, generator=generator)
    clouds = 2 * places[which % 3] + torch.randn(len(which), 8, generator=generator)
    assert chosen(clusters, which % 3, 3) > 4 * chosen(clouds, which % 3, 3)
    query = places + 0.15 * torch.randn(36, 8, generator=generator)
    own = torch.arange(36) % 3
    correct = plain.kernel_density_accuracy(clusters, which % 3, query, own, 3, concentration=None)
    assert correct.mean() > 0.95
    assert plain.centroid_accuracy(clusters, which % 3, query, own, 3, seed=0).mean() < 0.7


def test_the_queries_choose_nothing(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(4, 20, spread=3.0), blobs(4, 20, draw=1, spread=3.0)
    together = metrics.kernel_density_predictions(reference, labels, query, 4, concentration=None)
    alone = [
        metrics.kernel_density_predictions(reference, labels, row, 4, concentration=None) for row in query.split(1)
    ]
    assert torch.equal(together, torch.cat(alone))


def test_many_references_are_left_out_from_all_classes_alike(blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, labels = blobs(6, 60, spread=2.0)
    asked: list[Tensor] = []
    densities = MODULE._log_densities

    def watched(block: Tensor, reference: Tensor, members: list[Tensor], kappas: list[float], without: tuple) -> Tensor:
        asked.append(without[1])
        return densities(block, reference, members, kappas, without)

    monkeypatch.setattr(MODULE, "_log_densities", watched)
    monkeypatch.setattr(MODULE, "MOST_LEFT_OUT", 36)
    chosen(reference, labels, 6)
    assert torch.bincount(torch.cat(asked)).tolist() == [6] * 6


def test_one_reference_per_class_and_classes_all_alike(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, _) = blobs(5, 1), blobs(5, 30, draw=1, spread=2.0)
    expected = metrics.nearest_centroid(reference, labels, query, 5, seed=0)
    for prompts, of in [(reference, labels), (reference.repeat(3, 1), labels.repeat(3))]:
        found = metrics.kernel_density_predictions(prompts, of, query, 5, concentration=None)
        assert torch.equal(found, expected)
    # a class of one beside classes of many: it is not left out in turn, but named
    many, of = blobs(5, 20, spread=0.4)
    kept = (of > 0) | (torch.arange(len(of)) == int((of == 0).nonzero()[0]))
    own = blobs(5, 20, draw=1, spread=0.4)
    assert metrics.kernel_density_accuracy(many[kept], of[kept], *own, 5, concentration=None).all()


def test_a_class_of_one_has_no_say_in_the_concentration(blobs) -> None:
    reference, labels = blobs(5, 20, spread=2.0)
    lone = -reference.mean(dim=0, keepdim=True)
    more, of = torch.cat([reference, lone]), torch.cat([labels, torch.tensor([5])])
    assert chosen(more, of, 6) == pytest.approx(chosen(reference, labels, 5), rel=1e-9)


def test_missing_classes_are_never_named_and_not_scored(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, own) = blobs(3, 30, spread=0.4), blobs(3, 20, draw=1, spread=0.4)
    names = torch.tensor([1, 4, 6])
    found = metrics.kernel_density_predictions(reference, names[labels], query, 8, concentration=None)
    assert torch.equal(found, names[own])
    asked = torch.where(own == 0, 2, names[own])
    correct = metrics.kernel_density_accuracy(reference, names[labels], query, asked, 8, concentration=5.0)
    assert correct.isnan().tolist() == (own == 0).tolist()
    assert correct[own > 0].all()
    assert metrics.kernel_density_predictions(reference, labels, query[:0], 3, concentration=None).shape == (0,)


def test_of_classes_alike_the_lowest_and_no_underflow(metrics: SimpleNamespace) -> None:
    reference, labels = torch.eye(3).repeat(2, 1), torch.tensor([2, 1, 0, 4, 3, 5])
    query = torch.tensor([[1.0, 0.1, 0.0], [0.0, 0.1, 1.0], [-1.0, -1.0, -1.1]])
    for kappa in (1.0, 1e6, 1e300):
        found = metrics.kernel_density_predictions(reference, labels, query, 6, concentration=kappa)
        assert found[:2].tolist() == [2, 0]
    assert int(metrics.kernel_density_predictions(reference, labels, query[2:], 6, concentration=1e6)) == 1


def test_small_blocks_change_nothing(metrics: SimpleNamespace, blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    (reference, labels), (query, _) = blobs(4, 25, spread=2.0), blobs(4, 20, draw=1, spread=2.0)
    whole = metrics.kernel_density_predictions(reference, labels, query, 4, concentration=None)
    kappa = chosen(reference, labels, 4)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 64)
    assert torch.equal(metrics.kernel_density_predictions(reference, labels, query, 4, concentration=None), whole)
    assert chosen(reference, labels, 4) == pytest.approx(kappa, rel=1e-9)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(2, 10), st.integers(2, 8), st.sampled_from([None, 3.0, 100.0]), st.integers(0, 10**6))
def test_rotation_scale_and_order_do_not_matter(per_class: int, d: int, kappa: float | None, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(3 * per_class, d, dtype=torch.float64, generator=generator)
    labels, query = torch.arange(3).repeat(per_class), torch.randn(9, d, dtype=torch.float64, generator=generator)
    found = plain.kernel_density_predictions(reference, labels, query, 3, concentration=kappa)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    order = torch.randperm(len(reference), generator=generator)
    lengths = torch.rand(len(reference), 1, dtype=torch.float64, generator=generator) + 0.1
    turned = (reference * lengths @ turn)[order]
    changed = plain.kernel_density_predictions(turned, labels[order], query @ turn * 7, 3, concentration=kappa)
    assert torch.equal(changed, found)
