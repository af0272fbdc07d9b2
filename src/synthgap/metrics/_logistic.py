"""Multinomial logistic regression by full-batch L-BFGS in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_STEPS = 1000
GRADIENT_TOLERANCE = 1e-5
"""Largest entry of the gradient at which the fit ends; scikit-learn's default is 1e-4."""


@dataclass(frozen=True)
class Fit:
    """A fitted classifier: ``logits = x @ weight + bias``.

    Attributes:
        weight: (d, c).
        bias: (c,).
        objective: Weighted mean of the cross-entropy plus ``l2 / 2 * |weight|^2``; the bias is not penalised.
    """

    weight: Tensor
    bias: Tensor
    objective: float

    def logits(self, x: Tensor) -> Tensor:
        """Logits (n, c) of features (n, d)."""
        return torch.addmm(self.bias, x, self.weight)


def fit(
    x: Tensor, labels: Tensor, classes: int, l2: float, *, shares: Tensor | None = None, start: Fit | None = None
) -> Fit:
    """Fit features (n, d) float64 to labels (n,); ``shares`` (n,) weigh the rows and add up to 1, by default 1/n each.

    The optimum does not depend on ``start``; an earlier fit of a similar problem is a quick place to start from.
    """
    rows = torch.arange(len(x), device=x.device)
    shares = torch.full((len(x),), 1 / len(x), dtype=x.dtype, device=x.device) if shares is None else shares
    weight = torch.zeros(x.shape[1], classes, dtype=x.dtype, device=x.device) if start is None else start.weight.clone()
    bias = torch.zeros(classes, dtype=x.dtype, device=x.device) if start is None else start.bias.clone()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_STEPS,
        tolerance_grad=GRADIENT_TOLERANCE,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    # the gradient is written out, so that a caller's inference mode does not stop the fit
    def objective() -> float:
        log_shares = torch.addmm(bias, x, weight).log_softmax(dim=1)
        loss = -(shares * log_shares[rows, labels]).sum() + l2 / 2 * weight.square().sum()
        residual = log_shares.exp()
        residual[rows, labels] -= 1
        residual *= shares.unsqueeze(1)
        weight.grad = x.T @ residual + l2 * weight
        bias.grad = residual.sum(dim=0)
        return float(loss)

    optimizer.step(objective)
    return Fit(weight, bias, objective())
