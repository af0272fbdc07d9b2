"""The memory of L-BFGS, for several problems of one shape at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PAIRS = 10
"""Steps remembered."""

Metric = Callable[[Tensor], Tensor]
"""A first guess of the inverse Hessian, applied to gradients (k, p)."""


class Memory:
    """The last steps of k problems and what they did to the gradients; vectors are rows of (k, p)."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        self._scale: Tensor | None = None

    def descent(self, gradient: Tensor) -> Tensor:
        """Direction (k, p) of each problem by the two loops of Nocedal and Wright, algorithm 7.4."""
        q, weights = gradient.clone(), []
        for step, change, inverse in reversed(self._pairs):
            weights.append(inverse * torch.linalg.vecdot(step, q))
            q.addcmul_(weights[-1].unsqueeze(1), change, value=-1)
        q = self._metric(q)
        if self._scale is not None:
            q *= self._scale.unsqueeze(1)
        for (step, change, inverse), weight in zip(self._pairs, reversed(weights), strict=True):
            q.addcmul_((weight - inverse * torch.linalg.vecdot(change, q)).unsqueeze(1), step)
        return q.neg_()

    def remember(self, step: Tensor, change: Tensor) -> None:
        """Add a step and the change of the gradient along it; one that rounding swallowed has no weight."""
        curvature = torch.linalg.vecdot(step, change)
        seen = torch.linalg.vecdot(change, self._metric(change))
        sound = (curvature > 0) & (seen > 0)
        self._pairs.append((step, change, torch.where(sound, 1 / curvature, 0.0)))
        del self._pairs[:-PAIRS]
        before = torch.ones_like(curvature) if self._scale is None else self._scale
        self._scale = torch.where(sound, curvature / seen, before)

    def keep(self, chosen: Tensor, metric: Metric) -> None:
        """Go on with the chosen problems only, by their own metric."""
        self._metric = metric
        self._pairs = [(step[chosen], change[chosen], inverse[chosen]) for step, change, inverse in self._pairs]
        if self._scale is not None:
            self._scale = self._scale[chosen]
