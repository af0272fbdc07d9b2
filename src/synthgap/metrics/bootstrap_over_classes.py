"""Bootstrap over classes: how far a figure would move had other classes been chosen."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._resampling import draw_counts, percentiles


def bootstrap_over_classes(
    by_class: Float[Tensor, " c"], *, resamples: int, seed: int, sizes: Int[Tensor, " c"] | None = None
) -> tuple[float, float]:
    """Find the 95 % percentile interval of a mean over classes when the classes themselves are resampled.

    `bootstrap_classes` and `bootstrap_interval` keep the classes and ask for other images of them; this asks
    for other classes, as if these had been drawn from many. It is the interval to give where a figure of 100 classes
    is to speak for others, and mostly the wider: classes differ by more than their images make them. The chance of the
    images is in it already, since it moves the figures of the classes as well.

    With ``sizes`` the figure is a mean over all images: each class weighs as many images as it has, and a resample
    divides by the images of the classes that it drew (the cluster bootstrap of a ratio).

    Args:
        by_class: One figure per class, such as from `class_means`; NaN ("not defined") is left out.
        resamples: Number of bootstrap resamples; 0 gives NaN.
        seed: Seed of the resamples.
        sizes: Scored images of each class, at least 0; a class of none is left out. None weighs all classes alike.

    Returns:
        Lower and upper end, within the range of ``by_class``; NaN with fewer than two classes. With few classes the
        interval is too narrow: of normal figures it covers the mean in about 83 % of cases with 5 classes, 90 % with 10,
        94 % with 50.

    Raises:
        ValueError: Wrong shapes, infinite values, sizes of another length or negative, a negative number of resamples
            or seed.

    Example:
        >>> import torch
        >>> low, high = bootstrap_over_classes(torch.tensor([0.0, 1.0] * 50), resamples=1000, seed=0)
        >>> 0.38 <= low <= 0.42 and 0.58 <= high <= 0.62
        True
    """
    values = _checks.scores("by_class", by_class).cpu()
    resamples, generator = _checks.whole("resamples", resamples, 0), _checks.generator(seed)
    weights = torch.ones_like(values) if sizes is None else _weights(sizes, len(values))
    used = ~values.isnan() & (weights > 0)
    values, weights = values[used], weights[used]
    if len(values) < 2:
        return torch.nan, torch.nan
    replicates = torch.empty(resamples, 1, dtype=torch.float64)
    for rows, counts in draw_counts(len(values), resamples, generator):
        replicates[rows, 0] = counts @ (values * weights) / (counts @ weights)
    low, high = percentiles(replicates)
    return float(low), float(high)


def _weights(sizes: Tensor, classes: int) -> Tensor:
    sizes = _checks.tensor("sizes", sizes, 1, floating=False)
    if len(sizes) != classes:
        raise ValueError(f"sizes: found {len(sizes)} sizes for {classes} classes; expected one per class")
    if len(sizes) and int(sizes.min()) < 0:
        raise ValueError(f"sizes: found {int(sizes.min())}; expected numbers of images, at least 0")
    return sizes.double().cpu()
