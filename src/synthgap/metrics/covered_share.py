"""Covered share: how much of the natural variance the synthetic set also has."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._moments import Gaussian, gaussian

LEAST_PIVOT = 1e-3
"""Share of the largest pivot below which the Cholesky factor of products keeps fewer than 12 digits."""


def covered_share(*, natural: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"]) -> float:
    """Measure the share of the natural images' variance, direction by direction, that the synthetic images have too.

    ``1 - tr((S_n - S_s)_+) / tr(S_n)`` with the covariances over ``n - 1``, in float64, where ``( )_+`` keeps the
    positive eigenvalues: the variance missing in the subspace in which most of it is missing, over all there is.
    Where the two covariances have the same principal directions it is ``sum min(s_i, n_i) / sum n_i`` over the
    variances along them. Variance beyond the natural one, in whatever direction, makes up for nothing and costs
    nothing. The measure is ours: the usual ratio of total variances is fooled by variety of the wrong kind.

    It knows means and covariances only. The means do not count: a set far off can cover everything (`centroid_shift`,
    `kernel_distance` tell), and two clusters are covered by one wide cloud (`coverage` tells). Few images miss
    directions by chance: a second natural sample of the same size is the figure to compare with, not 1.

    Args:
        natural: Embeddings of the natural images, as given; scale them first (`uvec`) if their length shall not count.
        synthetic: Embeddings of the synthetic images, of the same width.

    Returns:
        A share in [0, 1]; NaN where a set has fewer than two images or the natural images are all the same.

    Raises:
        ValueError: Wrong shapes or widths, or rows that are not finite.

    Example:
        >>> import torch
        >>> natural = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
        >>> synthetic = torch.tensor([[9.0, 0.0], [-9.0, 0.0], [0.0, 0.0], [0.0, 0.0]])  # one of two directions
        >>> round(covered_share(natural=natural, synthetic=synthetic), 6)
        0.5
    """
    natural = _checks.features("natural", natural)
    synthetic = _checks.features("synthetic", synthetic, width=natural.shape[1]).to(natural.device)
    if min(len(natural), len(synthetic)) < 2 or bool((natural == natural[0]).all()):
        return math.nan
    a, b = gaussian(natural), gaussian(synthetic)
    missing = float(torch.linalg.eigvalsh(_difference(a, b)).clamp_min(0).sum())
    return min(1.0, max(0.0, 1 - missing / float(a.trace)))


def _difference(a: Gaussian, b: Gaussian) -> Tensor:
    """``S_a - S_b``, within the span of the images of both where that is smaller than d."""
    if not a.factored or not b.factored or len(a.spread) + len(b.spread) >= len(a.mean):
        return a.covariance - b.covariance
    rows = torch.cat([_independent(a.spread), _independent(b.spread)])
    gram = rows @ rows.T
    # the rows in an orthonormal basis of their span
    inner, failed = torch.linalg.cholesky_ex(gram)
    if failed or inner.diagonal().amin() < LEAST_PIVOT * inner.diagonal().amax():
        inner = torch.linalg.qr(rows.T).R.T
    factor, other = inner[: len(a.spread) - 1], inner[len(a.spread) - 1 :]
    difference: Tensor = factor.T @ factor - other.T @ other
    return difference


def _independent(centred: Tensor) -> Tensor:
    """Rows (n - 1, d) of the same ``F.T @ F`` as n rows that add up to zero: a reflection that takes the last to zero."""
    rows: Tensor = centred[:-1] - centred[-1] / (len(centred) ** 0.5 + 1)
    return rows
