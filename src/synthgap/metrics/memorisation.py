"""Memorisation: synthetic images nearer to a training image than training images are to each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._blocks import TIE, row_blocks, unit
from synthgap.metrics._neighbours import nearest
from synthgap.metrics.stacks import Stack


@dataclass(frozen=True)
class Memorisation:
    """The nearest training image of each synthetic one, and which of them are suspiciously near.

    Attributes:
        share: Share of the synthetic images that are nearer than the threshold, in [0, 1]; ``1 - level`` is what new
            images of the natural population would give, or a little more or less by chance. NaN where undefined.
        threshold: Cosine that the given share of the natural images does not exceed with their nearest other one.
        nearest: Row of the natural image of the highest cosine to each synthetic image; -1 where there is none.
        cosines: That cosine; NaN where there is none.
        near: 1 or 0 for each synthetic image: whether its cosine is above the threshold; NaN where undefined.
    """

    share: float
    threshold: float
    nearest: Int64[Tensor, " m"]
    cosines: Float64[Tensor, " m"]
    near: Float64[Tensor, " m"]


def memorisation(*, natural: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], level: float) -> Memorisation:
    """Find synthetic images that are nearer to a natural image than natural images are to each other.

    For each natural image the cosine to its nearest other one is found; the threshold is the smallest of these that a
    share ``level`` of them does not exceed; a synthetic image counts when its cosine to its nearest natural image
    is above it. Similarity to the training images held against their similarity among themselves is the comparison of
    Somepalli et al. 2023 (arXiv:2212.03860); that a generator at fault is nearer to its training images than other
    natural images are is the test of Meehan et al. 2020 (arXiv:2004.05675).

    It speaks of the images that are given: a generator trained on others may have copied those. A high share shows
    nearness in the encoder's eyes, not copying: sets of typical, unvaried images are near as well; look at the
    pairs. Natural duplicates raise the threshold, up to 1, from where on nothing counts: `near_duplicates` finds them.

    Args:
        natural: Embeddings of the natural images, best those that the generator was trained on, any scale.
        synthetic: Embeddings of the synthetic images, of the same width.
        level: Share of the natural images that set the threshold, above 0 and at most 1, such as 0.95.

    Returns:
        The share, the threshold, and each synthetic image's nearest natural one; share and threshold are NaN with fewer
        than two natural images, the share also without synthetic ones.

    Raises:
        ValueError: Wrong shapes or widths, rows that are zero or not finite, or a level outside (0, 1].

    Example:
        >>> import torch
        >>> natural = torch.eye(3)
        >>> found = memorisation(natural=natural, synthetic=torch.tensor([[0.0, 9.0, 0.1], [-1.0, 0.0, 0.0]]), level=0.9)
        >>> found.share, found.threshold, found.nearest[0]  # a copy, and one that is nothing like them
        (0.5, 0.0, tensor(1))
    """
    natural = _checks.embeddings("natural", natural)
    synthetic = _checks.embeddings("synthetic", synthetic, width=natural.shape[1]).to(natural.device)
    level = _numbers.number("level", level, "a share above 0 and at most 1", above=0, most=1)
    none = torch.full((len(synthetic),), -1, device=natural.device)
    found = nearest(natural, synthetic, 1)[:, 0] if len(natural) else none
    cosines = _cosines(natural, found, synthetic) if len(natural) else none * torch.nan
    if len(natural) < 2:
        return Memorisation(math.nan, math.nan, found, cosines.double(), torch.full_like(cosines, torch.nan).double())
    two = nearest(natural, natural, 2)
    itself = two[:, 0] == torch.arange(len(natural), device=natural.device)
    among = _cosines(natural, torch.where(itself, two[:, 1], two[:, 0]), natural).sort().values
    threshold = float(among[_place(level, len(among))])
    near = (cosines > threshold + TIE).double()
    return Memorisation(float(near.mean()), threshold, found, cosines, near)


def stacked_memorisation(stack: Stack, *, level: float) -> tuple[Tensor, Tensor]:
    """Threshold (b,) and near images, bool (b, m), of `memorisation` for the classes of a stack, natural and synthetic.

    NaN, and none near, where a class has fewer than two natural images.
    """
    natural, synthetic = stack.rows
    other = stack.present[0].unsqueeze(1).repeat(1, stack.present[0].shape[1], 1)
    other.diagonal(dim1=1, dim2=2).fill_(False)
    among = stack.cosines[:, natural, natural].where(other, -torch.inf).amax(dim=2).clamp(-1, 1)
    among = among.where(stack.present[0], torch.inf).sort(dim=1).values
    places = torch.tensor([_place(level, n) for n in stack.sizes[0].tolist()], device=among.device)
    threshold = among.gather(1, places.unsqueeze(1)).squeeze(1).masked_fill(stack.sizes[0] < 2, torch.nan)
    nearest = stack.cosines[:, synthetic, natural].where(stack.present[0].unsqueeze(1), -torch.inf).amax(dim=2)
    return threshold, (nearest.clamp(-1, 1) > threshold.unsqueeze(1) + TIE) & stack.present[1]


def _place(level: float, n: int) -> int:
    """Place of the threshold among n cosines in ascending order."""
    # 0.56 of 100 is 56, not the 56.00000000000001 of floating point
    return max(1, math.ceil(round(level * n, 6))) - 1


def _cosines(reference: Tensor, found: Tensor, query: Tensor) -> Tensor:
    """Cosine of each query to the reference that was found for it, (m,) float64."""
    cosines = torch.empty(len(query), dtype=torch.float64, device=query.device)
    for rows in row_blocks(len(query), query.shape[1]):
        cosines[rows] = (unit(query[rows]) * unit(reference[found[rows]])).sum(dim=1)
    return cosines.clamp(-1, 1)
