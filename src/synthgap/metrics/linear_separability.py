"""Linear separability of two sets: prompts from images, natural from synthetic (M 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import row_blocks, unit
from synthgap.metrics._logistic import fit
from synthgap.metrics._splits import held_out

MAX_ROWS = 20_000
"""Rows of a set that are used; more are drawn from by the seed."""


@dataclass(frozen=True)
class LinearSeparability:
    """How well a hyperplane tells two sets apart, on the half of each that it was not fitted to.

    Attributes:
        accuracy: Held-out accuracy in [0, 1], the mean of the accuracies on the two sets, so that 0.5 is chance
            whatever their sizes. NaN when a set has fewer than two rows.
        margin: Smallest signed distance of a held-out unit vector to the hyperplane: positive exactly when all of
            them are on their side. In [-2, 2]; NaN as above.
        modality_gap: Euclidean (L2) distance between the two means of unit vectors, all rows, in [0, 2]; NaN when a
            set is empty.
        correct: 1 or 0 for each held-out row, for an interval by `bootstrap_interval(correct, sides, ...)`.
        sides: The set of each held-out row: 0 for ``a``, 1 for ``b``.
    """

    accuracy: float
    margin: float
    modality_gap: float
    correct: Float64[Tensor, " h"]
    sides: Int64[Tensor, " h"]


def linear_separability(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], seed: int) -> LinearSeparability:
    """Measure how well a linear classifier tells two sets of embeddings apart.

    arXiv:2311.00056 section 4 finds CLIP's prompts and images linearly separable. The unit vectors of both sets are
    split in stratified halves by the seed; a logistic regression (L2 penalty of sklearn's ``C = 1``, both sets weighing
    the same) is fitted to one half of each, centred and scaled by one number, and tested on the other.

    Args:
        a: Embeddings of one set, any scale.
        b: Embeddings of the other set, of the same width.
        seed: Seed of the halves, and of the 20,000 rows used of a set that has more.

    Returns:
        Accuracy, margin and modality gap, and which held-out rows were told right.

    Raises:
        ValueError: Wrong shapes or widths, rows zero or not finite, or a negative seed.

    Example:
        >>> import torch
        >>> a = torch.randn(100, 8, generator=torch.Generator().manual_seed(0)) + 3
        >>> found = linear_separability(a, -a, seed=0)
        >>> found.accuracy, found.margin > 0
        (1.0, True)
    """
    a = _checks.embeddings("a", a)
    b = _checks.embeddings("b", b, width=a.shape[1])
    generator = _checks.generator(seed)
    gap = float(torch.linalg.vector_norm(_mean(a) - _mean(b).to(a.device)))
    sets = [unit(_few(a, generator)), unit(_few(b, generator)).to(a.device)]
    x = torch.cat(sets)
    sides = torch.cat([torch.full((len(part),), side, device=x.device) for side, part in enumerate(sets)])
    apart = held_out(sides, 2, 0.5, generator)
    if min(len(a), len(b)) < 2:
        return LinearSeparability(torch.nan, torch.nan, gap, x.new_empty(0), sides[:0])
    distance = _distance(x, sides, ~apart)[apart]
    sides = sides[apart]
    signed = torch.where(sides == 1, distance, -distance)
    correct = (signed > 0).double()
    accuracy = float((correct[sides == 0].mean() + correct[sides == 1].mean()) / 2)
    return LinearSeparability(accuracy, float(signed.min()), gap, correct, sides)


def _distance(x: Tensor, sides: Tensor, fitted: Tensor) -> Tensor:
    """Signed distance (n,) of all rows to the hyperplane fitted to some of them, positive on the side of set 1."""
    rows, sides = x[fitted], sides[fitted]
    mean = rows.mean(dim=0)
    rows -= mean
    scale = rows.square().mean().sqrt()
    rows /= scale if scale > 0 else 1.0
    # two softmax columns share one weight vector between them, hence 2 / n for the penalty of C = 1
    model = fit(rows, sides, 2, 2 / len(rows), shares=0.5 / torch.bincount(sides, minlength=2)[sides])
    weight, bias = model.weight[:, 1] - model.weight[:, 0], model.bias[1] - model.bias[0]
    length = torch.linalg.vector_norm(weight)
    return (x @ weight - mean @ weight + bias * scale) / (length if length > 0 else 1.0)


def _mean(e: Tensor) -> Tensor:
    """Mean of the unit vectors, (d,) float64; NaN of an empty set."""
    total = torch.zeros(e.shape[1], dtype=torch.float64, device=e.device)
    for rows in row_blocks(len(e), e.shape[1]):
        total += unit(e[rows]).sum(dim=0)
    return total / len(e) if len(e) else total.fill_(torch.nan)


def _few(e: Tensor, generator: torch.Generator) -> Tensor:
    """At most `MAX_ROWS` rows."""
    return e[torch.randperm(len(e), generator=generator)[:MAX_ROWS].to(e.device)] if len(e) > MAX_ROWS else e
