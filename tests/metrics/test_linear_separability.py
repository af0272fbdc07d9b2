"""Linear separability: far, equal and overlapping sets; scikit-learn; margin and gap in closed form."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import normalize

from synthgap.metrics import linear_separability
from synthgap.metrics._splits import held_out


def cloud(n: int, d: int, offset: float, seed: int) -> torch.Tensor:
    e = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 0.5
    e[:, 0] += offset
    return e


def test_two_cones_are_separated(metrics: SimpleNamespace) -> None:
    a = cloud(80, 16, 12, 0)
    b = cloud(80, 16, -12, 1)
    found = metrics.linear_separability(a, b, 0)
    assert found.accuracy == 1
    assert found.margin > 0.5
    assert found.modality_gap > 1.5


def test_one_population_is_not(metrics: SimpleNamespace) -> None:
    found = metrics.linear_separability(cloud(1500, 16, 0, 0), cloud(1500, 16, 0, 1), 0)
    assert found.accuracy == pytest.approx(0.5, abs=0.05)
    assert found.margin < 0
    assert found.modality_gap < 0.1


def test_what_it_was_fitted_to_does_not_count(metrics: SimpleNamespace) -> None:
    # 30 rows in 64 dimensions can always be told apart; the other 30 cannot
    found = [metrics.linear_separability(cloud(30, 64, 0, 2 * i), cloud(30, 64, 0, 2 * i + 1), i) for i in range(10)]
    assert sum(each.accuracy for each in found) / 10 == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("offset", [0.0, 1.5])
def test_unlike_sizes_change_little(metrics: SimpleNamespace, offset: float) -> None:
    alike = metrics.linear_separability(cloud(2000, 8, 0, 0), cloud(2000, 8, offset, 1), 0)
    unlike = metrics.linear_separability(cloud(2000, 8, 0, 0), cloud(200, 8, offset, 1), 0)
    # calling everything a would be right in 91 %
    assert unlike.accuracy == pytest.approx(alike.accuracy, abs=0.08)


@pytest.mark.parametrize("offset", [0.5, 1.0, 2.0])
def test_against_scikit_learn(metrics: SimpleNamespace, offset: float) -> None:
    a, b = cloud(800, 12, 0, 0), cloud(800, 12, offset, 1)
    x = normalize(torch.cat([a, b]).double().numpy())
    sides = np.arange(1600) // 800
    x = (x - x.mean(axis=0)) / x.std()
    expected = cross_val_score(LogisticRegression(C=1.0), x, sides, cv=5).mean()
    assert metrics.linear_separability(a, b, 0).accuracy == pytest.approx(expected, abs=0.04)


def test_distances_to_the_plane_are_scikit_learns() -> None:
    e = torch.nn.functional.normalize(torch.cat([cloud(60, 6, 0, 0), cloud(25, 6, 1, 1)]).double(), dim=1)
    sides = torch.tensor([0] * 60 + [1] * 25)
    found = linear_separability.__globals__["_distance"](e, sides, torch.ones(85, dtype=torch.bool))
    scale = float((e - e.mean(dim=0)).square().mean().sqrt())
    x = (e / scale).numpy()
    model = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=9999).fit(x, sides.numpy())
    expected = model.decision_function(x) / np.linalg.norm(model.coef_) * scale
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_margin_and_gap_of_two_points(metrics: SimpleNamespace) -> None:
    angle = 0.6
    a = torch.tensor([[1.0, 0.0]]).repeat(6, 1)
    b = torch.tensor([[math.cos(angle), math.sin(angle)]]).repeat(6, 1)
    found = metrics.linear_separability(a, 9 * b, 0)
    chord = 2 * math.sin(angle / 2)
    assert found.modality_gap == pytest.approx(chord, rel=1e-6)
    assert found.margin == pytest.approx(chord / 2, rel=1e-4)  # the plane halves the way between them
    assert found.accuracy == 1


def test_held_out_rows_and_their_mean(metrics: SimpleNamespace) -> None:
    found = metrics.linear_separability(cloud(101, 8, 0, 0), cloud(60, 8, 1, 1), 0)
    assert torch.bincount(found.sides).tolist() == [50, 30]
    by_side = metrics.class_means(found.correct, found.sides, 2)
    assert found.accuracy == pytest.approx(float(by_side.mean()))
    low, high = metrics.bootstrap_interval(found.correct, found.sides, resamples=100, seed=0)
    assert low < float(found.correct.mean()) < high


def test_scale_and_rotation_do_not_matter(metrics: SimpleNamespace, rotation) -> None:
    a, b = cloud(60, 8, 0, 0).double(), cloud(60, 8, 1, 1).double()
    found = metrics.linear_separability(a, b, 0)
    changed = metrics.linear_separability(3 * a @ rotation(8), 0.1 * b @ rotation(8), 0)
    assert changed.accuracy == found.accuracy
    assert changed.margin == pytest.approx(found.margin, rel=1e-4)
    assert changed.modality_gap == pytest.approx(found.modality_gap, rel=1e-9)


def test_the_sets_change_places(metrics: SimpleNamespace) -> None:
    a, b = cloud(400, 8, 0, 0), cloud(400, 8, 1.0, 1)
    there, back = metrics.linear_separability(a, b, 0), metrics.linear_separability(b, a, 0)
    assert there.modality_gap == pytest.approx(back.modality_gap, rel=1e-12)
    assert there.accuracy == pytest.approx(back.accuracy, abs=0.06)


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 3)])
def test_too_few_rows(metrics: SimpleNamespace, n: int, m: int) -> None:
    found = metrics.linear_separability(torch.rand(n, 3) + 0.1, torch.rand(m, 3) + 0.1, 0)
    assert math.isnan(found.accuracy)
    assert math.isnan(found.margin)
    assert math.isnan(found.modality_gap) == (min(n, m) == 0)
    assert len(found.correct) == len(found.sides) == 0


def test_two_rows_each_and_identical_sets(metrics: SimpleNamespace) -> None:
    found = metrics.linear_separability(torch.eye(3)[:2], -torch.eye(3)[:2], 0)
    assert found.accuracy in (0.0, 0.5, 1.0)
    same = metrics.linear_separability(torch.ones(10, 3), torch.ones(10, 3), 0)
    assert same.accuracy <= 0.5
    assert same.margin == 0
    assert same.modality_gap == 0


def test_large_sets_are_thinned(metrics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(linear_separability.__globals__, "MAX_ROWS", 40)
    found = metrics.linear_separability(cloud(500, 4, 0, 0), cloud(30, 4, 6, 1), 0)
    assert torch.bincount(found.sides).tolist() == [20, 15]


def test_split_is_stratified_and_from_the_seed() -> None:
    labels = torch.tensor([0] * 10 + [1] * 5 + [2] * 2 + [3])
    marked = held_out(labels, 5, 0.2, torch.Generator().manual_seed(0))
    assert torch.bincount(labels[marked], minlength=5).tolist() == [2, 1, 1, 0, 0]
    assert torch.equal(marked, held_out(labels, 5, 0.2, torch.Generator().manual_seed(0)))
    assert not torch.equal(marked, held_out(labels, 5, 0.2, torch.Generator().manual_seed(1)))
