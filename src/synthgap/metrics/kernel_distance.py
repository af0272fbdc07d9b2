"""Kernel distance of two sets: CMMD with the Gaussian kernel, KID with the polynomial one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._euclidean import middle, squared_distances, tiles, upper_tiles
from synthgap.metrics.jackknife import around, draw_groups, groups_for
from synthgap.metrics.stacks import Counted, Figures, Stack

SIGMA = 10.0
"""Width of the Gaussian kernel of CMMD (Jayasumana et al. 2024)."""

Kernel = Callable[[Tensor, Tensor], Tensor]


def kernel_distance(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    *,
    kernel: Literal["gaussian", "polynomial"] = "gaussian",
    sigma: float = SIGMA,
    unbiased: bool = True,
    times_1000: bool = False,
) -> float:
    """Measure how far two sets are apart by their squared maximum mean discrepancy; assumes no Gaussian shape.

    ``mean k(a, a') + mean k(b, b') - 2 mean k(a, b)``, in float64. Kernels: ``gaussian``,
    ``exp(-|x - y|^2 / (2 sigma^2))``, is CMMD with its ``sigma = 10`` (Jayasumana et al. 2024, arXiv:2401.09603),
    which is meant for embeddings of CLIP; ``polynomial``, ``(x·y / d + 1)^3``, is KID (Binkowski
    et al. 2018, arXiv:1801.01401). The embeddings are taken as given.

    The unbiased estimate leaves out each image's kernel with itself: expected to be the same whatever the number of
    images, it falls below 0 for sets that are alike. The biased one keeps it: never below 0, the same when every image is
    there twice, and larger the fewer images there are.

    With ``sigma`` far above the distances the Gaussian kernel is nearly linear in the squared distance, and the figure
    close to ``|mu_a - mu_b|^2 / sigma^2``: on unit vectors CMMD sees the means and little of the spread.

    Args:
        a: Embeddings of one set.
        b: Embeddings of the other set, of the same width.
        kernel: ``gaussian`` or ``polynomial``.
        sigma: Width of the Gaussian kernel, above 0; the polynomial kernel has none.
        unbiased: Whether to leave out each image's kernel with itself.
        times_1000: Multiply by 1,000, as Jayasumana et al. print CMMD.

    Returns:
        The squared distance; NaN where a set is empty or, unbiased, has a single image.

    Raises:
        ValueError: Wrong shapes or widths, rows that are not finite, an unknown kernel, or a ``sigma`` that is not
            finite and above 0.

    Example:
        >>> import torch
        >>> a, b = torch.zeros(3, 2), torch.tensor([[3.0, 4.0]])  # two points, 5 apart: 2 - 2 exp(-1/2) for sigma = 5
        >>> round(kernel_distance(a, b, sigma=5.0, unbiased=False), 6)
        0.786939
    """
    value = _sums(a, b, kernel, sigma).distance(_numbers.flag("unbiased", unbiased))
    return value * 1000 if _numbers.flag("times_1000", times_1000) else value


def kernel_distance_interval(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    *,
    kernel: Literal["gaussian", "polynomial"] = "gaussian",
    sigma: float = SIGMA,
    unbiased: bool = True,
    times_1000: bool = False,
    seed: int,
) -> tuple[float, float]:
    """Find the 95 % interval of `kernel_distance` by leaving out a tenth of either set in turn.

    That of `jackknife_interval`, from the sums over the pairs of tenths: every pair of images is looked at once.

    Args:
        a: Embeddings of one set.
        b: Embeddings of the other set, of the same width.
        kernel: As in `kernel_distance`.
        sigma: As in `kernel_distance`.
        unbiased: As in `kernel_distance`.
        times_1000: As in `kernel_distance`.
        seed: Seed of the tenths.

    Returns:
        Lower and upper end; NaN when a set has fewer than three images.

    Raises:
        ValueError: As in `kernel_distance`, or a negative seed.

    Example:
        >>> import torch
        >>> a, b = torch.randn(2, 500, 4, generator=torch.Generator().manual_seed(0))
        >>> low, high = kernel_distance_interval(a, b, sigma=2.0, seed=0)
        >>> low < kernel_distance(a, b, sigma=2.0) < high
        True
    """
    generator, scale = _checks.generator(seed), 1000 if _numbers.flag("times_1000", times_1000) else 1
    unbiased = _numbers.flag("unbiased", unbiased)
    count = groups_for([a, b])
    groups = [draw_groups(x, max(1, count), generator) for x in (a, b)]
    sums = _sums(a, b, kernel, sigma, groups, max(1, count))
    if not count:
        return math.nan, math.nan
    without = [[sums.without(left).distance(unbiased)] for left in range(count)]
    value = torch.tensor([sums.distance(unbiased)], dtype=torch.float64)
    low, high = around(value, torch.tensor(without, dtype=torch.float64))
    return float(low) * scale, float(high) * scale


def stacked_kernel_distance(stack: Stack, counted: Counted, *, sigma: float, times_1000: bool) -> Figures:
    """The unbiased `kernel_distance` of the Gaussian kernel for the classes of a stack: (b, 1), of the rows that count.

    Sound for unit vectors.
    """
    kernel = torch.expm1(stack.squared_distances / (-2 * sigma**2))
    own = [rows.to(kernel).unsqueeze(2) for rows in counted]
    sums = [
        (own[i].mT @ kernel[:, stack.rows[i], stack.rows[j]] @ own[j]).flatten() for i, j in ((0, 0), (1, 1), (0, 1))
    ]
    n, m = (rows.sum(dim=(1, 2)) for rows in own)
    value = sums[0] / (n * (n - 1)) + sums[1] / (m * (m - 1)) - 2 * sums[2] / (n * m)
    return (value * (1000 if times_1000 else 1)).unsqueeze(1), torch.ones_like(n, dtype=torch.bool)


@dataclass(frozen=True)
class _Sums:
    """Kernel summed over the pairs of each two groups, in float64.

    Within a set (2, g, g): over all pairs and, second, over those of an image with itself; between the sets (g, g).
    """

    within: tuple[Tensor, Tensor]
    between: Tensor
    sizes: tuple[Tensor, Tensor]

    def without(self, left: int) -> _Sums:
        """The sums of all groups but one."""
        keep = torch.arange(len(self.between)) != left
        parts = [matrix[..., keep, :][..., keep] for matrix in (*self.within, self.between)]
        return _Sums((parts[0], parts[1]), parts[2], (self.sizes[0][keep], self.sizes[1][keep]))

    def distance(self, unbiased: bool) -> float:
        """The squared distance; NaN for too few images."""
        n, m = (float(of.sum()) for of in self.sizes)
        if min(n, m) < (2 if unbiased else 1):
            return math.nan
        means = [
            float(pairs[0].sum() - pairs[1].sum()) / (size * (size - 1))
            if unbiased
            else float(pairs[0].sum()) / size**2
            for pairs, size in zip(self.within, (n, m), strict=True)
        ]
        return sum(means) - 2 * float(self.between.sum()) / (n * m)


def _sums(
    a: Tensor, b: Tensor, kernel: str, sigma: float, groups: Sequence[Tensor] | None = None, count: int = 1
) -> _Sums:
    """Check the arguments and sum the kernel, every pair once; without groups all images are in one."""
    a = _checks.features("a", a)
    b = _checks.features("b", b, width=a.shape[1]).to(a.device)
    sigma = _numbers.number("sigma", sigma, "a finite number above 0", above=0, most=torch.finfo(torch.float64).max)
    if kernel not in ("gaussian", "polynomial"):
        raise ValueError(f"kernel: found {kernel!r}; expected 'gaussian' or 'polynomial'")
    k = partial(_gaussian, middle(a, b), sigma) if kernel == "gaussian" else _polynomial
    groups = groups or [torch.zeros(len(x), dtype=torch.long, device=a.device) for x in (a, b)]
    of_a, of_b = (torch.nn.functional.one_hot(of.to(a.device), count).double() for of in groups)
    between = torch.zeros(count, count, dtype=torch.float64, device=a.device)
    for rows, columns in tiles(len(a), len(b)):
        between += of_a[rows].T @ k(a[rows], b[columns]) @ of_b[columns]
    within = [_within(x, of, k).cpu() for x, of in ((a, of_a), (b, of_b))]
    return _Sums((within[0], within[1]), between.cpu(), (of_a.sum(dim=0).cpu(), of_b.sum(dim=0).cpu()))


def _gaussian(origin: Tensor, sigma: float, x: Tensor, y: Tensor) -> Tensor:
    # less the 1 that all pairs share and the three terms cancel: keeps the digits of small distances
    return torch.expm1(squared_distances(x, y, origin) / (-2 * sigma**2))


def _polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def _within(e: Tensor, members: Tensor, kernel: Kernel) -> Tensor:
    """Sums over the pairs of each two groups of a set, (2, g, g): all pairs, and those of an image with itself."""
    count = members.shape[1]
    sums = torch.zeros(2, count, count, dtype=torch.float64, device=e.device)
    for rows, columns in upper_tiles(len(e)):
        values = kernel(e[rows], e[columns])
        part = members[rows].T @ values @ members[columns]
        if rows.start == columns.start:
            sums[0] += part
            sums[1] += torch.diag(members[rows].T @ values.diagonal())
        else:
            sums[0] += part + part.T
    return sums
