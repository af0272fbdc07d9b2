"""Covered share: how much of the natural variance the synthetic set also has."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._moments import Gaussian, gaussian
from synthgap.metrics.stacks import Counted, Figures, Stack

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


def stacked_covered_share(stack: Stack, counted: Counted) -> Figures:
    """`covered_share` of the classes of a stack, natural and synthetic: (b, 1), of the rows that count.

    Not sound where rows nearly depend on each other, so that their products keep too few digits.
    """
    natural, cross, synthetic = (stack.around(counted, *sides) for sides in ((0, 0), (0, 1), (1, 1)))
    gram = torch.cat([torch.cat([natural, cross], dim=2), torch.cat([cross.mT, synthetic], dim=2)], dim=1)
    gram, kept = _without_last(gram, counted)
    degrees = torch.cat([(rows.sum(dim=1, keepdim=True) - 1).double().expand(rows.shape) for rows in counted], dim=1)
    gram /= (degrees.unsqueeze(1) * degrees.unsqueeze(2)).sqrt()
    trace = gram[:, : natural.shape[1]].diagonal(dim1=1, dim2=2).sum(dim=1)
    gram.diagonal(dim1=1, dim2=2)[~kept] = 1
    inner, failed = torch.linalg.cholesky_ex(gram)
    pivots = inner.diagonal(dim1=1, dim2=2)
    least, most = (pivots.masked_fill(~kept, end).aminmax(dim=1) for end in (torch.inf, -torch.inf))
    sound = (failed == 0) & (least.min >= LEAST_PIVOT * most.max) & (kept.sum(dim=1) < stack.width)
    sign = kept.to(gram)
    sign[:, natural.shape[1] :] *= -1
    # a factor that failed may hold anything
    inner = torch.where(sound.view(-1, 1, 1), inner, 0.0)
    values = torch.linalg.eigvalsh(inner.mT @ (sign.unsqueeze(2) * inner))
    share = 1 - values.clamp_min(0).sum(dim=1) / trace
    return share.clamp(0, 1).unsqueeze(1), sound


def _without_last(gram: Tensor, counted: Counted) -> tuple[Tensor, Tensor]:
    """`_independent` for products (b, N, N) of the centred rows of all sets, and which rows are left, bool (b, N)."""
    rows = torch.cat(list(counted), dim=1)
    last, shares, start = torch.zeros_like(rows, dtype=torch.long), torch.zeros_like(gram[:, 0]), 0
    for of in counted:
        part = slice(start, start + of.shape[1])
        places = torch.arange(start, part.stop, device=gram.device)
        last[:, part] = torch.where(of, places, 0).amax(dim=1, keepdim=True)
        shares[:, part] = 1 / (of.sum(dim=1, keepdim=True).double().sqrt() + 1)
        start = part.stop
    turned = gram - shares.unsqueeze(2) * gram.gather(1, last.unsqueeze(2).expand_as(gram))
    turned -= shares.unsqueeze(1) * turned.gather(2, last.unsqueeze(1).expand_as(gram))
    kept = rows & (last != torch.arange(start, device=gram.device))
    return turned * (kept.unsqueeze(1) & kept.unsqueeze(2)), kept
