"""Modality gap: how far the means of two sets are apart on the sphere (Liang et al. 2022)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import class_sums


def modality_gap(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Measure how far two sets, such as prompts and images, lie apart as a whole.

    ``|mean_i uvec(a_i) - mean_j uvec(b_j)|`` (arXiv:2203.02053). The same figure stands beside the accuracy of a
    classifier in `linear_separability`; this one costs a pass over the embeddings. The means are not scaled to length
    1, so wide sets have short means and a small gap; two sets of one mean may still be separable.

    Args:
        a: Embeddings of one set, any scale.
        b: Embeddings of the other set, of the same width.

    Returns:
        Euclidean distance in [0, 2]; NaN where a set is empty.

    Raises:
        ValueError: Wrong shapes or widths, or rows that are zero or not finite.

    Example:
        >>> import torch
        >>> modality_gap(torch.tensor([[5.0, 0.0]]), torch.tensor([[-1.0, 0.0], [-3.0, 0.0]]))
        2.0
    """
    a = _checks.embeddings("a", a)
    b = _checks.embeddings("b", b, width=a.shape[1]).to(a.device)
    return float(torch.linalg.vector_norm(_mean(a) - _mean(b)))


def _mean(e: Tensor) -> Tensor:
    """Mean of the unit vectors, (1, d); NaN of an empty set."""
    return class_sums(e, torch.zeros(len(e), dtype=torch.long, device=e.device), 1) / len(e)
