"""Multinomial logistic regression of one set of features with any number of strengths (S App. A)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import row_blocks
from synthgap.metrics._logistic import Rows, Solution, prepare, solve

TOGETHER_VALUES = 2**27
"""Logits of several strengths held at once, 512 MiB; more strengths are solved in turn. Some six times that is used."""


@dataclass(frozen=True)
class LogisticFit:
    """A fitted classifier.

    Attributes:
        strength: scikit-learn's ``C``: how much the images weigh against the penalty.
        weight: (c, d).
        bias: (c,); minus infinity for a class without training vectors, which is never named.
        objective: ``strength`` times the cross-entropy summed over the training vectors, in nats, plus half the sum
            of the squared weights; computed in float64 from ``weight`` and ``bias`` as they are.
        iterations: Steps taken.
        converged: Whether the tolerance was reached.
    """

    strength: float
    weight: Float32[Tensor, "c d"]
    bias: Float32[Tensor, " c"]
    objective: float
    iterations: int
    converged: bool

    def scores(self, features: Float[Tensor, "n d"]) -> Float32[Tensor, "n c"]:
        """Logits (n, c) of features (n, d), on the device of the weights."""
        features = _checks.features("features", features, width=self.weight.shape[1])
        return torch.addmm(self.bias, features.to(self.weight), self.weight.T)


@dataclass(frozen=True)
class LogisticProblem:
    """Features prepared once, to be fitted with any number of strengths: made by `logistic_problem`.

    Attributes:
        features: Training vectors (n, d) as they were given, on the device of the fits.
        labels: Class (n,) of each among those that are present.
        present: Classes that have training vectors, ascending.
        classes: Number of classes.
    """

    features: Tensor
    labels: Tensor
    present: Tensor
    classes: int
    _rows: Rows = field(repr=False)
    _solved: dict[float, tuple[float, Solution, LogisticFit]] = field(default_factory=dict, repr=False)

    def fit(
        self, strengths: Sequence[float], *, tolerance: float = 1e-6, before_step: Callable[[], None] | None = None
    ) -> list[LogisticFit]:
        """Fit a classifier with each strength, all of them side by side; four to eight at once are the quickest.

        The objective is scikit-learn's: ``strength * sum of cross-entropies + |weight|^2 / 2``, the bias free. What
        this problem has solved before is where the next fits start from, which changes them within the tolerance.

        Args:
            strengths: scikit-learn's ``C`` of each fit, above 0.
            tolerance: A fit ends when its last step lowered, and its next step promises to lower, the mean objective
                (per training vector) by at most this share of the entropy of the labels. In (0, 1).
            before_step: called before each step of all fits; may raise to stop.

        Returns:
            A fit for each strength, in their order.

        Raises:
            ValueError: No strength, one that is not above 0 or not finite, or a tolerance outside (0, 1).
        """
        if not strengths or not all(0 < strength < math.inf for strength in strengths):
            raise ValueError(f"strengths: found {tuple(strengths)}; expected finite numbers above 0")
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance: found {tolerance}; expected a number in (0, 1)")
        wanted = sorted({s for s in strengths if s not in self._solved or self._solved[s][0] > tolerance})
        step = max(1, TOGETHER_VALUES // (len(self.labels) * len(self.present)))
        for some in (wanted[start : start + step] for start in range(0, len(wanted), step)):
            penalties = [1 / (strength * len(self.labels)) for strength in some]
            starts = [self._start(strength) for strength in some]
            solutions = solve(self._rows, penalties, tolerance, starts, before_step)
            for strength, solution in zip(some, solutions, strict=True):
                self._solved[strength] = tolerance, solution, self._finished(strength, solution)
        return [self._solved[strength][2] for strength in strengths]

    def _start(self, strength: float) -> Tensor | None:
        """Coefficients between those of the two nearest strengths, or the nearest ones; None before the first fit."""
        below = max((s for s in self._solved if s <= strength), default=None)
        above = min((s for s in self._solved if s >= strength), default=None)
        if below is None or above is None or below == above:
            nearest = above if below is None else below
            return None if nearest is None else self._solved[nearest][1].coefficients
        share = math.log(strength / below) / math.log(above / below)
        return torch.lerp(self._solved[below][1].coefficients, self._solved[above][1].coefficients, share)

    def _finished(self, strength: float, solution: Solution) -> LogisticFit:
        """The classifier of all classes, in the units of the features."""
        weight = solution.weight.new_zeros(self.classes, self.features.shape[1])
        bias = solution.bias.new_full((self.classes,), -torch.inf)
        weight[self.present], bias[self.present] = solution.weight.T, solution.bias
        objective = strength * self._loss(solution) + float(weight.double().square().sum()) / 2
        return LogisticFit(strength, weight, bias, objective, solution.steps, solution.converged)

    def _loss(self, solution: Solution) -> float:
        """Cross-entropy summed over the training vectors, in float64."""
        weight, bias = solution.weight.double(), solution.bias.double()
        total = bias.new_zeros(())
        for rows in row_blocks(len(self.labels), weight.shape[0]):
            logits = torch.addmm(bias, self.features[rows].double(), weight)
            total += torch.nn.functional.cross_entropy(logits, self.labels[rows], reduction="sum")
        return float(total)


def logistic_problem(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    classes: int,
    *,
    device: torch.device | str | None = None,
) -> LogisticProblem:
    """Prepare features for multinomial logistic regressions that differ in their strength alone.

    S App. A tunes the strength of scikit-learn's logistic regression over at least 25 trials on the same frozen
    features. Here the trials share what they have in common: features centred once, the directions of greatest variance
    as a preconditioner, one product for several strengths, and earlier fits to start from. Computed in float32; not
    scaled feature by feature, so scale them first where their sizes mean nothing.

    Args:
        features: Training vectors, of any floating type; kept, not copied, where they are float32 on the device.
        labels: Class of each in [0, classes).
        classes: Number of classes.
        device: Where to fit; by default where the features are.

    Returns:
        The problem, whose ``fit`` takes strengths.

    Raises:
        ValueError: Wrong shapes, no training vector, labels of another length or out of range, or rows that are not
            finite.

    Example:
        >>> import torch
        >>> problem = logistic_problem(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), classes=2)
        >>> weak, strong = problem.fit([0.01, 100.0])
        >>> bool(weak.weight.norm() < strong.weight.norm())
        True
        >>> strong.scores(torch.tensor([[-3.0], [0.5]])).argmax(dim=1)
        tensor([0, 1])
    """
    features = _checks.features("features", features)
    if features.dtype == torch.float64:  # too large for float32 is as good as endless
        features = _checks.features("features", features.float())
    _checks.members("features", features)
    labels = _checks.labels("labels", labels, len(features), _checks.whole("classes", classes))
    features = features.to(device)
    present, among = labels.to(features.device).unique(return_inverse=True)
    return LogisticProblem(features, among, present, classes, prepare(features, among, len(present)))
