"""Linear classifiers on features: L-BFGS for many strengths at once, scikit-learn as its reference, SGD in minibatches.

Each is prepared once for the images that it learns from and then fitted with any number of settings. The objective of
the first two is scikit-learn's: C times the summed cross-entropy plus half the squared weights, the bias free.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthgap.core.specs import TransferSpec
from synthgap.metrics.logistic_regression import logistic_problem

Settings = Mapping[str, float]
Scaling = Literal["none", "l2", "standard"]
SolverName = Literal["lbfgs", "sgd", "sklearn"]
ROWS_AT_ONCE = 8192
"""Rows whose scores are held at once."""


class Rows:
    """Rows of features, scaled, read a few at a time: (n, d) in all.

    Args:
        vectors: features of the whole set, in memory or mapped to it.
        members: which of its rows, (n,).
        scaling: ``none``, ``l2`` (each row to length 1) or ``standard`` (each column by ``like``'s mean and deviation).
        like: the rows whose mean and deviation count; their own where there are none.
    """

    def __init__(
        self, vectors: NDArray[np.float32], members: NDArray[np.int64], scaling: Scaling, like: Rows | None = None
    ) -> None:
        self._vectors, self._members, self._scaling = vectors, members, scaling
        self._mean: Tensor | None = None
        self._spread: Tensor | None = None
        if scaling == "standard":
            self._mean, self._spread = self._moments() if like is None else (like._mean, like._spread)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def width(self) -> int:
        """Dimensions d of a row."""
        return int(self._vectors.shape[1])

    def take(self, places: NDArray[np.int64] | slice) -> Tensor:
        """The rows at these places, (b, d) float32."""
        x = self._raw(places)
        if self._scaling == "l2":
            return torch.nn.functional.normalize(x, dim=1)
        if self._mean is not None and self._spread is not None:
            return (x - self._mean) / self._spread
        return x

    def blocks(self) -> Iterator[Tensor]:
        """All rows in their order, at most `ROWS_AT_ONCE` at a time."""
        return (self.take(slice(start, start + ROWS_AT_ONCE)) for start in range(0, len(self), ROWS_AT_ONCE))

    def _raw(self, places: NDArray[np.int64] | slice) -> Tensor:
        return torch.from_numpy(np.array(self._vectors[self._members[places]], dtype=np.float32))

    def _moments(self) -> tuple[Tensor, Tensor]:
        total = torch.zeros(self.width, dtype=torch.float64)
        squares = torch.zeros(self.width, dtype=torch.float64)
        for start in range(0, len(self), ROWS_AT_ONCE):
            total += self._raw(slice(start, start + ROWS_AT_ONCE)).double().sum(dim=0)
        mean = total / len(self)
        for start in range(0, len(self), ROWS_AT_ONCE):
            squares += (self._raw(slice(start, start + ROWS_AT_ONCE)).double() - mean).square().sum(dim=0)
        spread = (squares / len(self)).sqrt()
        return mean.float(), torch.where(spread > 0, spread, 1.0).float()


class Solver(Protocol):
    """A linear classifier to be fitted with several settings."""

    def predictions(self, settings: Sequence[Settings], asked: Rows) -> Tensor:
        """Fit each of t settings and name the class of each asked row: (t, m) int64."""
        ...


def ranges(solver: SolverName, spec: TransferSpec) -> dict[str, tuple[float, float]]:
    """What is tuned, and between which values, on a logarithmic scale."""
    if solver == "sgd":
        return {"learning_rate": spec.learning_rates, "weight_decay": spec.weight_decays}
    return {"C": spec.strengths}


def prepare(
    solver: SolverName,
    rows: Rows,
    labels: NDArray[np.int64],
    classes: int,
    spec: TransferSpec,
    device: torch.device,
    *,
    seed: int,
    memory: float,
    check: Callable[[], None],
) -> Solver:
    """A solver for these rows (n, d) and labels (n,) in [0, classes).

    Args:
        solver: which.
        rows: to learn from.
        labels: their classes; not every class needs to be there.
        classes: how many there are.
        spec: steps, tolerance, momentum and the like.
        device: where L-BFGS and SGD compute.
        seed: of SGD's order.
        memory: GiB of features that SGD holds on the device; more are read a batch at a time.
        check: called between the steps of L-BFGS, the passes of SGD and the fits of scikit-learn; may raise to stop.
    """
    if solver == "sgd":
        return Sgd(rows, torch.from_numpy(labels), classes, spec, device, seed, memory, check)
    if solver == "sklearn":
        return ScikitLearn(rows, labels, spec, check)
    return Lbfgs(rows, torch.from_numpy(labels), classes, spec, device, check)


class Lbfgs:
    """`synthgap.metrics.logistic_problem`: many strengths share their passes over the features."""

    def __init__(
        self,
        rows: Rows,
        labels: Tensor,
        classes: int,
        spec: TransferSpec,
        device: torch.device,
        check: Callable[[], None],
    ) -> None:
        self._problem = logistic_problem(torch.cat(list(rows.blocks())), labels, classes, device=device)
        self._tolerance = spec.tolerance
        self._device, self._check = device, check

    def predictions(self, settings: Sequence[Settings], asked: Rows) -> Tensor:
        """As `Solver.predictions`; the settings are ``C``."""
        fits = self._problem.fit([one["C"] for one in settings], tolerance=self._tolerance, before_step=self._check)
        blocks = [block.to(self._device) for block in asked.blocks()]
        return torch.stack([torch.cat([fit.scores(block).argmax(dim=1) for block in blocks]) for fit in fits]).cpu()


class ScikitLearn:
    """scikit-learn's LogisticRegression, one strength after the other, as S fits it."""

    def __init__(self, rows: Rows, labels: NDArray[np.int64], spec: TransferSpec, check: Callable[[], None]) -> None:
        self._x = torch.cat(list(rows.blocks())).numpy()
        self._labels, self._spec, self._check = labels, spec, check

    def predictions(self, settings: Sequence[Settings], asked: Rows) -> Tensor:
        """As `Solver.predictions`; the settings are ``C``."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a weak penalty may end at max_steps, as it does in S
            for one in settings:
                self._check()
                model = LogisticRegression(C=one["C"], max_iter=self._spec.max_steps).fit(self._x, self._labels)
                found.append(np.concatenate([model.predict(block.numpy()) for block in asked.blocks()]))
        return torch.from_numpy(np.stack(found).astype(np.int64))


class Sgd:
    """Minibatch SGD with momentum and a cosine from pass to pass, all settings in one pass over the features.

    The update is that of `torch.optim.SGD`. Weights begin at 0: the objective is convex, so no noise is needed.
    """

    def __init__(
        self,
        rows: Rows,
        labels: Tensor,
        classes: int,
        spec: TransferSpec,
        device: torch.device,
        seed: int,
        memory: float,
        check: Callable[[], None],
    ) -> None:
        self._rows, self._labels, self._classes, self._spec = rows, labels, classes, spec
        self._device, self._seed, self._check = device, seed, check
        held = len(rows) * rows.width * 4 <= memory * 2**30
        self._held = torch.cat(list(rows.blocks())).to(device) if held else None

    def predictions(self, settings: Sequence[Settings], asked: Rows) -> Tensor:
        """As `Solver.predictions`; a fit that diverged names no class (-1)."""
        weight, bias = self._fit(settings)
        found = []
        for block in asked.blocks():
            scores = torch.baddbmm(bias, block.to(self._device).expand(len(settings), -1, -1), weight)
            found.append(scores.argmax(dim=2).masked_fill(~scores.isfinite().all(dim=2), -1))
        return torch.cat(found, dim=1).cpu()

    def _fit(self, settings: Sequence[Settings]) -> tuple[Tensor, Tensor]:
        """Weights (t, d, c) and biases (t, 1, c) of t settings."""
        shape = (len(settings), self._rows.width, self._classes)
        weight = torch.zeros(shape, device=self._device)
        bias = torch.zeros(shape[0], 1, shape[2], device=self._device)
        moving = torch.zeros_like(weight), torch.zeros_like(bias)
        rates = torch.tensor([one["learning_rate"] for one in settings], device=self._device).view(-1, 1, 1)
        decays = torch.tensor([one["weight_decay"] for one in settings], device=self._device).view(-1, 1, 1)
        for epoch in range(self._spec.epochs):
            rate = rates * 0.5 * (1 + math.cos(math.pi * epoch / self._spec.epochs))
            for x, labels in self._batches(epoch):
                slopes = _slopes(x, labels, weight, bias)
                for value, slope, velocity in zip((weight, bias), slopes, moving, strict=True):
                    velocity.mul_(self._spec.momentum).add_(slope).add_(decays * value)
                    value.sub_(rate * velocity)
            self._check()
        return weight, bias

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows once, in an order of this pass's own."""
        digest = hashlib.sha256(f"{self._seed}\x1f{epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        order = torch.randperm(len(self._rows), generator=generator)
        for places in order.split(self._spec.batch_size):
            if self._held is not None:
                yield self._held[places.to(self._device)], self._labels[places].to(self._device)
            else:
                near = places.sort().values  # a mapped file is read from front to back
                yield self._rows.take(near.numpy()).to(self._device), self._labels[near].to(self._device)


def _slopes(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the mean cross-entropy of a batch (b, d) for each of t classifiers."""
    scores = torch.matmul(x, weight).add_(bias)
    residual = scores.softmax(dim=2)
    residual[:, torch.arange(len(x), device=x.device), labels] -= 1
    residual /= len(x)
    return torch.matmul(x.T, residual), residual.sum(dim=1, keepdim=True)
