"""Covariances of few vectors in many dimensions: shrunk to a scaled identity, and factored for use.

``a X^T X + b I`` of n centred rows X is factored as (d, d), or, of fewer rows than dimensions, as (n, n) by the
Woodbury identity and the determinant lemma, so that a class of 50 images costs no more in 768 dimensions than it holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from synthgap.metrics._blocks import TIE, row_blocks, unit
from synthgap.metrics._symmetric import add_products, mirrored

LEAST_SHRINKAGE = 1e-9
"""Below this a covariance of fewer images than dimensions has no inverse in float64."""


@dataclass(frozen=True)
class Covariance:
    """A covariance matrix (d, d) that has an inverse.

    Attributes:
        factor: Lower Cholesky factor: of the covariance (d, d) where ``rows`` is None, else of
            ``I + rows rows^T`` (n, n), the covariance being ``level * (I + rows^T rows)``.
        log_determinant: Logarithm of the determinant of the covariance.
        rows: Centred and scaled members of the class (n, d), or None.
        level: What the rows are relative to; 1 where there are none.
    """

    factor: Tensor
    log_determinant: float
    rows: Tensor | None = None
    level: float = 1.0

    def squared_lengths(self, z: Tensor) -> Tensor:
        """Squared Mahalanobis length of each row (r, d): float64 (r,)."""
        if self.rows is None:
            return self.whitened(z).square().sum(dim=1)
        within = torch.linalg.solve_triangular(self.factor, self.rows @ z.T, upper=False)
        found: Tensor = (z.square().sum(dim=1) - within.square().sum(dim=0)) / self.level
        return found

    def whitened(self, z: Tensor) -> Tensor:
        """Rows (r, d) turned and scaled so that their squared Euclidean lengths are the Mahalanobis ones."""
        found: Tensor = torch.linalg.solve_triangular(self.factor, z.T, upper=False).T
        return found


def pooled(e: Tensor, labels: Tensor, means: Tensor, shrinkage: float | None) -> Covariance:
    """Covariance of all rows around the means of their classes; the identity where no rows of a class differ."""
    n, d = e.shape
    scatter, fourth = _scatter(e, labels, means)
    freedom = n - len(labels.unique())
    found = _from_scatter(scatter, fourth, n, freedom, shrinkage)
    return found or Covariance(torch.eye(d, dtype=torch.float64, device=e.device), 0.0)


def own(e: Tensor, mean: Tensor, shrinkage: float | None) -> Covariance | None:
    """Covariance of the rows (n, d) of one class; None where they are too few or too alike to estimate one."""
    n, d = e.shape
    if n < 2:
        return None
    if n >= d:
        scatter, fourth = _scatter(e, torch.zeros(n, dtype=torch.long, device=e.device), mean.unsqueeze(0))
        return _from_scatter(scatter, fourth, n, n - 1, shrinkage)
    x = unit(e) - mean
    gram = x @ x.T
    lengths = gram.diagonal()
    share = _shrinkage(float(gram.square().sum()), float(lengths.sum()), float(lengths.square().sum()), n, d, shrinkage)
    if share is None:
        return None
    level = share * float(lengths.sum()) / (d * (n - 1))
    ratio = (1 - share) / (n - 1) / level
    factor = torch.linalg.cholesky(gram * ratio + torch.eye(n, dtype=torch.float64, device=e.device))
    return Covariance(factor, d * math.log(level) + _log_determinant(factor), x * math.sqrt(ratio), level)


def ledoit_wolf(square: float, trace: float, fourth: float, n: int, d: int) -> float:
    """Share of the scaled identity that makes the expected squared error of a covariance least, in [0, 1].

    Ledoit and Wolf 2004 ("A well-conditioned estimator for large-dimensional covariance matrices"), from the sums over
    n centred rows: ``square = |X^T X|^2`` (Frobenius), ``trace = sum |x|^2`` and ``fourth = sum |x|^4``.
    """
    size, mean = square / n**2, trace / (n * d)
    apart = size - d * mean**2
    if apart <= TIE * size:  # already a multiple of the identity
        return 1.0
    return min(1.0, max(0.0, fourth / n - size) / n / apart)


def _shrinkage(square: float, trace: float, fourth: float, n: int, d: int, given: float | None) -> float | None:
    """The share given or estimated; None where there is no spread, or none that the estimate can tell from a line."""
    if trace <= TIE * n:
        return None
    share = ledoit_wolf(square, trace, fourth, n, d) if given is None else given
    return share if share >= LEAST_SHRINKAGE else None


def _from_scatter(scatter: Tensor, fourth: float, n: int, freedom: int, given: float | None) -> Covariance | None:
    d, trace = len(scatter), float(scatter.trace())
    share = _shrinkage(float(scatter.square().sum()), trace, fourth, n, d, given)
    if share is None:
        return None
    matrix = scatter * ((1 - share) / freedom)
    matrix.diagonal().add_(share * trace / (d * freedom))
    factor = torch.linalg.cholesky(matrix)
    return Covariance(factor, _log_determinant(factor))


def _scatter(e: Tensor, labels: Tensor, means: Tensor) -> tuple[Tensor, float]:
    """``X^T X`` (d, d) and ``sum |x|^4`` of the unit vectors less the means of their classes, in one pass."""
    scatter, fourth = torch.zeros(e.shape[1], e.shape[1], dtype=torch.float64, device=e.device), 0.0
    for rows in row_blocks(len(e), e.shape[1]):
        x = unit(e[rows]) - means[labels[rows]]
        add_products(scatter, x)
        fourth += float(x.square().sum(dim=1).square().sum())
    return mirrored(scatter), fourth


def _log_determinant(factor: Tensor) -> float:
    return 2 * float(factor.diagonal().log().sum())
