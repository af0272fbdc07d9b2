"""Coverage: the share of natural neighbourhoods that hold a synthetic image (Naeem et al. 2020)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from synthgap.metrics.support_overlap import support_overlap


def coverage(*, natural: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], k: int) -> float:
    """Measure the share of natural images with a synthetic one no farther than their own k-th natural neighbour.

    arXiv:2002.09797. Two samples of one population do not reach 1: expected is
    ``1 - (n - 1)...(n - k) / ((n + m - 1)...(n + m - k))`` (derived there), 0.97 for large sets of one size and k = 5.
    More synthetic images raise it: compare sets of the same size.
    All four in one pass, with their values per image: `support_overlap`, whose conventions hold here.

    Args:
        natural: Embeddings of the natural images.
        synthetic: Embeddings of the synthetic images, of the same width.
        k: Neighbour that a ball reaches to, at least 1.

    Returns:
        In [0, 1]; NaN where there is no synthetic image or k or fewer natural ones.

    Raises:
        ValueError: As in `support_overlap`.

    Example:
        >>> import torch
        >>> natural, synthetic = torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([[0.5], [0.6], [0.7], [30.0]])
        >>> coverage(natural=natural, synthetic=synthetic, k=1)
        0.5
    """
    return support_overlap(natural=natural, synthetic=synthetic, k=k).coverage
