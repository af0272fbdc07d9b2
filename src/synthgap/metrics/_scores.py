"""From a score of each class to the class."""

from __future__ import annotations

import torch
from torch import Tensor

EQUAL = 1e-9
"""Logarithms of densities nearer to each other than this are equal: above what float64 sums of them may differ by."""


def highest(scores: Tensor) -> Tensor:
    """Column of the highest score in each row (r, c), of equal ones (`EQUAL`) the first: int64 (r,)."""
    found: Tensor = (scores >= scores.amax(dim=1, keepdim=True) - EQUAL).to(torch.int8).argmax(dim=1)
    return found
