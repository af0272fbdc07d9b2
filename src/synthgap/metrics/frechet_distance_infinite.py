"""Fréchet distance extrapolated to sets without end (Chong and Forsyth 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._moments import growing
from synthgap.metrics.frechet_distance import between

POINTS = 15
"""Sizes that the line is fitted to, from a tenth of the images to all of them, as in arXiv:1911.07023."""


@dataclass(frozen=True)
class FrechetLine:
    """A line fitted to the Fréchet distance of ever larger subsets: ``distance(N) = value + slope / N``.

    Attributes:
        value: The distance where the line meets ``1 / N = 0``; may fall below 0 for sets that are alike.
        slope: Bias times the number of images.
        residual: Root mean square distance of the points from the line, to be held against ``value``.
        sizes: Images of each set that each point was measured with, ascending.
        distances: The Fréchet distances measured.
    """

    value: float
    slope: float
    residual: float
    sizes: Int64[Tensor, " p"]
    distances: Float64[Tensor, " p"]


def frechet_distance_infinite(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, seed: int, points: int = POINTS
) -> FrechetLine:
    """Estimate the Fréchet distance of the populations, free of most of the bias that few images cause.

    The bias of `frechet_distance` falls as ``1 / N`` (arXiv:1911.07023). The distance is measured for subsets of N
    images of either set, for ``points`` sizes N evenly from a tenth of the smaller set to all of it; the line through
    them, by least squares in ``1 / N``, is read at ``1 / N = 0``. The paper keeps the reference set whole, which leaves
    its bias in the figure; here both sets shrink alike.

    The bias is a line only for N well above the number of dimensions; below it the points bend and the value is
    wrong: trust it where the smallest subset has more images than dimensions, and where ``residual`` is small beside
    ``value``. Each subset holds the smaller ones, so that an image is looked at once; the residual is therefore no
    standard error, and other seeds show how far the value moves.

    Args:
        a: Embeddings of one set, as given.
        b: Embeddings of the other set, of the same width.
        seed: Seed of the subsets.
        points: Number of sizes, at least 3.

    Returns:
        The line and its points; NaN, and no points, where the smaller set has too few images for as many sizes.

    Raises:
        ValueError: Wrong shapes or widths, rows that are not finite, a negative seed, or fewer than 3 points.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 2000, 8, generator=torch.Generator().manual_seed(0))  # one population: distance 0
        >>> found = frechet_distance_infinite(x[0], x[1], seed=0)
        >>> float(found.distances[-1]) > 0.01, abs(found.value) < 0.01
        (True, True)
    """
    a = _checks.features("a", a)
    b = _checks.features("b", b, width=a.shape[1])
    generator, points = _checks.generator(seed), _checks.whole("points", points, 3)
    most = min(len(a), len(b))
    sizes = torch.linspace(max(2, most // 10), max(2, most), points, dtype=torch.float64).round().long().unique()
    if len(sizes) < points:
        return FrechetLine(math.nan, math.nan, math.nan, sizes[:0], torch.empty(0, dtype=torch.float64))
    drawn = [e[torch.randperm(len(e), generator=generator)[:most].to(e.device)] for e in (a, b)]
    grown = zip(*(growing(e, sizes.tolist()) for e in drawn), strict=True)
    measured = [between(of_a, of_b, 2).total for of_a, of_b in grown]
    distances = torch.tensor(measured, dtype=torch.float64)
    inverse = 1 / sizes.double()
    apart = inverse - inverse.mean()
    slope = (apart * distances).sum() / apart.square().sum()
    value = distances.mean() - slope * inverse.mean()
    residual = (distances - value - slope * inverse).square().mean().sqrt()
    return FrechetLine(float(value), float(slope), float(residual), sizes, distances)
