"""Vendi score: how many different images a set amounts to (Friedman and Dieng 2023)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._gram import unit_gram
from synthgap.metrics.stacks import Counted, Figures, Stack


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
    shares = torch.linalg.eigvalsh(unit_gram(e)).unsqueeze(0)
    return float(_effective_number(shares, q, torch.tensor([shares.shape[1]], device=shares.device)))


def stacked_vendi_score(stack: Stack, counted: Counted, *, q: float) -> Figures:
    """`vendi_score` of the classes of a stack of one set: (b, 1), of the rows that count. Always sound."""
    rows = counted[0]
    gram = torch.where(rows.unsqueeze(1) & rows.unsqueeze(2), stack.cosines, 0.0)
    shares = torch.linalg.eigvalsh(gram)
    found = _effective_number(shares, q, rows.sum(dim=1))
    return found.unsqueeze(1), torch.ones_like(found, dtype=torch.bool)


def _effective_number(values: Tensor, q: float, sizes: Tensor) -> Tensor:
    """Exponential (b,) of the entropy of order q of ascending eigenvalues (b, n) of matrices of those sizes (b,)."""
    # what the decomposition leaves where the true eigenvalue is 0 would count for much at orders below 1
    bar = sizes.unsqueeze(1) * torch.finfo(torch.float64).eps * values[:, -1:]
    shares = torch.where(values > bar, values, 0.0)
    shares = shares / shares.sum(dim=1, keepdim=True)
    if q == math.inf:
        return 1 / shares.amax(dim=1)
    if q == 1:
        entropy: Tensor = torch.special.entr(shares).sum(dim=1)
        return entropy.exp()
    if abs(q - 1) > 0.5:
        return (torch.logsumexp(q * shares.log(), dim=1) / (1 - q)).exp()
    # sum l^q - 1 = sum l (l^(q - 1) - 1), which keeps its digits next to order 1
    beyond = (shares * torch.expm1((q - 1) * shares.log())).nan_to_num(0.0).sum(dim=1)
    return (beyond.log1p() / (1 - q)).exp()
