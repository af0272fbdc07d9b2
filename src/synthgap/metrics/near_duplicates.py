"""Near duplicates: images of a set that are almost the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._blocks import TIE, unit
from synthgap.metrics._euclidean import upper_tiles
from synthgap.metrics.stacks import Stack

MOST_PAIRS = 1000
"""Pairs that are listed; copies of one image alone would make a number of pairs that no memory holds."""


@dataclass(frozen=True)
class NearDuplicates:
    """Images of a set whose cosine reaches a threshold, and the groups that such pairs chain together.

    Attributes:
        share: Share of the images that are in a group of two or more, in [0, 1]; NaN of an empty set.
        groups: Group of each image, named by the lowest row in it; an image on its own has its own row.
        count: Number of pairs that reach the threshold.
        pairs: Rows of the pairs of the highest cosines, highest first, the lower row first; at most `most_pairs`.
        cosines: Their cosines.
    """

    share: float
    groups: Int64[Tensor, " n"]
    count: int
    pairs: Int64[Tensor, "p 2"]
    cosines: Float64[Tensor, " p"]


def near_duplicates(e: Float[Tensor, "n d"], *, threshold: float, most_pairs: int = MOST_PAIRS) -> NearDuplicates:
    """Find the pairs of images that are at least as alike as a threshold, and group them.

    Two images are in one group when a chain of such pairs leads from one to the other (single linkage), so the ends
    of a long chain may be less alike. Exact: every pair is compared once, in float64 and bounded memory, in a time that
    grows with the square of the number of images: call it class by class on large sets. Which threshold means
    "the same picture" depends on the encoder: look at the listed pairs before you trust the share.

    Args:
        e: Embeddings, any scale.
        threshold: Cosine from which on a pair counts, above -1 and at most 1; 1 finds copies.
        most_pairs: Number of pairs to list at most.

    Returns:
        Share of images in groups, the groups, the number of pairs and the most alike of them.

    Raises:
        ValueError: Wrong shape, rows that are zero or not finite, a threshold outside (-1, 1], or a negative number of
            pairs.

    Example:
        >>> import torch
        >>> e = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [1.0, 0.2], [-1.0, 0.0]])
        >>> found = near_duplicates(e, threshold=0.99)
        >>> found.groups, found.share, found.pairs  # 0 and 3 meet through 2
        (tensor([0, 1, 0, 0, 4]), 0.6, tensor([[2, 3],
                [0, 2]]))
    """
    e = _checks.embeddings("e", e)
    threshold = _numbers.number("threshold", threshold, "a cosine above -1 and at most 1", above=-1, most=1)
    most_pairs = _checks.whole("most_pairs", most_pairs, 0)
    groups = torch.arange(len(e), device=e.device)
    pairs, cosines, count = groups.new_empty(0, 2), e.new_empty(0, dtype=torch.float64), 0
    for rows, columns in upper_tiles(len(e)):
        alike = unit(e[rows]) @ unit(e[columns]).T
        hits = alike >= threshold - TIE
        if rows.start == columns.start:
            hits = hits.triu(diagonal=1)
        found = hits.nonzero()
        if len(found) == 0:
            continue
        values = alike[found[:, 0], found[:, 1]].clamp_max(1)
        found += torch.tensor([rows.start, columns.start], device=e.device)
        count += len(found)
        _join(groups, found)
        pairs, cosines = torch.cat([pairs, found]), torch.cat([cosines, values])
        order = cosines.argsort(descending=True, stable=True)[:most_pairs]
        pairs, cosines = pairs[order], cosines[order]
    sizes = torch.bincount(groups, minlength=len(e))
    share = float((sizes[groups] > 1).double().mean()) if len(e) else math.nan
    return NearDuplicates(share, groups, count, pairs, cosines)


def stacked_near_duplicates(stack: Stack, side: int, thresholds: Tensor) -> Tensor:
    """Which images of one set of a stack are in a group of `near_duplicates`, bool (b, m), by a threshold per class."""
    rows, present = stack.rows[side], stack.present[side]
    alike = stack.cosines[:, rows, rows] >= thresholds.view(-1, 1, 1) - TIE
    alike.diagonal(dim1=1, dim2=2).fill_(False)
    return (alike & present.unsqueeze(1)).any(dim=2) & present


def _join(groups: Tensor, pairs: Tensor) -> None:
    """Union-find on all pairs at once: hook the higher root to the lower, shorten all paths, until nothing moves."""
    while True:
        ends = groups[pairs]
        low, high = ends.amin(dim=1), ends.amax(dim=1)
        if torch.equal(low, high):
            return
        groups.scatter_reduce_(0, high, low, "amin")
        while not torch.equal(groups, groups[groups]):
            groups.copy_(groups[groups])
