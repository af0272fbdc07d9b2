"""Logistic regression of two classes by Newton's method among the products of few rows, for many problems at once.

The weights are a sum of the rows, so that the products tell all: as many unknowns as rows, however many dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

MAX_STEPS = 50
HALVINGS = 30
TOLERANCE = 1e-18
"""Decrease that the last step still promised, in nats: its square is what is left after it."""


@dataclass(frozen=True)
class Separation:
    """b fitted classifiers: ``logit = products with the fitted rows @ coefficients + bias``.

    Attributes:
        coefficients: (b, n), which add up to 0.
        bias: (b,).
        converged: bool (b,).
    """

    coefficients: Tensor
    bias: Tensor
    converged: Tensor


def separate(products: Tensor, signs: Tensor, shares: Tensor, l2: Tensor) -> Separation:
    """Minimise the weighted mean of the cross-entropy plus ``l2 / 2 * |weight|^2``; the bias is free.

    Args:
        products: Of the rows with each other, (b, n, n) float64.
        signs: 1 or -1 for each row, (b, n).
        shares: Weights of the rows, (b, n); 0 for a row that is none.
        l2: Above 0, (b,).
    """
    b, n = signs.shape
    point = products.new_zeros(b, n + 1)
    matrix = products.new_zeros(b, n + 1, n + 1)
    matrix[:, n, :n] = 1
    l2 = l2.unsqueeze(1)
    for _ in range(MAX_STEPS):
        logits = _logits(products, point)
        chances = torch.sigmoid(-signs * logits)
        gradient = -shares * signs * chances
        curvature = shares * chances * (1 - chances)
        matrix[:, :n, :n] = curvature.unsqueeze(2) * products
        matrix[:, :n, :n].diagonal(dim1=1, dim2=2).add_(l2)
        matrix[:, :n, n] = curvature
        residual = gradient + l2 * point[:, :n]
        wanted = -torch.cat([residual, point[:, :n].sum(dim=1, keepdim=True)], dim=1)
        step = torch.linalg.solve_ex(matrix, wanted.unsqueeze(2)).result.squeeze(2)
        along = _logits(products, step)
        promised = -(gradient * along).sum(dim=1, keepdim=True) - l2 * _inner(products, point, step)
        converged = promised.abs() <= TOLERANCE
        if bool(converged.all()):
            point = point + step
            break
        loss = _loss(products, point, logits, signs, shares, l2)
        point = point + _length(products, (point, step), (logits, along), (signs, shares), l2, loss) * step
    return Separation(point[:, :n], point[:, n], converged.squeeze(1) & point.isfinite().all(dim=1))


def _length(
    products: Tensor,
    path: tuple[Tensor, Tensor],
    logits: tuple[Tensor, Tensor],
    rows: tuple[Tensor, Tensor],
    l2: Tensor,
    loss: Tensor,
) -> Tensor:
    """Length (b, 1) of each step: whole, or halved until the loss is not above where it started."""
    length = torch.ones_like(l2)
    for _ in range(HALVINGS):
        point, there = path[0] + length * path[1], logits[0] + length * logits[1]
        higher = _loss(products, point, there, *rows, l2) > loss + 1e-14
        if not bool(higher.any()):
            break
        length = torch.where(higher, length / 2, length)
    return length


def _loss(products: Tensor, point: Tensor, logits: Tensor, signs: Tensor, shares: Tensor, l2: Tensor) -> Tensor:
    entropy = (shares * softplus(-signs * logits)).sum(dim=1, keepdim=True)
    return entropy + l2 / 2 * _inner(products, point, point)


def _logits(products: Tensor, point: Tensor) -> Tensor:
    return (products @ point[:, :-1].unsqueeze(2)).squeeze(2) + point[:, -1:]


def _inner(products: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Product (b, 1) of two weight vectors."""
    return (x[:, :-1] * (products @ y[:, :-1].unsqueeze(2)).squeeze(2)).sum(dim=1, keepdim=True)
