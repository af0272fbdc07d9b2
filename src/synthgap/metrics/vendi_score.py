"""Vendi score: how many different images a set amounts to (Friedman and Dieng 2023)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._gram import unit_gram


def vendi_score(e: Float[Tensor, "n d"], *, q: float = 1.0) -> float:
    """Count how many different images a set amounts to, without any reference.

    The exponential of the Rényi entropy of order q of the eigenvalues of ``K / n``, where K holds the cosines of all
    pairs (arXiv:2210.02410; orders other than 1: arXiv:2310.12952): ``(sum l^q)^(1 / (1 - q))``,
    ``exp(-sum l log l)`` for q = 1 and ``1 / max l`` for infinity. The higher the order, the less rare images count:
    orders fall as q rises. n images of orthogonal embeddings give n, n copies of one image give 1. Where there are
    more images than dimensions the same eigenvalues are those of the (d, d) second moments, so no set is too large.

    Embeddings that share a mean, as CLIP's do, give low scores, far below n: compare scores of one encoder and of sets
    of the same size only. It is no measure of quality: noise is diverse.

    Args:
        e: Embeddings, any scale.
        q: Order above 0, ``math.inf`` included.

    Returns:
        A number in [1, min(n, d)]; NaN of an empty set.

    Raises:
        ValueError: Wrong shape, rows that are zero or not finite, or an order that is not above 0.

    Example:
        >>> import torch
        >>> e = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])  # shares 3/4 and 1/4
        >>> [round(vendi_score(e, q=q), 4) for q in (0.5, 1, 2, float("inf"))]
        [1.866, 1.7548, 1.6, 1.3333]
    """
    e = _checks.embeddings("e", e)
    q = _numbers.number("q", q, "an order above 0", above=0, most=math.inf)
    if len(e) == 0:
        return math.nan
    shares = torch.linalg.eigvalsh(unit_gram(e))
    # what the decomposition leaves where the true eigenvalue is 0 would count for much at orders below 1
    shares = shares[shares > len(shares) * torch.finfo(torch.float64).eps * shares[-1]]
    shares = shares / shares.sum()
    if q == math.inf:
        return float(1 / shares.max())
    if q == 1:
        return float(torch.special.entr(shares).sum().exp())
    if abs(q - 1) > 0.5:
        return math.exp(float(torch.logsumexp(q * shares.log(), dim=0)) / (1 - q))
    # sum l^q - 1 = sum l (l^(q - 1) - 1), which keeps its digits next to order 1
    beyond = float((shares * torch.expm1((q - 1) * shares.log())).sum())
    return math.exp(math.log1p(beyond) / (1 - q))
