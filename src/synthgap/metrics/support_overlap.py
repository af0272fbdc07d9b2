"""How far the regions that two sets take up overlap: precision, recall, density and coverage in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import TIE
from synthgap.metrics._near import Space
from synthgap.metrics.stacks import Stack

LEAST_RADIUS = 1e-2
"""Squared length of the longest row around the mean below which products of unit vectors blur what counts as a tie."""


@dataclass(frozen=True)
class SupportOverlap:
    """Overlap of the regions of two sets, a region being the balls around its images up to their k-th neighbours.

    The four figures are the means of the values per image, which `class_means` and `bootstrap_interval` take.

    Attributes:
        precision: Share of the synthetic images inside a natural ball, in [0, 1].
        recall: Share of the natural images inside a synthetic ball, in [0, 1].
        density: Natural balls that hold a synthetic image, over k, in [0, n / k]; about 1 for equal populations.
        coverage: Share of the natural balls that hold a synthetic image, in [0, 1].
        precise: 1 or 0 for each synthetic image.
        recalled: 1 or 0 for each natural image.
        balls: Number of natural balls that hold each synthetic image, over k.
        covered: 1 or 0 for each natural image: whether its ball holds a synthetic one.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    precise: Float64[Tensor, " m"]
    recalled: Float64[Tensor, " n"]
    balls: Float64[Tensor, " m"]
    covered: Float64[Tensor, " n"]


def support_overlap(*, natural: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], k: int) -> SupportOverlap:
    """Find precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) together.

    A ball reaches from an image to its k-th nearest other image of the same set (arXiv:1904.06991,
    arXiv:2002.09797), Euclidean on the embeddings as given; its edge belongs to it. The papers use k = 3 and k = 5. Exact,
    in bounded memory: products of int8 or float32 find the pairs that may matter, float64 distances decide. Distances that
    differ by rounding only count as equal, so that duplicates are inside balls of radius 0.

    Args:
        natural: Embeddings of the natural images, n rows.
        synthetic: Embeddings of the synthetic images, m rows of the same width.
        k: Neighbour that a ball reaches to, at least 1.

    Returns:
        The four figures and the values per image they are means of. NaN where a set is empty; precision, density and
        coverage also where there are k or fewer natural images, recall where there are k or fewer synthetic ones.

    Raises:
        ValueError: Wrong shapes or widths, rows that are not finite, or a ``k`` below 1.

    Example:
        >>> import torch
        >>> natural, synthetic = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.5], [30.0]])
        >>> found = support_overlap(natural=natural, synthetic=synthetic, k=1)
        >>> found.precision, found.recall, found.density
        (0.5, 1.0, 1.0)
        >>> found.covered  # the ball around 10 reaches to 1, which is nearer than 0.5
        tensor([1., 1., 0.], dtype=torch.float64)
    """
    natural = _checks.features("natural", natural)
    synthetic = _checks.features("synthetic", synthetic, width=natural.shape[1]).to(natural.device)
    k, n, m = _checks.whole("k", k), len(natural), len(synthetic)
    space = Space(natural, synthetic)
    x, y = space.cloud(natural), space.cloud(synthetic)
    reach_natural, reach_synthetic = (space.reach(cloud, k) + space.rounding for cloud in (x, y))
    balls, recalled, covered = (torch.zeros(size, dtype=torch.float64, device=natural.device) for size in (m, n, n))
    for (i, j), (own, _) in space.within(x, y, reach_natural, reach_synthetic):
        balls += torch.bincount(j, minlength=m)
        covered[i] = 1
        recalled[own] = 1
    precise = (balls > 0).double()
    if n <= k or m == 0:
        precise, balls, covered = (values.fill_(torch.nan) for values in (precise, balls, covered))
    if m <= k:
        recalled.fill_(torch.nan)
    balls /= k
    figures = [float(values.mean()) for values in (precise, recalled, balls, covered)]
    return SupportOverlap(figures[0], figures[1], figures[2], figures[3], precise, recalled, balls, covered)


@dataclass(frozen=True)
class StackOverlap:
    """The values per image of `SupportOverlap` for the b classes of a stack; of rows filled up they mean nothing.

    Attributes:
        precise: (b, m).
        recalled: (b, n).
        balls: (b, m).
        covered: (b, n).
        sound: Classes, bool (b,), that products alone tell.
    """

    precise: Float64[Tensor, "b m"]
    recalled: Float64[Tensor, "b n"]
    balls: Float64[Tensor, "b m"]
    covered: Float64[Tensor, "b n"]
    sound: Tensor


def stacked_support_overlap(stack: Stack, *, k: int) -> StackOverlap:
    """`support_overlap` of the classes of a stack of unit vectors, natural and synthetic, at least one row in each."""
    (natural, synthetic), (x, y) = stack.rows, stack.present
    largest = _largest(stack)
    rounding = (TIE * largest).unsqueeze(1)
    of_natural, of_synthetic = (_reach(stack, side, k) + rounding for side in (0, 1))
    apart = stack.squared_distances[:, natural, synthetic]
    pairs = x.unsqueeze(2) & y.unsqueeze(1)
    inside = (apart <= of_natural.unsqueeze(2)) & pairs
    recalled = ((apart <= of_synthetic.unsqueeze(1)) & pairs).any(dim=2).double()
    balls, covered = inside.sum(dim=1).double(), inside.any(dim=2).double()
    few, lone = (stack.sizes[0] <= k).unsqueeze(1), (stack.sizes[1] <= k).unsqueeze(1)
    return StackOverlap(
        (balls > 0).double().masked_fill(few, torch.nan),
        recalled.masked_fill(lone, torch.nan),
        balls.masked_fill(few, torch.nan) / k,
        covered.masked_fill(few, torch.nan),
        largest >= LEAST_RADIUS,
    )


def _reach(stack: Stack, side: int, k: int) -> Tensor:
    """Squared distance (b, n) of each row of a set to its k-th nearest other; infinite where there are fewer."""
    rows, present = stack.rows[side], stack.present[side]
    apart = stack.squared_distances[:, rows, rows].where(present.unsqueeze(1), torch.inf)
    apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return apart.kthvalue(min(k, apart.shape[2]), dim=2).values if k < apart.shape[2] else apart[:, 0] + torch.inf


def _largest(stack: Stack) -> Tensor:
    """Squared length (b,) of the longest row around the mean of both sets."""
    present = torch.cat(stack.present, dim=1)
    shares = (present.double() / present.sum(dim=1, keepdim=True)).unsqueeze(2)
    of_row = stack.inner @ shares
    around = stack.inner.diagonal(dim1=1, dim2=2) - 2 * of_row.squeeze(2) + (shares.mT @ of_row).flatten().unsqueeze(1)
    return around.where(present, 0.0).amax(dim=1)
