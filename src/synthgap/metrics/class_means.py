"""Mean of one value per image over the images of each class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from synthgap.metrics import _checks


def class_means(values: Float[Tensor, " n"], labels: Int[Tensor, " n"], num_classes: int) -> Float64[Tensor, " c"]:
    """Average a value per image over each class, leaving out what was not scored (NaN).

    Args:
        values: One value per image, such as 0/1 from `centroid_accuracy`; NaN stands for "not scored".
        labels: Class of each image in [0, num_classes).
        num_classes: Number of classes c.

    Returns:
        float64 mean of each class; NaN for a class without a scored image.

    Raises:
        ValueError: Wrong shapes, labels out of range, or infinite values.

    Example:
        >>> import torch
        >>> class_means(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0, 0, 2]), num_classes=3)
        tensor([0.5000,    nan, 1.0000], dtype=torch.float64)
    """
    values = _checks.scores("values", values)
    labels = _checks.labels("labels", labels, len(values), num_classes).to(values.device)
    scored = ~values.isnan()
    sums = torch.zeros(num_classes, dtype=torch.float64, device=values.device)
    sums.index_add_(0, labels[scored], values[scored])
    return sums / torch.bincount(labels[scored], minlength=num_classes)
