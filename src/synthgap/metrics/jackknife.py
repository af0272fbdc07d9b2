"""Jackknife intervals of figures that a bootstrap cannot tell, since a resample holds images twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks

STUDENT = {
    3: 4.302652729749464,
    4: 3.1824463052837078,
    5: 2.7764451051977934,
    6: 2.570581835636315,
    7: 2.446911848791681,
    8: 2.3646242515927853,
    9: 2.306004135204166,
    10: 2.262157162740992,
}
"""Half width of a 95 % interval in standard errors, by the number of groups."""


def jackknife_interval(
    statistic: Callable[..., Sequence[float]], samples: Sequence[Float[Tensor, "_ d"]], *, seed: int
) -> tuple[Float64[Tensor, " p"], Float64[Tensor, " p"]]:
    """Find 95 % intervals of any figures of one or more samples by leaving out a tenth of each sample in turn.

    The delete-a-group jackknife (Shao and Tu 1995, section 2.3; Kott 2001). No image appears twice, so it serves Vendi
    scores, covered shares and kernel distances, for which the copies of a bootstrap are near duplicates. The groups
    differ by one image where a sample is no multiple of ten; of fewer than ten images each is a group, and Student's
    distribution makes the interval as wide as so few deserve. For figures that move smoothly with their images; it
    tells of chance and not of the bias that few images cause. Costs ten calls of ``statistic``, and one.

    Args:
        statistic: Takes the samples in order, gives p figures.
        samples: Tensors whose rows are the images.
        seed: Seed of the groups.

    Returns:
        Lower and upper ends, (p,) float64, the figures of the whole samples in the middle; NaN when a sample has fewer
        than three rows.

    Raises:
        ValueError: No sample, a negative seed, or what ``statistic`` raises.

    Example:
        >>> import torch
        >>> x = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
        >>> low, high = jackknife_interval(lambda x: [x.var()], [x], seed=0)
        >>> bool(low < x.var() < high)
        True
    """
    generator = _checks.generator(seed)
    if not samples:
        raise ValueError("samples: found none; expected at least one tensor")
    value = torch.tensor([float(figure) for figure in statistic(*samples)], dtype=torch.float64)
    count = groups_for(samples)
    if not count:
        return torch.full_like(value, torch.nan), torch.full_like(value, torch.nan)
    groups = [draw_groups(x, count, generator) for x in samples]
    left = ([x[of != group] for x, of in zip(samples, groups, strict=True)] for group in range(count))
    without = [[float(figure) for figure in statistic(*parts)] for parts in left]
    return around(value, torch.tensor(without, dtype=torch.float64))


def groups_for(samples: Sequence[Tensor]) -> int:
    """Groups that samples of these sizes are cut in: ten, or as many as the smallest has rows; 0 for fewer than three."""
    count = min(max(STUDENT), *(len(x) for x in samples))
    return count if count in STUDENT else 0


def draw_groups(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Group of each row, (n,) int64, all of one size or one row more."""
    return (torch.randperm(len(x), generator=generator) % count).to(x.device)


def around(value: Tensor, without: Tensor) -> tuple[Tensor, Tensor]:
    """The interval around figures (p,), given the figures without each group (count, p)."""
    error = without.std(dim=0, correction=0) * (len(without) - 1) ** 0.5
    half = STUDENT[len(without)] * error
    return value - half, value + half
