"""Recall: the share of natural images that the synthetic ones could have been (Kynkäänniemi et al. 2019)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from synthgap.metrics.support_overlap import support_overlap


def recall(*, natural: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], k: int) -> float:
    """Measure the share of natural images that lie inside the region of the synthetic ones.

    `precision` with the sets exchanged (arXiv:1904.06991). A few synthetic outliers have wide balls and lift
    it; `coverage` is less easily fooled.
    All four in one pass, with their values per image: `support_overlap`, whose conventions hold here.

    Args:
        natural: Embeddings of the natural images.
        synthetic: Embeddings of the synthetic images, of the same width.
        k: Neighbour that a ball reaches to, at least 1.

    Returns:
        In [0, 1]; NaN where there is no natural image or k or fewer synthetic ones.

    Raises:
        ValueError: As in `support_overlap`.

    Example:
        >>> import torch
        >>> natural, synthetic = torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([[0.5], [0.6], [0.7], [30.0]])
        >>> recall(natural=natural, synthetic=synthetic, k=1)
        0.75
    """
    return support_overlap(natural=natural, synthetic=synthetic, k=k).recall
