"""Small classes side by side give the figures that they give one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import svdvals
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from torch import Tensor

from synthgap import metrics as public
from synthgap.metrics import stacks as module
from synthgap.metrics._newton import separate
from synthgap.metrics.bootstrap import bootstrap_images_and_classes
from synthgap.metrics.covered_share import stacked_covered_share
from synthgap.metrics.jackknife import StackFigures, jackknife_stack
from synthgap.metrics.kernel_distance import stacked_kernel_distance
from synthgap.metrics.memorisation import stacked_memorisation
from synthgap.metrics.near_duplicates import stacked_near_duplicates
from synthgap.metrics.permutation_test import stacked_p_values
from synthgap.metrics.stacked_frechet import stacked_frechet_distance
from synthgap.metrics.stacked_separability import stacked_separability
from synthgap.metrics.stacks import Stack, Stacks
from synthgap.metrics.support_overlap import stacked_support_overlap
from synthgap.metrics.vendi_score import stacked_vendi_score

WIDTH = 48
SIZES = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), min_size=1, max_size=12)
ragged = given(sizes=SIZES, seed=st.integers(0, 1000))
few = settings(max_examples=8, deadline=None)

Ends = tuple[float, float]


def drawn(sizes: list[tuple[int, int]], seed: int) -> list[tuple[Tensor, Tensor]]:
    """Two sets of unit vectors of classes of those sizes, rows in random order."""
    generator = torch.Generator().manual_seed(seed)
    middles = torch.randn(len(sizes), WIDTH, generator=generator) + 1
    samples = []
    for side in (0, 1):
        labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor([pair[side] for pair in sizes]))
        labels = labels[torch.randperm(len(labels), generator=generator)]
        noise = torch.randn(len(labels), WIDTH, generator=generator)
        samples.append((public.uvec(middles[labels] + 0.2 * side + noise), labels))
    return samples


def of(samples: list[tuple[Tensor, Tensor]], key: int) -> list[Tensor]:
    return [e[labels == key] for e, labels in samples]


def stacked(samples: list[tuple[Tensor, Tensor]], classes: int, least: int = 2) -> Stacks:
    return Stacks(samples, classes, least=least, scaled=False)


def same(found: StackFigures, place: int, value: list[float], ends: list[Ends], within: float = 1e-9) -> None:
    """The figures of a class and their intervals."""
    got = [part[place].tolist() for part in (found.value, found.low, found.high)]
    for mine, theirs in zip(got, (value, [low for low, _ in ends], [high for _, high in ends]), strict=True):
        assert mine == pytest.approx(theirs, abs=within, rel=within, nan_ok=True)


@few
@ragged
def test_every_class_that_has_enough_is_in_one_place(sizes: list[tuple[int, int]], seed: int) -> None:
    found = stacked(drawn(sizes, seed), len(sizes))
    classes = [key for stack in found for key in stack.classes]
    assert sorted(classes + found.alone) == [key for key, pair in enumerate(sizes) if min(pair) >= 2]
    for stack in found:
        assert [tuple(pair) for pair in zip(*(size.tolist() for size in stack.sizes), strict=True)] == [
            sizes[key] for key in stack.classes
        ]


@few
@ragged
def test_products_are_those_of_the_rows(sizes: list[tuple[int, int]], seed: int) -> None:
    samples = drawn(sizes, seed)
    for stack in stacked(samples, len(sizes), least=1):
        present = torch.cat(stack.present, dim=1)
        for place, key in enumerate(stack.classes):
            rows = torch.cat(of(samples, key)).double().numpy()
            there = present[place]
            for mine, theirs in (
                (stack.cosines, cosine_similarity(rows)),
                (stack.squared_distances, euclidean_distances(rows, squared=True)),
                (stack.inner, rows @ rows.T),
            ):
                torch.testing.assert_close(mine[place][there][:, there], torch.from_numpy(theirs), atol=1e-12, rtol=0)
            a, b = (e.double() - e.double().mean(dim=0) for e in of(samples, key))
            cross = stack.centred(0, 1)[place, : len(a), : len(b)]
            torch.testing.assert_close(cross, a @ b.T, atol=1e-14, rtol=0)


PAIRWISE: dict[str, tuple[Callable[..., tuple[Tensor, Tensor]], Callable[[Tensor, Tensor], list[float]]]] = {
    "frechet": (
        stacked_frechet_distance,
        lambda a, b: list(vars(public.frechet_distance(a, b)).values()),
    ),
    "covered": (stacked_covered_share, lambda a, b: [public.covered_share(natural=a, synthetic=b)]),
    "kernel": (
        partial(stacked_kernel_distance, sigma=0.7, times_1000=True),
        lambda a, b: [public.kernel_distance(a, b, sigma=0.7, times_1000=True)],
    ),
}


@pytest.mark.parametrize("name", PAIRWISE)
@few
@ragged
def test_figures_and_jackknife_as_one_by_one(name: str, sizes: list[tuple[int, int]], seed: int) -> None:
    many, one = PAIRWISE[name]
    samples = drawn(sizes, seed)
    for stack in stacked(samples, len(sizes)):
        found = jackknife_stack(many, stack, seed=seed)
        assert bool(found.sound.all())
        for place, key in enumerate(stack.classes):
            low, high = public.jackknife_interval(one, of(samples, key), seed=seed)
            ends = list(zip(low.tolist(), high.tolist(), strict=True))
            # one by one, the roots of eigenvalues that are 0 but for rounding are added up; see the next test
            same(found, place, one(*of(samples, key)), ends, 1e-7 if name == "frechet" else 1e-9)


@few
@ragged
def test_frechet_distance_by_singular_values(sizes: list[tuple[int, int]], seed: int) -> None:
    samples = drawn(sizes, seed)
    for stack in stacked(samples, len(sizes)):
        found, _ = stacked_frechet_distance(stack, stack.present)
        for place, key in enumerate(stack.classes):
            a, b = (e.double().numpy() for e in of(samples, key))
            factors = [(e - e.mean(axis=0)) / (len(e) - 1) ** 0.5 for e in (a, b)]
            apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
            spread = sum((e**2).sum() for e in factors) - 2 * svdvals(factors[0] @ factors[1].T).sum()
            assert found[place].tolist() == pytest.approx([apart + spread, apart, spread], abs=1e-13)


@pytest.mark.parametrize("q", [0.5, 0.9, 1.0, 2.0, math.inf])
@few
@ragged
def test_vendi_score_as_one_by_one(q: float, sizes: list[tuple[int, int]], seed: int) -> None:
    sample = drawn(sizes, seed)[0]

    def one(e: Tensor) -> list[float]:
        return [public.vendi_score(e, q=q)]

    for stack in Stacks([sample], len(sizes), least=2, scaled=True):
        found = jackknife_stack(partial(stacked_vendi_score, q=q), stack, seed=seed)
        for place, key in enumerate(stack.classes):
            rows = sample[0][sample[1] == key]
            low, high = public.jackknife_interval(one, [rows], seed=seed)
            same(found, place, one(rows), [(float(low), float(high))])


@few
@ragged
def test_separability_as_one_by_one(sizes: list[tuple[int, int]], seed: int) -> None:
    samples = drawn(sizes, seed)
    for stack in stacked(samples, len(sizes)):
        found = stacked_separability(stack, seed=seed, resamples=20, bootstrap_seed=7)
        for place, key in enumerate(stack.classes):
            one = public.linear_separability(*of(samples, key), seed=seed)
            ends = public.bootstrap_classes(one.correct, one.sides, 2, resamples=20, seed=7).overall
            if bool(found.sound[place]):
                same(found, place, [one.accuracy], [ends])


def test_products_alone_separate_ordinary_classes() -> None:
    samples = drawn([(6, 8)] * 5, 0)
    (stack,) = stacked(samples, 5)
    assert bool(stacked_separability(stack, seed=0, resamples=0, bootstrap_seed=0).sound.all())


def test_newton_finds_the_optimum() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 5, dtype=torch.float64, generator=generator)
    signs = torch.where(x[:, 0] + torch.randn(30, dtype=torch.float64, generator=generator) > 0, 1.0, -1.0).double()
    found = separate(
        (x @ x.T)[None],
        signs[None],
        torch.full((1, 30), 1 / 30, dtype=torch.float64),
        torch.tensor([0.01], dtype=torch.float64),
    )
    weight, bias = (x.T @ found.coefficients[0]).requires_grad_(), found.bias.clone().requires_grad_()
    loss = torch.nn.functional.softplus(-signs * (x @ weight + bias)).mean() + 0.01 / 2 * weight.square().sum()
    loss.backward()
    assert bool(found.converged)
    assert float(weight.grad.abs().max()) < 1e-9  # type: ignore[union-attr]
    assert float(bias.grad.abs()) < 1e-9  # type: ignore[union-attr]


@few
@ragged
def test_p_values_as_one_by_one(sizes: list[tuple[int, int]], seed: int) -> None:
    samples = drawn(sizes, seed)
    for stack in stacked(samples, len(sizes)):
        found = stacked_p_values(stack, permutations=19, seed=seed)
        one = [public.permutation_test(*of(samples, key), permutations=19, seed=seed).p_value for key in stack.classes]
        assert found.tolist() == one


@pytest.mark.parametrize("k", [1, 4])
@few
@ragged
def test_overlap_as_one_by_one(k: int, sizes: list[tuple[int, int]], seed: int) -> None:
    samples = drawn(sizes, seed)
    for stack in stacked(samples, len(sizes)):
        found = stacked_support_overlap(stack, k=k)
        assert bool(found.sound.all())
        for place, key in enumerate(stack.classes):
            natural, synthetic = of(samples, key)
            one = public.support_overlap(natural=natural, synthetic=synthetic, k=k)
            n, m = len(natural), len(synthetic)
            for name, size in (("precise", m), ("recalled", n), ("balls", m), ("covered", n)):
                mine, theirs = getattr(found, name)[place, :size].tolist(), getattr(one, name).tolist()
                assert mine == pytest.approx(theirs, nan_ok=True)


@pytest.mark.parametrize("level", [0.5, 0.95, 1.0])
@few
@ragged
def test_copies_as_one_by_one(level: float, sizes: list[tuple[int, int]], seed: int) -> None:
    samples = drawn(sizes, seed)
    samples[1][0][: len(samples[1][0]) // 3] = samples[1][0][-1:]  # copies, so that there are groups
    for stack in stacked(samples, len(sizes)):
        thresholds, near = stacked_memorisation(stack, level=level)
        grouped = stacked_near_duplicates(stack, 1, thresholds)
        for place, key in enumerate(stack.classes):
            natural, synthetic = of(samples, key)
            one = public.memorisation(natural=natural, synthetic=synthetic, level=level)
            assert float(thresholds[place]) == pytest.approx(one.threshold, abs=1e-12)
            assert near[place, : len(synthetic)].double().tolist() == one.near.tolist()
            groups = public.near_duplicates(synthetic, threshold=one.threshold).groups
            sizes_of = torch.bincount(groups, minlength=len(synthetic))
            assert grouped[place, : len(synthetic)].tolist() == (sizes_of[groups] > 1).tolist()


def test_dependent_rows_are_not_sound() -> None:
    samples = drawn([(12, 12), (12, 12)], 0)
    copied = samples[0][1] == 1
    samples[0][0][copied] = samples[0][0][copied][:1]  # all natural images of class 1 are the same
    (stack,) = stacked(samples, 2)
    assert stack.classes == [0, 1]
    assert jackknife_stack(stacked_covered_share, stack, seed=0).sound.tolist() == [True, False]
    same_rows = stacked([samples[0], samples[0]], 2)
    (stack,) = same_rows
    assert stacked_separability(stack, seed=0, resamples=0, bootstrap_seed=0).sound.tolist() == [True, False]
    assert stacked_support_overlap(stack, k=1).sound.tolist() == [True, False]


def test_nearly_dependent_rows_are_not_sound() -> None:
    samples = drawn([(12, 12), (12, 12)], 0)
    rows = (samples[0][1] == 1).nonzero().flatten()
    samples[0][0][rows[1]] = public.uvec(samples[0][0][rows[0]] + 1e-5 * torch.ones(WIDTH))  # almost a copy
    (stack,) = stacked(samples, 2)
    assert jackknife_stack(stacked_covered_share, stack, seed=0).sound.tolist() == [True, False]
    for side in (0, 1):
        tight = samples[side][1] == 1
        samples[side][0][tight] = samples[0][0][rows[0]] + 1e-6 * samples[side][0][tight]
    (stack,) = stacked(samples, 2)
    assert stacked_separability(stack, seed=0, resamples=0, bootstrap_seed=0).sound.tolist() == [True, False]


def test_large_classes_stand_alone_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = drawn([(12, 12), (30, 30), (12, 12), (12, 11)], 0)
    assert stacked(samples, 4).alone == [1]  # 60 rows of 48 dimensions
    whole = [stack.products for stack in stacked(samples, 4)]
    assert [len(products) for products in whole] == [3]
    monkeypatch.setattr(module, "BLOCK_VALUES", 26**2)
    monkeypatch.setattr(module, "KEPT_VALUES", 26**2)
    small = stacked(samples, 4)
    first = list(small)
    assert [stack.classes for stack in first] == [[0], [2], [3]]
    again = list(small)
    kept = [a.products is b.products for a, b in zip(first, again, strict=True)]
    assert kept == [True, False, False]
    by_class: dict[int, Tensor] = {stack.classes[0]: stack.inner[0] for stack in again}
    one: Stack = next(iter(stacked(samples, 4)))
    torch.testing.assert_close(by_class[0], one.inner[one.classes.index(0)], atol=1e-14, rtol=0)


def test_wrong_arguments() -> None:
    e, labels = torch.eye(3), torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match="labels: found 2 labels for 3 rows"):
        Stacks([(e, labels[:2])], 2, least=1, scaled=False)
    (stack,) = Stacks([(torch.eye(3), torch.zeros(3).long())], 1, least=1, scaled=True)
    with pytest.raises(ValueError, match="seed: found -1"):
        jackknife_stack(partial(stacked_vendi_score, q=1.0), stack, seed=-1)


@few
@ragged
def test_both_bootstraps_at_once(metrics: SimpleNamespace, sizes: list[tuple[int, int]], seed: int) -> None:
    labels = drawn(sizes, seed)[0][1]
    values = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed))
    whole, by_class = bootstrap_images_and_classes(values, labels, len(sizes), resamples=20, seed=seed)
    assert whole == pytest.approx(metrics.bootstrap_interval(values, labels, resamples=20, seed=seed), nan_ok=True)
    one = metrics.bootstrap_classes(values, labels, len(sizes), resamples=20, seed=seed)
    assert by_class.overall == pytest.approx(one.overall, nan_ok=True)
    assert torch.equal(by_class.low.nan_to_num(-1), one.low.nan_to_num(-1))
