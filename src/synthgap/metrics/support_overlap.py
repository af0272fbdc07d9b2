"""How far the regions that two sets take up overlap: precision, recall, density and coverage in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._near import Space


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
    arXiv:2002.09797), Euclidean on the embeddings as given; its edge belongs to it. The papers use k = 3
    and k = 5. Exact, in bounded memory: products of int8 or
    float32 find the pairs that may matter, float64 distances decide; distances that differ by rounding only count as equal, so that
    duplicates are inside balls of radius 0.

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
