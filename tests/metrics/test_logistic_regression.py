"""Logistic regressions of many strengths at once: closed forms, invariances, scikit-learn's objective, hard features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from synthgap.metrics import LogisticFit, logistic_problem
from synthgap.metrics._lbfgs import Memory
from synthgap.metrics._principal import principal

STRENGTHS = [1e-4, 0.01, 1.0, 100.0]


def reached(model: LogisticRegression, x: Tensor, labels: Tensor) -> float:
    """What scikit-learn reached of its own objective, from its probabilities."""
    chances = model.predict_log_proba(x.double().numpy())[np.arange(len(x)), labels.numpy()]
    return float(-model.C * chances.sum() + (model.coef_**2).sum() / 2)


def test_two_points_have_a_closed_form() -> None:
    x, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    for strength in (0.1, 3.0):
        fit = logistic_problem(x, labels, 2).fit([strength], tolerance=1e-9)[0]
        w = float(fit.weight[1, 0])
        # the derivative of 2 C log(1 + exp(-2 w)) + w^2 vanishes
        assert 2 * w == pytest.approx(4 * strength / (1 + math.exp(2 * w)), rel=1e-4)
        torch.testing.assert_close(fit.weight[0], -fit.weight[1])
        assert abs(float(fit.bias[0] - fit.bias[1])) < 1e-6


def test_constant_features_leave_the_class_frequencies() -> None:
    x, labels = torch.full((10, 3), 7.0), torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    fit = logistic_problem(x, labels, 3).fit([1.0])[0]
    assert fit.weight.abs().max() < 1e-6
    torch.testing.assert_close(fit.scores(x)[0].softmax(dim=0), torch.tensor([0.5, 0.3, 0.2]))


@pytest.mark.parametrize(("n", "d"), [(240, 24), (60, 300)])
def test_objective_and_scores_against_scikit_learn(blobs, n: int, d: int) -> None:
    (x, labels), (query, _) = blobs(6, n // 6, d, spread=2.5), blobs(6, 20, d, draw=1, spread=2.5)
    for fit in logistic_problem(x, labels, 6).fit(STRENGTHS):
        model = LogisticRegression(C=fit.strength, tol=1e-7, max_iter=5000).fit(x.double().numpy(), labels.numpy())
        assert fit.converged
        # per vector and as a share of the entropy, the unit of the tolerance
        assert (fit.objective - reached(model, x, labels)) / (fit.strength * n * math.log(6)) < 1e-5
        found = fit.scores(query).argmax(dim=1).numpy()
        assert (found == model.predict(query.double().numpy())).mean() >= 0.95


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e4, 1e12])
def test_the_unit_of_the_features(blobs, scale: float) -> None:
    x, labels = blobs(6, 20, 40, spread=2.5)
    scaled = logistic_problem(scale * x, labels, 6).fit([strength / scale**2 for strength in STRENGTHS])
    for fit, expected in zip(scaled, logistic_problem(x, labels, 6).fit(STRENGTHS), strict=True):
        assert fit.objective * scale**2 == pytest.approx(expected.objective, rel=1e-3)
        assert (fit.scores(scale * x).argmax(dim=1) == expected.scores(x).argmax(dim=1)).double().mean() > 0.98


def test_the_objective_is_that_of_the_weights(blobs) -> None:
    x, labels = blobs(4, 30, 10, spread=2.0)
    for fit in logistic_problem(x, labels, 4).fit(STRENGTHS):
        logits = x.double() @ fit.weight.double().T + fit.bias.double()
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        assert fit.objective == pytest.approx(float(fit.strength * loss + fit.weight.double().square().sum() / 2), 1e-9)


def test_together_alone_and_from_earlier_fits_are_one_optimum(blobs) -> None:
    x, labels = blobs(5, 60, 30, spread=3.0)
    problem = logistic_problem(x, labels, 5)
    together = problem.fit(STRENGTHS)
    alone = [logistic_problem(x, labels, 5).fit([strength])[0] for strength in STRENGTHS]
    between = [0.001, 0.1, 10.0]
    warm, cold = problem.fit(between), logistic_problem(x, labels, 5).fit(between, tolerance=1e-9)
    for a, b in zip([*together, *warm], [*alone, *cold], strict=True):
        assert abs(a.objective - b.objective) < 1e-5 * a.strength * len(x)
    assert sum(fit.iterations for fit in warm) < sum(fit.iterations for fit in cold) / 2


def test_what_was_solved_is_not_solved_again(blobs) -> None:
    problem = logistic_problem(*blobs(), 5)
    rough, twin = problem.fit([1.0, 1.0], tolerance=1e-3)
    assert rough is twin is problem.fit([1.0], tolerance=1e-2)[0]
    fine = problem.fit([1.0], tolerance=1e-7)[0]
    assert fine is not rough
    assert fine.objective < rough.objective


def test_fits_come_in_the_order_of_the_strengths(blobs) -> None:
    order = [1.0, 0.001, 10.0, 0.1]
    assert [fit.strength for fit in logistic_problem(*blobs(), 5).fit(order)] == order


def test_few_values_at_once_change_nothing(blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = blobs(5, 40, 16, spread=3.0)
    together = logistic_problem(x, labels, 5).fit(STRENGTHS)
    monkeypatch.setattr("synthgap.metrics.logistic_regression.TOGETHER_VALUES", 1)
    for a, b in zip(together, logistic_problem(x, labels, 5).fit(STRENGTHS), strict=True):
        assert abs(a.objective - b.objective) < 1e-5 * a.strength * len(x)


def test_offsets_rotations_and_order(blobs, rotation) -> None:
    x, labels = blobs(4, 50, 12, spread=2.5)
    expected = logistic_problem(x, labels, 4).fit([0.1], tolerance=1e-9)[0]
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    turned = (x.double() @ rotation(12)).float()
    for e, own in ((x + 30, labels), (turned, labels), (x[shuffled], labels[shuffled])):
        found = logistic_problem(e, own, 4).fit([0.1], tolerance=1e-9)[0]
        assert found.objective == pytest.approx(expected.objective, rel=1e-5)


def test_a_class_without_vectors_is_never_named(blobs) -> None:
    x, labels = blobs(3, 30, 8, spread=0.5)
    names = torch.tensor([1, 2, 5])
    fit = logistic_problem(x, names[labels], 7).fit([1.0])[0]
    assert fit.weight.shape == (7, 8)
    assert fit.bias.isinf().tolist() == [True, False, False, True, True, False, True]
    assert torch.equal(fit.scores(x).argmax(dim=1), names[labels])
    assert fit.objective == pytest.approx(logistic_problem(x, labels, 3).fit([1.0])[0].objective)


def test_one_class_and_one_vector() -> None:
    fit = logistic_problem(torch.ones(1, 2), torch.tensor([1]), 3).fit([1.0, 5.0])[1]
    assert (fit.objective, fit.converged) == (0.0, True)
    assert fit.scores(torch.zeros(2, 2)).argmax(dim=1).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types(blobs, dtype: torch.dtype) -> None:
    x, labels = blobs(4, 30, 8, spread=2.0)
    found = logistic_problem(x.to(dtype), labels.int(), 4).fit([1.0])[0]
    assert found.weight.dtype == torch.float32
    assert found.objective == pytest.approx(logistic_problem(x.to(dtype).float(), labels, 4).fit([1.0])[0].objective)
    assert found.scores(x.to(dtype)).dtype == torch.float32


@settings(max_examples=20, deadline=None)
@given(st.floats(-10, 10), st.integers(2, 40), st.integers(1, 60), st.integers(0, 99))
def test_any_strength_beats_the_class_frequencies(exponent: float, n: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, labels = torch.randn(n, d, generator=generator), torch.randint(3, (n,), generator=generator)
    fit = logistic_problem(x, labels, 3).fit([10**exponent])[0]
    shares = torch.bincount(labels, minlength=3).double() / n
    nothing = fit.strength * n * float(torch.special.entr(shares).sum())
    assert fit.converged
    assert fit.objective <= nothing * (1 + 1e-6) + 1e-12
    assert fit.weight.isfinite().all()


def test_what_is_not_a_strength_is_refused(blobs) -> None:
    problem = logistic_problem(*blobs(), 5)
    for strengths in ([], [1.0, 0.0], [-1.0], [math.nan], [math.inf]):
        with pytest.raises(ValueError, match=r"^strengths: found"):
            problem.fit(strengths)
    for tolerance in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"^tolerance: found"):
            problem.fit([1.0], tolerance=tolerance)


def test_wrong_features_and_labels_are_refused(blobs) -> None:
    x, labels = blobs()
    with pytest.raises(ValueError, match=r"^features: 1 of 200 rows are not finite"):
        logistic_problem(torch.cat([x[:-1], x[-1:] * torch.nan]), labels, 5)
    with pytest.raises(ValueError, match=r"^features: 200 of 200 rows are not finite"):
        logistic_problem(x.double() * 1e300, labels, 5)
    with pytest.raises(ValueError, match=r"^features: found 0 rows"):
        logistic_problem(x[:0], labels[:0], 5)
    with pytest.raises(ValueError, match=r"^labels: found labels from 0 to 4"):
        logistic_problem(x, labels, 4)
    with pytest.raises(ValueError, match=r"^classes: found 0"):
        logistic_problem(x, labels, 0)
    with pytest.raises(ValueError, match=r"^features: found vectors of 3 dimensions; expected 16"):
        logistic_problem(x, labels, 5).fit([1.0])[0].scores(torch.ones(2, 3))


def test_inference_mode_does_not_stop_it(blobs) -> None:
    with torch.inference_mode():
        fit: LogisticFit = logistic_problem(*blobs(), 5).fit([1.0])[0]
    assert fit.converged


def test_memory_finds_the_minimum_of_quadratics() -> None:
    """With exact steps L-BFGS is conjugate gradients on a quadratic: d steps in d dimensions, each problem its own."""
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(2, 4, 4, dtype=torch.float64, generator=generator)
    hessians, target = (
        roots @ roots.mT + 0.1 * torch.eye(4),
        torch.randn(2, 4, dtype=torch.float64, generator=generator),
    )
    memory, at = Memory(lambda g: g), torch.zeros(2, 4, dtype=torch.float64)
    for _ in range(4):
        gradient = torch.einsum("kij,kj->ki", hessians, at - target)
        direction = memory.descent(gradient)
        bent = torch.einsum("kij,kj->ki", hessians, direction)
        step = direction * (-(gradient * direction).sum(1) / (direction * bent).sum(1)).unsqueeze(1)
        memory.remember(step, torch.einsum("kij,kj->ki", hessians, step))
        at = at + step
    torch.testing.assert_close(at, target, rtol=0, atol=1e-8)


def test_principal_directions_against_svd() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 30, dtype=torch.float64, generator=generator) * 2.0 ** -torch.arange(30)
    x -= x.mean(dim=0)
    directions, variances = principal(x, torch.full((200,), 1 / 200, dtype=torch.float64), 5)
    singular, right = torch.linalg.svd(x, full_matrices=False)[1:]
    torch.testing.assert_close(variances, singular[:5] ** 2 / 200)
    torch.testing.assert_close((right[:5] @ directions).abs(), torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-6)
