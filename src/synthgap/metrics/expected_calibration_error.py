"""Expected calibration error: how far a classifier's confidence is from its accuracy (Guo et al. 2017)."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks


def expected_calibration_error(confidence: Float[Tensor, " n"], correct: Float[Tensor, " n"], *, bins: int) -> float:
    """Average ``|accuracy - confidence|`` over the images, each taken from the bin of its confidence.

    arXiv:1706.04599 with bins of equal width, closed above. A classifier that is right in 80 % of the cases in which it
    says 0.8 is calibrated, however many those are. Few images in a bin make a gap by chance, so the figure is above 0
    for a calibrated classifier too, the more bins the further.

    Args:
        confidence: Highest probability of each image, in [0, 1].
        correct: 1 where the prediction is the image's class, else 0.
        bins: Number of bins, at least 1; the paper takes 15.

    Returns:
        A number in [0, 1]; NaN without images.

    Raises:
        ValueError: Wrong shapes, confidences outside [0, 1], values that are not finite, or fewer than one bin.

    Example:
        >>> import torch
        >>> expected_calibration_error(torch.tensor([0.75, 0.75]), torch.tensor([1.0, 0.0]), bins=10)
        0.25
    """
    confidence, correct = _checks.scores("confidence", confidence), _checks.scores("correct", correct)
    bins = _checks.whole("bins", bins)
    if len(correct) != len(confidence):
        raise ValueError(f"correct: found {len(correct)} values for {len(confidence)} confidences; expected one each")
    for name, values in (("confidence", confidence), ("correct", correct)):
        wrong = int(((values < 0) | (values > 1) | values.isnan()).sum())
        if wrong:
            raise ValueError(f"{name}: {wrong} of {len(values)} values are outside [0, 1]; expected none")
    if len(confidence) == 0:
        return math.nan
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = confidence.new_zeros(bins).index_add_(0, place, correct - confidence)
    return float(gaps.abs().sum() / len(confidence))
