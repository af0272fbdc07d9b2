"""Mean and covariance of many vectors from sums that add up, so that parts and wholes cost one pass between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from synthgap.metrics._blocks import BLOCK_VALUES, row_blocks
from synthgap.metrics._symmetric import add_products, mirrored


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and covariance of some vectors in float64, in the smaller of two forms.

    Attributes:
        mean: (d,).
        spread: The covariance (d, d); or, where the vectors are few, a factor F (r, d) of it, ``F.T @ F``.
        factored: Which of the two it is.
    """

    mean: Tensor
    spread: Tensor
    factored: bool

    @property
    def trace(self) -> Tensor:
        """Trace of the covariance."""
        return self.spread.square().sum() if self.factored else self.spread.trace()

    @property
    def covariance(self) -> Tensor:
        """The covariance (d, d)."""
        return self.spread.T @ self.spread if self.factored else self.spread


@dataclass(frozen=True)
class Moments:
    """Number, mean (d,) and scatter (d, d), ``sum (x - mean)(x - mean)^T``, of some vectors, in float64."""

    n: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """Of rows (n, d), in blocks."""
        n, d = x.shape
        mean = torch.zeros(d, dtype=torch.float64, device=x.device)
        for rows in row_blocks(n, d):
            mean += x[rows].sum(dim=0, dtype=torch.float64)
        mean /= max(n, 1)
        scatter = torch.zeros(d, d, dtype=torch.float64, device=x.device)
        # at least as many rows as the scatter has, which each block reads anew
        step = max(d, BLOCK_VALUES // max(1, d))
        for start in range(0, n, step):
            add_products(scatter, x[start : start + step].double() - mean)
        return cls(n, mean, mirrored(scatter))

    def __add__(self, other: Moments) -> Moments:
        """Of the rows of both (Chan, Golub and LeVeque 1979)."""
        n = self.n + other.n
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.n / max(n, 1))
        between = torch.outer(apart, apart) * (self.n * other.n / max(n, 1))
        return Moments(n, mean, self.scatter + other.scatter + between)

    def gaussian(self) -> Gaussian:
        """Mean, and covariance over ``n - 1``."""
        return Gaussian(self.mean, self.scatter / max(self.n - 1, 1), factored=False)


def gaussian(x: Tensor) -> Gaussian:
    """Mean and covariance of rows (n, d); the centred rows themselves are its factor where they are few."""
    n, d = x.shape
    if n > max(d, 1):
        return Moments.of(x).gaussian()
    mean = x.sum(dim=0, dtype=torch.float64) / n
    return Gaussian(mean, (x.double() - mean) / max(n - 1, 1) ** 0.5, factored=True)


def growing(x: Tensor, sizes: Sequence[int]) -> Iterator[Gaussian]:
    """The Gaussian of the first rows, for ascending numbers of them: a row is added up once."""
    total, done = None, 0
    for size in sizes:
        if size <= x.shape[1]:
            yield gaussian(x[:size])
            continue
        part = Moments.of(x[done:size])
        total, done = part if total is None else total + part, size
        yield total.gaussian()


def leaving_out(x: Tensor, groups: Tensor, count: int) -> tuple[Gaussian, Iterator[Gaussian]]:
    """The Gaussian of all rows, and that of the rows but those of each group (n,) in turn: a row is added up once."""
    if len(x) <= 2 * x.shape[1]:
        return gaussian(x), (gaussian(x[groups != left]) for left in range(count))
    parts = [Moments.of(x[groups == group]) for group in range(count)]
    return reduce(add, parts).gaussian(), (rest.gaussian() for rest in _each_left_out(parts, []))


def _each_left_out(parts: list[Moments], others: list[Moments]) -> Iterator[Moments]:
    """Sum of the others and of all parts but one, for each in turn; halving keeps few sums at a time."""
    if len(parts) == 1:
        yield others[0]
        return
    half = len(parts) // 2
    for inside, outside in ((parts[:half], parts[half:]), (parts[half:], parts[:half])):
        yield from _each_left_out(inside, [reduce(add, [*outside, *others])])
