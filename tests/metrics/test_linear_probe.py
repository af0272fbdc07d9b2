"""The linear probe and the regression behind it, against scikit-learn at the same penalty."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synthgap.metrics import _logistic
from synthgap.metrics._logistic import fit


@pytest.mark.parametrize("l2", [1.0, 0.01, 0.0001])
def test_objective_is_at_most_scikit_learns(blobs, l2: float) -> None:
    x, labels = blobs(5, 60, 24, spread=2.5)
    x = x.double() - x.double().mean(dim=0)
    ours = fit(x, labels, 5, l2)
    theirs = LogisticRegression(C=1 / (l2 * len(x)), max_iter=5000).fit(x.numpy(), labels.numpy())
    loss = torch.nn.functional.cross_entropy(torch.as_tensor(theirs.decision_function(x.numpy())), labels)
    assert ours.objective <= float(loss) + l2 / 2 * float((theirs.coef_**2).sum()) + 1e-9
    # and it is what the fitted weights really have
    loss = torch.nn.functional.cross_entropy(ours.logits(x), labels)
    assert ours.objective == pytest.approx(float(loss + l2 / 2 * ours.weight.square().sum()), rel=1e-12)


def test_weights_of_rows_and_start(blobs) -> None:
    x, labels = blobs(3, 30, 6, spread=2.0)
    x = x.double()
    counts = torch.arange(90) % 3 + 1
    weighted = fit(x, labels, 3, 0.01, shares=counts / counts.sum())
    repeated = fit(x.repeat_interleave(counts, dim=0), labels.repeat_interleave(counts), 3, 0.01)
    torch.testing.assert_close(weighted.weight, repeated.weight, rtol=0, atol=1e-4)
    warm = fit(x, labels, 3, 0.01, start=repeated)
    torch.testing.assert_close(warm.weight, fit(x, labels, 3, 0.01).weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize("l2", [0.1, 0.001])
def test_predictions_against_scikit_learn(metrics: SimpleNamespace, blobs, l2: float) -> None:
    (train, labels), (test, own) = blobs(6, 80, 24, spread=3.0), blobs(6, 100, 24, draw=1, spread=3.0)
    train, test = train * torch.logspace(-2, 2, 24), test * torch.logspace(-2, 2, 24)
    found = metrics.linear_probe(train, labels, test, 6, seed=0, l2_grid=(l2,))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (l2 * len(train)), max_iter=5000))
    expected = model.fit(train.double().numpy(), labels.numpy()).predict(test.double().numpy())
    assert np.mean(expected == found.numpy()) >= 0.995
    ours, theirs = float((found == own).double().mean()), float(np.mean(expected == own.numpy()))
    assert ours == pytest.approx(theirs, abs=0.005)
    assert 0.4 < ours < 0.95


def test_the_chosen_penalty_is_among_the_good_ones(metrics: SimpleNamespace, blobs) -> None:
    (train, labels), (test, own) = blobs(6, 60, 48, spread=4.0), blobs(6, 200, 48, draw=1, spread=4.0)
    grid = (10.0, 1.0, 0.1, 0.001, 1e-6)
    each = [metrics.linear_probe(train, labels, test, 6, seed=0, l2_grid=(l2,)) for l2 in grid]
    accuracies = [float((found == own).double().mean()) for found in each]
    chosen = float((metrics.linear_probe(train, labels, test, 6, seed=0, l2_grid=grid) == own).double().mean())
    assert max(accuracies) - min(accuracies) > 0.05  # there is something to choose
    assert chosen >= max(accuracies) - 0.03


def test_the_test_set_chooses_nothing(metrics: SimpleNamespace, blobs) -> None:
    (train, labels), (test, _) = blobs(4, 40, spread=3.0), blobs(4, 20, draw=1, spread=3.0)
    together = metrics.linear_probe(train, labels, test, 4, seed=0)
    alone = torch.cat([metrics.linear_probe(train, labels, row, 4, seed=0) for row in test[:10].split(1)])
    assert torch.equal(together[:10], alone)


def test_missing_classes_constant_features_and_offsets(metrics: SimpleNamespace, blobs) -> None:
    (train, labels), (test, own) = blobs(3, 40, spread=0.5), blobs(3, 20, draw=1, spread=0.5)
    names = torch.tensor([1, 4, 6])
    found = metrics.linear_probe(train, names[labels], test, 8, seed=0)
    assert torch.equal(found, names[own])
    padded = [torch.cat([e + 1e3, torch.full((len(e), 1), 7.0)], dim=1) for e in (train, test)]
    assert torch.equal(metrics.linear_probe(padded[0], labels, padded[1], 3, seed=0), own)


def test_one_class_and_single_images(metrics: SimpleNamespace) -> None:
    test = torch.tensor([[0.2, 0.0], [0.0, 0.9]])
    assert metrics.linear_probe(test, torch.tensor([2, 2]), test, 3, seed=0).tolist() == [2, 2]
    assert metrics.linear_probe(torch.eye(2), torch.tensor([1, 0]), test, 3, seed=0).tolist() == [1, 0]
    assert metrics.linear_probe(torch.eye(2), torch.tensor([1, 0]), test[:0], 3, seed=0).shape == (0,)


def test_reproducible(metrics: SimpleNamespace, blobs) -> None:
    (train, labels), (test, _) = blobs(spread=4.0), blobs(draw=1, spread=4.0)
    found = [metrics.linear_probe(train, labels, test, 5, seed=3) for _ in range(2)]
    assert torch.equal(found[0], found[1])


def test_it_ends_on_separable_data_with_hardly_any_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = torch.eye(4, dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    model = fit(x, labels, 4, 1e-12)
    assert model.objective < 1e-4
    monkeypatch.setattr(_logistic, "MAX_STEPS", 1)
    assert fit(x, labels, 4, 1e-12).objective > model.objective
