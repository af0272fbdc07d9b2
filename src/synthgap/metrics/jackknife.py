"""Jackknife intervals of figures that a bootstrap cannot tell, since a resample holds images twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics.stacks import Counted, Figures, Stack

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


@dataclass(frozen=True)
class StackFigures:
    """p figures of the b classes of a stack.

    Attributes:
        value: (b, p).
        low: Lower ends of their intervals, NaN where a set has fewer than three rows.
        high: Upper ends.
        sound: Classes, bool (b,), whose figures products alone tell; the others want their rows.
    """

    value: Float64[Tensor, "b p"]
    low: Float64[Tensor, "b p"]
    high: Float64[Tensor, "b p"]
    sound: Tensor


def jackknife_stack(figures: Callable[[Stack, Counted], Figures], stack: Stack, *, seed: int | None) -> StackFigures:
    """Find figures of the classes of a stack, and the intervals that `jackknife_interval` would give them one by one.

    Args:
        figures: What to compute of the rows that count.
        stack: The classes.
        seed: Seed of the groups, the same for each class; None for no interval.

    Returns:
        Figures and intervals; a class is sound if its figures are, whatever group is left out.

    Raises:
        ValueError: A negative seed.
    """
    value, sound = figures(stack, stack.present)
    nothing = torch.full_like(value, torch.nan)
    count = _parts([int(size.min()) for size in stack.sizes])
    if seed is None or not count:
        return StackFigures(value, nothing, nothing.clone(), sound)
    groups = _stacked_groups(stack, count, seed)
    without = []
    for left in range(count):
        parts = [present & (of != left) for present, of in zip(stack.present, groups, strict=True)]
        found, safe = figures(stack, parts)
        without.append(found)
        sound = sound & safe
    return StackFigures(value, *around(value, torch.stack(without)), sound)


def _stacked_groups(stack: Stack, count: int, seed: int) -> list[Tensor]:
    """Group of each row, int64 (b, n) for each set; classes of the same sizes are cut alike."""
    cut: dict[tuple[int, ...], list[Tensor]] = {}
    groups = [torch.full(present.shape, -1, device=present.device) for present in stack.present]
    for place, sizes in enumerate(zip(*(size.tolist() for size in stack.sizes), strict=True)):
        if sizes not in cut:
            generator = _checks.generator(seed)
            cut[sizes] = [draw_groups(groups[0].new_empty(n), count, generator) for n in sizes]
        for of, own in zip(groups, cut[sizes], strict=True):
            of[place, : len(own)] = own
    return groups


def groups_for(samples: Sequence[Tensor]) -> int:
    """Groups that samples of these sizes are cut in: ten, or as many as the smallest has rows; 0 for fewer than three."""
    return _parts([len(x) for x in samples])


def _parts(sizes: Sequence[int]) -> int:
    count = min(max(STUDENT), *sizes)
    return count if count in STUDENT else 0


def draw_groups(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Group of each row, (n,) int64, all of one size or one row more."""
    return (torch.randperm(len(x), generator=generator) % count).to(x.device)


def around(value: Tensor, without: Tensor) -> tuple[Tensor, Tensor]:
    """The interval around figures (…, p), given the figures without each group (count, …, p)."""
    error = without.std(dim=0, correction=0) * (len(without) - 1) ** 0.5
    half = STUDENT[len(without)] * error
    return value - half, value + half
