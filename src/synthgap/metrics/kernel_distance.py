"""Kernel distance of two sets: CMMD with the Gaussian kernel, KID with the polynomial one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks, _numbers
from synthgap.metrics._euclidean import middle, squared_distances, tiles, upper_tiles

Kernel = Callable[[Tensor, Tensor], Tensor]


def kernel_distance(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    *,
    kernel: Literal["gaussian", "polynomial"] = "gaussian",
    sigma: float = 10.0,
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
    a = _checks.features("a", a)
    b = _checks.features("b", b, width=a.shape[1]).to(a.device)
    sigma = _numbers.number("sigma", sigma, "a finite number above 0", above=0, most=torch.finfo(torch.float64).max)
    unbiased, times_1000 = _numbers.flag("unbiased", unbiased), _numbers.flag("times_1000", times_1000)
    if kernel not in ("gaussian", "polynomial"):
        raise ValueError(f"kernel: found {kernel!r}; expected 'gaussian' or 'polynomial'")
    if min(len(a), len(b)) < (2 if unbiased else 1):
        return math.nan
    k = partial(_gaussian, middle(a, b), sigma) if kernel == "gaussian" else _polynomial
    between = sum(float(k(a[rows], b[columns]).sum()) for rows, columns in tiles(len(a), len(b)))
    value = _within(a, k, unbiased) + _within(b, k, unbiased) - 2 * between / (len(a) * len(b))
    return value * 1000 if times_1000 else value


def _gaussian(origin: Tensor, sigma: float, x: Tensor, y: Tensor) -> Tensor:
    # less the 1 that all pairs share and the three terms cancel: keeps the digits of small distances
    return torch.expm1(squared_distances(x, y, origin) / (-2 * sigma**2))


def _polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def _within(e: Tensor, kernel: Kernel, unbiased: bool) -> float:
    """Mean kernel over the pairs of a set, with or without the pairs of an image and itself."""
    total, n = 0.0, len(e)
    for rows, columns in upper_tiles(n):
        values = kernel(e[rows], e[columns])
        if rows.start == columns.start:
            total += float(values.sum()) - (float(values.diagonal().sum()) if unbiased else 0.0)
        else:
            total += 2 * float(values.sum())
    return total / (n * (n - 1) if unbiased else n * n)
