"""Holm's correction: p-values of many classes, of which some are small by chance."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks


def holm(p_values: Float[Tensor, " c"]) -> Float64[Tensor, " c"]:
    """Adjust the p-values of many tests so that even one false finding among them is as rare as stated.

    Holm 1979 ("A simple sequentially rejective multiple test procedure"): the smallest of c p-values is multiplied by
    c, the next by c - 1 and so on, none below the one before it. Calling a class different where its adjusted p-value is at
    most 0.05 names a class wrongly in at most 5 % of such studies, however the tests depend on each other.

    Args:
        p_values: One p-value per test, in [0, 1]; NaN stands for "not tested" and does not count.

    Returns:
        Adjusted p-values in the same order, each at least as large as before and at most 1; NaN where it was.

    Raises:
        ValueError: Not one dimension, not a floating type, or a value outside [0, 1].

    Example:
        >>> import torch
        >>> holm(torch.tensor([0.04, 0.01, torch.nan, 0.03], dtype=torch.float64))
        tensor([0.0600, 0.0300,    nan, 0.0600], dtype=torch.float64)
    """
    p_values = _checks.scores("p_values", p_values)
    outside = int(((p_values < 0) | (p_values > 1)).sum())
    if outside:
        raise ValueError(f"p_values: {outside} of {len(p_values)} values are outside [0, 1]; expected p-values or NaN")
    adjusted = torch.full_like(p_values, torch.nan)
    tested = (~p_values.isnan()).nonzero().squeeze(1)
    order = tested[p_values[tested].argsort()]
    if len(order):
        factors = torch.arange(len(order), 0, -1, device=order.device)
        adjusted[order] = (p_values[order] * factors).cummax(dim=0).values.clamp_max(1)
    return adjusted
