"""Density: how many natural neighbourhoods each synthetic image lies in (Naeem et al. 2020)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from synthgap.metrics.support_overlap import support_overlap


def density(*, natural: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], k: int) -> float:
    """Measure in how many natural balls a synthetic image lies, over k.

    `precision` that counts the balls, so that a synthetic image among many natural ones weighs more than one beside an
    outlier (arXiv:2002.09797). Expected to be 1 for two samples of one population, ``(k + 1) / k`` for a set
    against itself (each image is in its own ball); above 1 where the synthetic images crowd the densest places.
    All four in one pass, with their values per image: `support_overlap`, whose conventions hold here.

    Args:
        natural: Embeddings of the natural images.
        synthetic: Embeddings of the synthetic images, of the same width.
        k: Neighbour that a ball reaches to, at least 1.

    Returns:
        In [0, n / k]; NaN where there is no synthetic image or k or fewer natural ones.

    Raises:
        ValueError: As in `support_overlap`.

    Example:
        >>> import torch
        >>> natural, synthetic = torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([[0.5], [0.6], [0.7], [30.0]])
        >>> density(natural=natural, synthetic=synthetic, k=1)
        1.5
    """
    return support_overlap(natural=natural, synthetic=synthetic, k=k).density
