"""Fréchet distance of two sets, its two terms apart (M 3, reason 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import row_blocks


@dataclass(frozen=True)
class FrechetDistance:
    """Squared Fréchet distance of two sets and the terms it is the sum of, each at least 0.

    Attributes:
        total: ``mean_term + covariance_term``.
        mean_term: ``|mu_a - mu_b|^2``.
        covariance_term: ``tr(S_a + S_b - 2 (S_a S_b)^(1/2))``.
    """

    total: float
    mean_term: float
    covariance_term: float


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> FrechetDistance:
    """Measure how far two sets are apart when each is taken for a Gaussian of its mean and covariance.

    ``|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` with the covariances over ``n - 1``, in float64. This is
    the squared distance of Dowson and Landau (1982) that FID uses. arXiv:2311.00056 section 3 prints its first term
    without the square, ``|mu_X - mu_Y|``, which cannot be added to variances; here it is squared. The embeddings
    are taken as given: normalise them first (`uvec`) if their length shall not count.

    Any sizes are valid. With fewer images than dimensions the covariances are singular and the figure, while exact
    for the sample, lies well above the population's: compare sets of the same size only.

    Args:
        a: Embeddings of one set.
        b: Embeddings of the other set, of the same width.

    Returns:
        The distance and its terms; NaN where a set has no row (mean term) or fewer than two (covariance term).

    Raises:
        ValueError: Wrong shapes or widths, or rows that are not finite.

    Example:
        >>> import torch
        >>> a = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
        >>> frechet_distance(a, 2 * a + torch.tensor([0.0, 3.0]))
        FrechetDistance(total=12.0, mean_term=10.0, covariance_term=2.0)
    """
    a = _checks.features("a", a)
    b = _checks.features("b", b, width=a.shape[1]).to(a.device)
    (mean_a, factor_a), (mean_b, factor_b) = _moments(a), _moments(b)
    mean_term = float((mean_a - mean_b).square().sum())
    if min(len(a), len(b)) < 2:
        return FrechetDistance(torch.nan, mean_term, torch.nan)
    traces = factor_a.square().sum() + factor_b.square().sum()
    covariance_term = float((traces - 2 * _root_trace(factor_a, factor_b)).clamp_min(0))
    return FrechetDistance(mean_term + covariance_term, mean_term, covariance_term)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and a factor F (r, d) of the covariance, ``F.T @ F``, with the fewest rows that are at hand."""
    n, d = x.shape
    parts = [x[rows] for rows in row_blocks(n, d)]
    mean = sum((part.sum(dim=0, dtype=torch.float64) for part in parts), torch.zeros(d).to(x).double()) / n
    if n <= max(d, 1):
        return mean, (x.double() - mean) / max(n - 1, 1) ** 0.5
    covariance = torch.zeros(d, d, dtype=torch.float64, device=x.device)
    for part in parts:
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred, alpha=1 / (n - 1))
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return mean, lower.T
    values, vectors = torch.linalg.eigh(covariance)  # singular: the images lie in a subspace
    return mean, (vectors * values.clamp_min(0).sqrt()).T


def _root_trace(factor_a: Tensor, factor_b: Tensor) -> Tensor:
    """``tr((S_a S_b)^(1/2))``: the sum of the singular values of ``F_a @ F_b.T``, whose squares S_a S_b has."""
    cross = factor_a @ factor_b.T
    gram = cross @ cross.T if cross.shape[0] <= cross.shape[1] else cross.T @ cross
    squares: Tensor = torch.linalg.eigvalsh(gram)
    return squares.clamp_min(0).sqrt().sum()
