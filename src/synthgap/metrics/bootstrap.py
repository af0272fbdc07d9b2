"""Bootstrap intervals: how far a figure would move had other images of the same classes been drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import members_by_class
from synthgap.metrics._resampling import ClassIntervals, class_intervals, draw, percentiles


def bootstrap_interval(
    values: Float[Tensor, " n"], labels: Int[Tensor, " n"] | None, *, resamples: int, seed: int
) -> tuple[float, float]:
    """Find the 95 % percentile interval of the mean over all images.

    With labels the resamples are stratified: as many images of each class as there are, so that the interval tells of
    other images of these classes, not of other classes. A class of a single image stays as it is.

    Args:
        values: One value per image, such as 0/1 from `centroid_accuracy`; NaN ("not scored") is left out.
        labels: Class of each image, at least 0; None draws from all images alike.
        resamples: Number of bootstrap resamples; 0 gives NaN.
        seed: Seed of the resamples.

    Returns:
        Lower and upper end, within the range of ``values``; NaN where no class has two scored images. Values that are
        all equal give an interval of no width, though the population may vary: a bootstrap sees the sample only.

    Raises:
        ValueError: Wrong shapes, negative labels, infinite values, a negative number of resamples or seed.

    Example:
        >>> import torch
        >>> low, high = bootstrap_interval(torch.tensor([0.0, 1.0] * 50), None, resamples=1000, seed=0)
        >>> 0.39 <= low <= 0.41 and 0.59 <= high <= 0.61
        True
    """
    values = _checks.scores("values", values)
    if labels is None:
        labels = torch.zeros(len(values), dtype=torch.long)
    most = int(labels.max()) + 1 if isinstance(labels, Tensor) and labels.numel() else 1
    return _of_images(*_means(values, labels, max(1, most), resamples, seed))


def bootstrap_classes(
    values: Float[Tensor, " n"], labels: Int[Tensor, " n"], num_classes: int, *, resamples: int, seed: int
) -> ClassIntervals:
    """Find the 95 % percentile interval of the mean of each class, and of the mean over classes.

    Args:
        values: One value per image, such as 0/1 from `centroid_accuracy`; NaN ("not scored") is left out.
        labels: Class of each image in [0, num_classes).
        num_classes: Number of classes c.
        resamples: Number of bootstrap resamples; 0 gives NaN.
        seed: Seed of the resamples.

    Returns:
        Interval of each class, NaN with fewer than two scored images, and of the mean over classes. The interval of
        the mean over images is `bootstrap_interval`'s; the two agree when the classes are of one size.

    Raises:
        ValueError: Wrong shapes, labels out of range, infinite values, a negative number of resamples or seed.

    Example:
        >>> import torch
        >>> values, labels = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 0, 0, 1])
        >>> found = bootstrap_classes(values, labels, 3, resamples=1000, seed=0)
        >>> found.low, found.high
        (tensor([0., nan, nan], dtype=torch.float64), tensor([1., nan, nan], dtype=torch.float64))
    """
    values = _checks.scores("values", values)
    replicates, sizes = _means(values, labels, num_classes, resamples, seed)
    return class_intervals(replicates, sizes)


def bootstrap_images_and_classes(
    values: Float[Tensor, " n"], labels: Int[Tensor, " n"], num_classes: int, *, resamples: int, seed: int
) -> tuple[tuple[float, float], ClassIntervals]:
    """`bootstrap_interval` and `bootstrap_classes` of the same resamples, drawn once."""
    replicates, sizes = _means(_checks.scores("values", values), labels, num_classes, resamples, seed)
    return _of_images(replicates, sizes), class_intervals(replicates, sizes)


def bootstrap_statistic(
    statistic: Callable[..., Sequence[float]], samples: Sequence[Float[Tensor, "_ d"]], *, resamples: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Find 95 % intervals of any figures of one or more samples, each sample resampled on its own.

    For figures that are no mean over images, such as the Fréchet distance. They are mostly biased, in a resample once
    more than in the sample, so the percentile interval is shifted by that bias: it speaks of the figure expected
    from samples of this size. Costs one call of ``statistic`` per resample.

    Args:
        statistic: Takes the samples in order, gives p figures.
        samples: Tensors whose rows are the images.
        resamples: Number of bootstrap resamples; 0 gives NaN.
        seed: Seed of the resamples.

    Returns:
        Lower and upper ends, (p,) float64; NaN when a sample has fewer than two rows.

    Raises:
        ValueError: A negative number of resamples or seed, no sample, or what ``statistic`` raises.

    Example:
        >>> import torch
        >>> x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
        >>> low, high = bootstrap_statistic(lambda x: [x.var()], [x], resamples=200, seed=0)
        >>> bool(low < x.var() < high)
        True
    """
    resamples, generator = _checks.whole("resamples", resamples, 0), _checks.generator(seed)
    if not samples:
        raise ValueError("samples: found none; expected at least one tensor")
    value = torch.tensor([float(figure) for figure in statistic(*samples)], dtype=torch.float64)
    replicates = torch.full((resamples, len(value)), torch.nan, dtype=torch.float64)
    if min(len(sample) for sample in samples) >= 2:
        for row in range(resamples):
            drawn = [sample[_rows(len(sample), generator).to(sample.device)] for sample in samples]
            replicates[row] = torch.tensor([float(figure) for figure in statistic(*drawn)], dtype=torch.float64)
    return percentiles(replicates, around=value)


def _of_images(replicates: Tensor, sizes: Tensor) -> tuple[float, float]:
    """Interval of the mean over all images, by the means of the resampled classes."""
    if not (sizes >= 2).any():
        return torch.nan, torch.nan
    low, high = percentiles((replicates.nan_to_num() @ (sizes / sizes.sum())).unsqueeze(1))
    return float(low), float(high)


def _rows(n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(n, (n,), generator=generator)


def _means(values: Tensor, labels: Tensor, num_classes: int, resamples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Means of the resampled classes, (resamples, c) with NaN for empty classes, and the classes' sizes (c,)."""
    labels = _checks.labels("labels", labels, len(values), num_classes).cpu()
    resamples, generator = _checks.whole("resamples", resamples, 0), _checks.generator(seed)
    values = values.cpu()
    scored = ~values.isnan()
    values, labels = values[scored], labels[scored]
    replicates = torch.full((resamples, num_classes), torch.nan, dtype=torch.float64)
    groups = members_by_class(labels, num_classes)
    for key, members in enumerate(groups):
        of_class = values[members]
        for rows, drawn in draw(len(members), resamples, generator):
            replicates[rows, key] = of_class[drawn].mean(dim=1)
    return replicates, torch.tensor([len(members) for members in groups], dtype=torch.float64)
