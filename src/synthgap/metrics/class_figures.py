"""Figures of one or more sets, class by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import members_by_class


def class_figures(
    statistic: Callable[..., Sequence[float]], samples: Sequence[tuple[Tensor, Tensor]], num_classes: int
) -> Float64[Tensor, "c p"]:
    """Compute any figures of one or more sets for the images of each class alone.

    The loop that turns a measure of sets, such as `vendi_score` or `coverage`, into a measure per class. A class has
    far fewer images than a set, and most of those measures depend on the number: hold figures per class against
    those of natural samples of the same size.

    Args:
        statistic: Takes the embeddings of each sample in order, gives p figures; NaN for what is not defined.
        samples: For each sample its embeddings (n, d) and the class of each row in [0, num_classes).
        num_classes: Number of classes c.

    Returns:
        The figures of each class, (c, p) float64.

    Raises:
        ValueError: No sample, labels of another length or out of range, or what ``statistic`` raises.

    Example:
        >>> import torch
        >>> from synthgap.metrics import vendi_score
        >>> e, labels = torch.eye(4), torch.tensor([0, 0, 0, 2])
        >>> class_figures(lambda x: [vendi_score(x)], [(e, labels)], num_classes=3).squeeze(1)
        tensor([3.0000,    nan, 1.0000], dtype=torch.float64)
    """
    if not samples:
        raise ValueError("samples: found none; expected at least one pair of embeddings and labels")
    members = [
        members_by_class(_checks.labels("labels", labels, len(e), num_classes), num_classes) for e, labels in samples
    ]
    rows = []
    for key in range(num_classes):
        of_class = [e[groups[key].to(e.device)] for (e, _), groups in zip(samples, members, strict=True)]
        rows.append([float(figure) for figure in statistic(*of_class)])
    return torch.tensor(rows, dtype=torch.float64)
