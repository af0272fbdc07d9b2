"""Linear separability of many small classes at once."""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._newton import separate
from synthgap.metrics._resampling import draw_counts, percentiles
from synthgap.metrics._splits import held_out
from synthgap.metrics.jackknife import StackFigures
from synthgap.metrics.stacks import Stack

NEAR = 1e-4
"""Logit nearer to 0 than which a fit of another method may tell a held-out row the other way."""

LEAST_SPREAD = 1e-8
"""Mean square of a row around the mean below which products of unit vectors keep too few digits."""


def stacked_separability(stack: Stack, *, seed: int, resamples: int, bootstrap_seed: int) -> StackFigures:
    """The accuracy of `linear_separability` for the classes of a stack of unit vectors, with its interval: (b, 1).

    The same halves and the same optimum, found by Newton's method among the products. The interval is the one of
    `bootstrap_classes` over both sides, of which each counts a half. Not sound where a held-out row lies on the plane
    but for rounding, or all rows are the same. Each class needs two rows in either set.

    Example:
        >>> import torch
        >>> from synthgap.metrics.stacks import Stacks
        >>> e = torch.randn(40, 60, generator=torch.Generator().manual_seed(0)) + 1
        >>> labels = torch.arange(40) % 2
        >>> stack = next(iter(Stacks([(e, labels), (-e, labels)], 2, least=2, scaled=True)))
        >>> stacked_separability(stack, seed=0, resamples=200, bootstrap_seed=0).value.flatten().tolist()
        [1.0, 1.0]
    """
    sides, apart = _halves(stack, seed)
    products, fitted, tested = _prepared(stack, sides, apart)
    spread = products[1]
    signs, shares, sizes = _weights(sides, fitted)
    found = separate(products[0], signs, shares, 1 / sizes)
    logits = (products[2] @ found.coefficients.unsqueeze(2)).squeeze(2) + found.bias.unsqueeze(1)
    side = sides.gather(1, tested.clamp_min(0))
    counts = tested >= 0
    correct = ((torch.where(side == 1, logits, -logits) > 0) & counts).double()
    sound = found.converged & (spread > LEAST_SPREAD) & (logits.abs().masked_fill(~counts, torch.inf).amin(1) > NEAR)
    held = [((side == which) & counts).sum(dim=1) for which in (0, 1)]
    hits = [(correct * (side == which)).sum(dim=1) for which in (0, 1)]
    value = (hits[0] / held[0] + hits[1] / held[1]) / 2
    low, high = _interval(correct, [n.tolist() for n in held], resamples, bootstrap_seed)
    return StackFigures(value.unsqueeze(1), low.unsqueeze(1), high.unsqueeze(1), sound)


def _halves(stack: Stack, seed: int) -> tuple[Tensor, Tensor]:
    """Set of each row (b, N), -1 for those filled up, and which rows are held out, bool (b, N)."""
    present = torch.cat(stack.present, dim=1)
    side = torch.cat([torch.full((part.shape[1],), which) for which, part in enumerate(stack.present)])
    sides = torch.where(present, side.to(present.device), -1)
    apart = torch.zeros_like(present)
    cut: dict[tuple[int, ...], Tensor] = {}
    for place, sizes in enumerate(zip(*(size.tolist() for size in stack.sizes), strict=True)):
        if sizes not in cut:
            own = sides[place][present[place]].cpu()
            cut[sizes] = held_out(own, 2, 0.5, _checks.generator(seed)).to(apart.device)
        apart[place, present[place]] = cut[sizes]
    return sides, apart


def _prepared(stack: Stack, sides: Tensor, apart: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
    """Products of the fitted rows with each other and of the held-out ones with them, centred and scaled.

    Between them the mean square (b,) of a fitted row; then the places of the fitted and of the held-out rows, -1
    where a class has fewer than others.
    """
    fitted, tested = _places((sides >= 0) & ~apart), _places(apart)
    inner = _picked(stack.inner, torch.cat([fitted, tested], dim=1))
    n = fitted.shape[1]
    of_fit = (fitted >= 0).to(inner).unsqueeze(2)
    count = of_fit.sum(dim=1, keepdim=True)
    by_row = (inner[:, :, :n] @ of_fit) / count
    mean = (of_fit.mT @ by_row[:, :n]) / count
    inner = inner[:, :, :n] - by_row - by_row[:, :n].mT + mean
    inner = inner * of_fit.mT
    spread = (inner[:, :n].diagonal(dim1=1, dim2=2).sum(dim=1) / count.flatten()).clamp_min(0)
    inner = inner * (stack.width / torch.where(spread > 0, spread, 1.0)).view(-1, 1, 1)
    return (inner[:, :n] * of_fit, spread, inner[:, n:]), fitted, tested


def _places(marked: Tensor) -> Tensor:
    """Columns that are marked, in order, (b, most); -1 behind the last."""
    most = int(marked.sum(dim=1).max())
    order = torch.argsort(~marked, dim=1, stable=True)[:, :most]
    return torch.where(marked.gather(1, order), order, -1)


def _picked(matrix: Tensor, places: Tensor) -> Tensor:
    """Rows and columns of symmetric matrices (b, N, N) at those places (b, p)."""
    at = places.clamp_min(0)
    rows = matrix.gather(1, at.unsqueeze(2).expand(-1, -1, matrix.shape[2]))
    return rows.gather(2, at.unsqueeze(1).expand(-1, at.shape[1], -1))


def _weights(sides: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sign and share (b, n) of each fitted row, both sets weighing the same, and the number of them (b,)."""
    side = torch.where(fitted >= 0, sides.gather(1, fitted.clamp_min(0)), -1)
    of = [(side == which).double() for which in (0, 1)]
    shares = sum((0.5 * rows / rows.sum(dim=1, keepdim=True) for rows in of), torch.zeros_like(of[0]))
    return of[1] - of[0], shares, (fitted >= 0).sum(dim=1).double()


def _interval(correct: Tensor, held: list[list[int]], resamples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ends (b,) of the mean of both sides; held-out rows (b, h) of the first side stand before those of the second."""
    low, high = (torch.full((len(correct),), torch.nan, dtype=torch.float64) for _ in range(2))
    kinds = list(zip(*held, strict=True))
    for n, m in set(kinds):
        if max(n, m) < 2:
            continue
        alike = torch.tensor([place for place, kind in enumerate(kinds) if kind == (n, m)])
        generator, values = _checks.generator(seed), correct[alike].cpu()
        replicates = torch.zeros(resamples, len(alike), dtype=torch.float64)
        for size, part in ((n, values[:, :n]), (m, values[:, n : n + m])):
            for rows, counts in draw_counts(size, resamples, generator):
                replicates[rows] += counts @ part.T / size / 2
        low[alike], high[alike] = percentiles(replicates)
    return low, high
