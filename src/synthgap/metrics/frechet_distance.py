"""Fréchet distance of two sets, its two terms apart (M 3, reason 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._moments import Gaussian, gaussian, leaving_out
from synthgap.metrics._symmetric import congruent, eigenvalues
from synthgap.metrics.jackknife import around, draw_groups, groups_for


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
    return between(gaussian(a), gaussian(b), min(len(a), len(b)))


def frechet_distance_interval(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, seed: int
) -> tuple[Float64[Tensor, " 3"], Float64[Tensor, " 3"]]:
    """Find 95 % intervals of the distance and its two terms by leaving out a tenth of either set in turn.

    `jackknife_interval` of `frechet_distance`, with the sums of each tenth added up instead of the images: as fast as a
    single distance where there are many images. It tells of chance and not of the bias that few images cause.

    Args:
        a: Embeddings of one set.
        b: Embeddings of the other set, of the same width.
        seed: Seed of the tenths.

    Returns:
        Lower and upper ends of distance, mean term and covariance term, each at least 0; NaN as in `jackknife_interval`.

    Raises:
        ValueError: Wrong shapes or widths, rows that are not finite, or a negative seed.

    Example:
        >>> import torch
        >>> a, b = torch.randn(2, 500, 4, generator=torch.Generator().manual_seed(0))
        >>> low, high = frechet_distance_interval(a, b, seed=0)
        >>> bool(low[0] < frechet_distance(a, b).total < high[0])
        True
    """
    _, low, high = distance_and_interval(a, b, seed=seed)
    return low, high


def distance_and_interval(a: Tensor, b: Tensor, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Distance and its two terms (3,), and the ends of their intervals; the images are added up once for all of them."""
    a = _checks.features("a", a)
    b = _checks.features("b", b, width=a.shape[1]).to(a.device)
    generator = _checks.generator(seed)
    count, least = groups_for([a, b]), min(len(a), len(b))
    if not count:
        value = _figures(frechet_distance(a, b))
        return value, torch.full_like(value, torch.nan), torch.full_like(value, torch.nan)
    (all_a, left_a), (all_b, left_b) = (leaving_out(x, draw_groups(x, count, generator), count) for x in (a, b))
    value = _figures(between(all_a, all_b, least))
    without = [_figures(between(of_a, of_b, least - 1)) for of_a, of_b in zip(left_a, left_b, strict=True)]
    low, high = around(value, torch.stack(without))
    return value, low.clamp_min(0), high


def between(a: Gaussian, b: Gaussian, least: int) -> FrechetDistance:
    """The distance of two Gaussians; ``least`` is the number of images of the smaller set."""
    mean_term = float((a.mean - b.mean).square().sum())
    if least < 2:
        return FrechetDistance(torch.nan, mean_term, torch.nan)
    covariance_term = float((a.trace + b.trace - 2 * _root_trace(a, b)).clamp_min(0))
    return FrechetDistance(mean_term + covariance_term, mean_term, covariance_term)


def _figures(found: FrechetDistance) -> Tensor:
    return torch.tensor([found.total, found.mean_term, found.covariance_term], dtype=torch.float64)


def _root_trace(a: Gaussian, b: Gaussian) -> Tensor:
    """``tr((S_a S_b)^(1/2))``: the sum of the roots of the eigenvalues of ``F S F.T`` for a factor of one and the other."""
    if a.factored and b.factored:
        cross = a.spread @ b.spread.T
        gram = cross @ cross.T if cross.shape[0] <= cross.shape[1] else cross.T @ cross
    elif a.factored or b.factored:
        few, many = (a, b) if a.factored else (b, a)
        gram = few.spread @ many.spread @ few.spread.T
    else:
        gram = _between_covariances(a.spread, b.spread)
    return eigenvalues(gram).clamp_min(0).sqrt().sum()


def _between_covariances(a: Tensor, b: Tensor) -> Tensor:
    """``F b F.T`` for a factor ``a = F.T F``; right on and below its diagonal."""
    lower, failed = torch.linalg.cholesky_ex(a)
    if failed:  # singular: the rows lie in a subspace
        values, vectors = torch.linalg.eigh(a)
        factor = vectors * values.clamp_min(0).sqrt()
        turned: Tensor = factor.T @ b @ factor
        return turned
    return congruent(lower, b)
