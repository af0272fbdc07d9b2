"""Multinomial logistic regression by preconditioned L-BFGS, for several penalties of the same rows at once.

All fits take their steps together, so that the features meet one matrix with the classes of all of them side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synthgap.metrics._lbfgs import Memory, Metric
from synthgap.metrics._principal import principal

MAX_STEPS = 1000
TOLERANCE = 1e-12
"""Decrease at which a fit in float64 ends, as a share of the entropy of the labels."""

FEW_COLUMNS = 8
"""Fits times classes up to which the features are the wide side of a gradient."""

DIRECTIONS = 32
"""Directions of greatest variance whose curvature is told apart before the first step."""

DAMPING = 15.0
"""Curvature added to all directions, in mean variances of a feature: confident predictions have left little of the
curvature that even ones would give the strong directions. Between 5 and 20 the steps needed are much the same."""

LINE_TRIALS = 12
FLATNESS = 0.3
"""Share of the first slope along a direction that may be left where a step ends."""

REFRESH = 50
"""Steps after which logits are computed anew, before the rounding of the steps adds up."""


@dataclass(frozen=True)
class Solution:
    """A fitted classifier: ``logits = x @ weight + bias``.

    Attributes:
        weight: (d, c).
        bias: (c,).
        coefficients: The same among the prepared rows, (c, d + 1): where a similar fit may start.
        steps: Steps taken.
        converged: Whether the tolerance was reached.
    """

    weight: Tensor
    bias: Tensor
    coefficients: Tensor
    steps: int
    converged: bool

    def logits(self, x: Tensor) -> Tensor:
        """Logits (n, c) of features (n, d)."""
        return torch.addmm(self.bias, x, self.weight)


@dataclass(frozen=True)
class Rows:
    """Rows prepared for any number of fits.

    Attributes:
        x: (n, d + 1), centred, of entries in [-1, 1], and a last column of ones that stands for the bias.
        labels: (n,), every class in [0, classes) at least once.
        shares: (n,) weights of the rows, which add up to 1.
        classes: Number of classes c.
        mean: (d,) what was taken off.
        scale: What the rest was divided by.
        directions: (d + 1, k) of greatest variance, the bias last.
        variances: (k,) along them.
        rest: Mean variance along any other direction.
    """

    x: Tensor
    labels: Tensor
    shares: Tensor
    classes: int
    mean: Tensor
    scale: float
    directions: Tensor
    variances: Tensor
    rest: float

    @property
    def entropy(self) -> float:
        """Entropy of the labels in nats: the objective of the class frequencies alone."""
        return float(torch.special.entr(self.frequencies.double()).sum())

    @property
    def frequencies(self) -> Tensor:
        """Share of each class, (c,)."""
        return self.shares.new_zeros(self.classes).index_add_(0, self.labels, self.shares)


def prepare(x: Tensor, labels: Tensor, classes: int, shares: Tensor | None = None) -> Rows:
    """Centre features (n, d), which the bias makes up for, and find the directions in which they vary most."""
    n, d = x.shape
    shares = torch.full((n,), 1 / n, dtype=x.dtype, device=x.device) if shares is None else shares.to(x)
    mean = shares @ x
    ones = torch.ones(n, d + 1, dtype=x.dtype, device=x.device)
    centred = torch.sub(x, mean, out=ones[:, :d])
    largest = float(centred.abs().amax())
    scale = largest if largest > 0 else 1.0
    centred /= scale
    found, variances = principal(centred, shares, DIRECTIONS)
    total = float((centred.square().T @ shares).sum())
    rest = max(0.0, total - float(variances.sum())) / max(1, d - len(variances))
    directions = torch.block_diag(found, found.new_ones(1, 1))
    return Rows(ones, labels, shares, classes, mean, scale, directions, variances, rest)


def solve(
    rows: Rows,
    penalties: Sequence[float],
    tolerance: float,
    starts: Sequence[Tensor | None] | None = None,
    before_step: Callable[[], None] | None = None,
) -> list[Solution]:
    """Minimise the weighted mean of the cross-entropy plus ``l2 / 2 * |weight|^2`` for each penalty ``l2`` above 0.

    A fit ends when the decrease of its last step and the one that its next step promises are both at most
    ``tolerance`` of the entropy of the labels; unconverged after `MAX_STEPS`, or where rounding hides the way down.
    The optimum does not depend on ``starts``, `Solution.coefficients` of similar fits or None for no idea.
    ``before_step`` may raise to stop.
    """
    weights = torch.stack([_from_frequencies(rows) if s is None else s for s in starts or [None] * len(penalties)])
    l2 = torch.tensor(penalties, dtype=torch.float64, device=rows.x.device)
    return [_solution(rows, *end) for end in _Descent(rows, l2, weights).run(tolerance * rows.entropy, before_step)]


@dataclass(frozen=True)
class Fit:
    """One classifier and what it was fitted for: ``weight`` (d, c), ``bias`` (c,), the objective of `solve`."""

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

    Every class has a row. The optimum does not depend on ``start``; an earlier fit of a similar problem saves steps.
    """
    rows = prepare(x, labels, classes, shares)
    starts = None
    if start is not None:
        bias = start.bias + rows.mean @ start.weight
        starts = [torch.cat([start.weight.T * rows.scale, bias.unsqueeze(1)], dim=1)]
    found = solve(rows, [l2], TOLERANCE, starts)[0]
    loss = torch.nn.functional.cross_entropy(found.logits(x), labels, reduction="none") @ rows.shares
    return Fit(found.weight, found.bias, float(loss + l2 / 2 * found.weight.square().sum()))


class _Descent:
    """Fits of the same rows on their way down; those that have arrived leave the others."""

    def __init__(self, rows: Rows, penalties: Tensor, weights: Tensor) -> None:
        self.rows = rows
        # the entries of the rows were divided by the scale
        self.l2 = penalties / rows.scale**2
        self.weights = weights
        self.logits = self._logits(weights)
        self.gradient = self._gradient(self.logits.softmax(dim=2))
        self.memory = Memory(self._metric())

    def run(self, tolerance: float, before_step: Callable[[], None] | None) -> list[tuple[Tensor, int, bool]]:
        """Go down; coefficients (c, d + 1), steps and convergence of each fit."""
        ends: list[tuple[Tensor, int, bool]] = [(w, 0, False) for w in self.weights]
        left = torch.arange(len(ends))
        decrease = self.l2.new_full((len(ends),), torch.inf)
        stuck = torch.zeros(len(ends), dtype=torch.bool, device=self.l2.device)
        for steps in range(MAX_STEPS + 1):
            if before_step is not None:
                before_step()
            direction = self.memory.descent(self.gradient.flatten(1)).view_as(self.weights)
            slope = (self.gradient * direction).sum(dim=(1, 2), dtype=torch.float64)
            arrived = (-slope / 2 <= tolerance) & (decrease <= tolerance)
            going = ~(arrived | stuck)
            if steps == MAX_STEPS:
                going[:] = False
            if not bool(going.all()):
                for i in torch.nonzero(~going).flatten().tolist():
                    ends[int(left[i])] = (self.weights[i].clone(), steps, bool(arrived[i]))
                if not bool(going.any()):
                    break
                left = left[going.cpu()]
                direction, slope = direction[going], slope[going]
                self._keep(going)
            decrease, stuck = self._step(direction, slope)
            if steps % REFRESH == REFRESH - 1:
                self.logits = self._logits(self.weights)
        return ends

    def _step(self, direction: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Step to where the objectives are nearly flat along the directions; the decreases, and which are stuck.

        Logits are linear in the coefficients, so that trying a length costs no product with the features. The decrease
        is that of the trapezoid between both slopes: differences of objectives drown in rounding long before.
        """
        along = self._logits(direction)
        line = _Line(slope)
        own = self._of_own_class(along)
        penalty = self.l2 * _inner(self.weights, direction), self.l2 * _inner(direction, direction)
        for _ in range(LINE_TRIALS):
            length = line.length
            trial = torch.addcmul(self.logits, along, length.to(along).view(-1, 1))
            chances = trial.softmax(dim=2)
            there = self._mean(torch.linalg.vecdot(chances, along)) - own + penalty[0] + length * penalty[1]
            if line.flat(there):
                break
        self.logits = trial
        step = direction.mul_(length.to(direction).view(-1, 1, 1))
        self.weights = self.weights + step
        gradient = self._gradient(chances)
        self.memory.remember(step.flatten(1), (gradient - self.gradient).flatten(1))
        self.gradient = gradient
        return -length * (slope + there) / 2, ~line.settled

    def _keep(self, chosen: Tensor) -> None:
        self.l2, self.weights, self.gradient = self.l2[chosen], self.weights[chosen], self.gradient[chosen]
        self.logits = self.logits[:, chosen]
        self.memory.keep(chosen, self._metric())

    def _logits(self, weights: Tensor) -> Tensor:
        k, c, _ = weights.shape
        return (self.rows.x @ weights.flatten(0, 1).T).view(-1, k, c)

    def _gradient(self, chances: Tensor) -> Tensor:
        """Gradient (k, c, d + 1) where these are the probabilities (n, k, c), which are overwritten."""
        own = self._own(chances)
        chances.scatter_add_(2, own, chances.new_full((1, 1, 1), -1.0).expand_as(own))
        chances *= self.rows.shares.view(-1, 1, 1)
        flat = chances.flatten(1)
        # of many columns the product is half as fast again this way round where d + 1 is odd, of few the other way
        product = flat.T @ self.rows.x if flat.shape[1] <= FEW_COLUMNS else (self.rows.x.T @ flat).T
        gradient = product.reshape(self.weights.shape)
        gradient[:, :, :-1].addcmul_(self.weights[:, :, :-1], self.l2.to(gradient).view(-1, 1, 1))
        return gradient

    def _own(self, of: Tensor) -> Tensor:
        return self.rows.labels.view(-1, 1, 1).expand(-1, of.shape[1], 1)

    def _of_own_class(self, logits: Tensor) -> Tensor:
        return self._mean(logits.gather(2, self._own(logits)).squeeze(2))

    def _mean(self, values: Tensor) -> Tensor:
        return self.rows.shares.double() @ values.double()

    def _metric(self) -> Metric:
        """The inverse Hessian where all classes are as likely, damped: by direction, and one number for all others."""
        rows = self.rows
        even = max(rows.classes - 1, 1) / rows.classes**2
        width = rows.x.shape[1] - 1
        damping = DAMPING * (float(rows.variances.sum()) + rows.rest * (width - len(rows.variances))) / width
        l2 = self.l2.to(rows.x).unsqueeze(1)
        others = 1 / (even * (rows.rest + damping) + l2)
        told = 1 / (even * (rows.variances + damping) + l2)
        bias = torch.full_like(others, 1 / even)
        extra = (torch.cat([told, bias], dim=1) - others).unsqueeze(1)

        def metric(gradients: Tensor) -> Tensor:
            g = gradients.view(len(gradients), rows.classes, -1)
            inside = (g.flatten(0, 1) @ rows.directions).view(*g.shape[:2], -1) * extra
            out = torch.addmm((g * others.unsqueeze(2)).flatten(0, 1), inside.flatten(0, 1), rows.directions.T)
            return out.view_as(gradients)

        return metric


class _Line:
    """Lengths of k steps, each sought where its slope has become flat: the slopes only rise along a convex objective."""

    def __init__(self, slope: Tensor) -> None:
        self.slope = slope
        self.length = torch.ones_like(slope)
        self.settled = torch.zeros_like(slope, dtype=torch.bool)
        self._below, self._below_slope = torch.zeros_like(slope), slope
        self._above, self._above_slope = torch.full_like(slope, torch.inf), torch.full_like(slope, torch.inf)

    def flat(self, slope: Tensor) -> bool:
        """Whether all slopes at the present lengths are flat; else the others' lengths are changed."""
        self.settled = slope.abs() <= FLATNESS * self.slope.abs()
        if bool(self.settled.all()):
            return True
        short = slope < 0
        self._below, self._below_slope = (
            torch.where(short, self.length, self._below),
            torch.where(short, slope, self._below_slope),
        )
        self._above, self._above_slope = (
            torch.where(short, self._above, self.length),
            torch.where(short, self._above_slope, slope),
        )
        width = self._above - self._below
        share = self._below_slope / (self._below_slope - self._above_slope)
        between = self._below + width * share.clamp(0.1, 0.9)
        beyond = self.length * (self.slope / (self.slope - slope)).clamp(1.2, 4.0)
        longer = torch.where(self._above.isinf(), beyond, between)
        self.length = torch.where(self.settled, self.length, longer)
        return False


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Products (k,) of coefficients (k, c, d + 1) without their biases."""
    return (a[:, :, :-1] * b[:, :, :-1]).sum(dim=(1, 2), dtype=torch.float64)


def _from_frequencies(rows: Rows) -> Tensor:
    """Coefficients (c, d + 1) of the class frequencies, the best without features."""
    weights = rows.x.new_zeros(rows.classes, rows.x.shape[1])
    weights[:, -1] = rows.frequencies.log()
    return weights


def _solution(rows: Rows, weights: Tensor, steps: int, converged: bool) -> Solution:
    weight = weights[:, :-1].T / rows.scale
    return Solution(weight, weights[:, -1] - rows.mean @ weight, weights, steps, converged)
