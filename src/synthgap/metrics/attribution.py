"""Attribution of the error of a synthetic set to its diversity and to a shift of its centroids (M 3, reason 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics.class_means import class_means


class Attribution(NamedTuple):
    """The error of a set and what it is due to; ``total = diversity + shift``."""

    total: float
    """``1 - CA(prompt references, synthetic queries)`` in [0, 1]."""
    diversity: float
    """``1 - CA(own centroids, synthetic queries)`` in [0, 1]: what is left when the centroids are the set's own."""
    shift: float
    """The difference, in [-1, 1]: what the prompts' centroids cost. Negative where they serve better than its own."""


class ClassAttribution(NamedTuple):
    """`Attribution` of each class, tensors (c,)."""

    total: Float64[Tensor, " c"]
    diversity: Float64[Tensor, " c"]
    shift: Float64[Tensor, " c"]


def attribution(correct_prompts: Float[Tensor, " m"], correct_own: Float[Tensor, " m"]) -> Attribution:
    """Split the error of a synthetic set into what diversity and what a shift of the centroids causes.

    arXiv:2311.00056 section 3, reason 3: with prompts as references 25.1 % of Disamb2.5's images are told wrong, with
    the set's own centroids 18.0 %; only the centroids differ, so 18.0 is due to diversity and 7.1 to the shift.

    Args:
        correct_prompts: `centroid_accuracy` of the synthetic queries with the prompts as references.
        correct_own: `centroid_accuracy` of the same queries, in the same order, with the set's own train split as
            references. Only queries scored in both (not NaN) count.

    Returns:
        Total, diversity and shift; NaN when no query is scored in both.

    Raises:
        ValueError: Wrong shapes, different lengths or infinite values.

    Example:
        >>> import torch
        >>> attribution(torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 0.0, 1.0]))
        Attribution(total=0.5, diversity=0.25, shift=0.25)
    """
    prompts, own = _scored_in_both(correct_prompts, correct_own)
    total, diversity = float(1 - prompts.nanmean()), float(1 - own.nanmean())
    return Attribution(total, diversity, total - diversity)


def class_attribution(
    correct_prompts: Float[Tensor, " m"], correct_own: Float[Tensor, " m"], labels: Int[Tensor, " m"], num_classes: int
) -> ClassAttribution:
    """Split the error of each class as `attribution` does for a set (arXiv:2311.00056 section 3, reasons 3 and 4).

    Args:
        correct_prompts: `centroid_accuracy` of the synthetic queries with the prompts as references.
        correct_own: `centroid_accuracy` of the same queries with the set's own train split as references.
        labels: Class of each query in [0, num_classes).
        num_classes: Number of classes c.

    Returns:
        Total, diversity and shift of each class; NaN for a class without a query scored in both.

    Raises:
        ValueError: Wrong shapes, different lengths, labels out of range or infinite values.

    Example:
        >>> import torch
        >>> prompts, own = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
        >>> class_attribution(prompts, own, torch.tensor([0, 0, 1]), num_classes=2).shift
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    prompts, own = _scored_in_both(correct_prompts, correct_own)
    total = 1 - class_means(prompts, labels, num_classes)
    diversity = 1 - class_means(own, labels, num_classes)
    return ClassAttribution(total, diversity, total - diversity)


def _scored_in_both(prompts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    prompts, own = _checks.scores("correct_prompts", prompts), _checks.scores("correct_own", own)
    if len(prompts) != len(own):
        raise ValueError(
            f"correct_own: found {len(own)} values; expected {len(prompts)}, one per query as in correct_prompts"
        )
    missing = prompts.isnan() | own.isnan()
    return prompts.masked_fill(missing, torch.nan), own.masked_fill(missing, torch.nan)
