"""Precision: the share of synthetic images that look like natural ones (Kynkäänniemi et al. 2019)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from synthgap.metrics.support_overlap import support_overlap


def precision(*, natural: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], k: int) -> float:
    """Measure the share of synthetic images that lie inside the region of the natural ones.

    Inside is who is no farther from some natural image than that image's k-th natural neighbour (arXiv:1904.06991). A
    natural outlier has a wide ball that lets much in; `density` is less easily fooled.
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
        >>> precision(natural=natural, synthetic=synthetic, k=1)
        0.75
    """
    return support_overlap(natural=natural, synthetic=synthetic, k=k).precision
