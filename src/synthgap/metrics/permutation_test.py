"""Permutation test: do two sets of embeddings differ by more than chance?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import TIE, row_blocks, unit

MAX_ROWS = 2_000
"""Rows of a set that are used; more are drawn from by the seed. The kernels of all pairs then take 128 MiB."""


@dataclass(frozen=True)
class PermutationTest:
    """How often a difference as large would come by chance.

    Attributes:
        p_value: Share of the rearrangements, the observed arrangement among them, that differ at least as much, in
            (0, 1]. NaN with too few images.
        statistic: What was compared: the difference that was observed. NaN with too few images.
        permutations: Rearrangements that were tried.
    """

    p_value: float
    statistic: float
    permutations: int


def permutation_test(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, permutations: int, seed: int
) -> PermutationTest:
    """Test whether two sets of embeddings may come from one distribution.

    The kernel two-sample test of Gretton et al. 2012 (JMLR 13): the statistic is the unbiased squared maximum mean
    discrepancy of the unit vectors under a Gaussian kernel, ``exp(-|x - y|^2 / (2 sigma^2))``, whose sigma is the
    median distance of two different vectors of both sets together. It sees means, spread and shape. Then the rows are dealt
    anew to two sets of the same sizes; ``p = (1 + number of deals of at least the observed statistic) / (1 + permutations)``,
    which is right whatever the sizes (Phipson and Smyth 2010).

    The images of each set must be independent draws: crops of one photograph, or images of one noise under two prompts
    (`paired_test`), are not. Test the classes one by one, or the shares of the classes are tested as well.

    Args:
        a: Embeddings of one set, any scale.
        b: Embeddings of the other set, of the same width.
        permutations: How often the rows are dealt anew, at least 1; no p-value is below ``1 / (1 + permutations)``.
        seed: Seed of the deals, and of the 2,000 rows used of a set that has more.

    Returns:
        p-value, one-sided: large where the sets are alike; the squared discrepancy, which may fall below 0; and
        ``permutations``. NaN when a set has fewer than two rows. Vectors that are all the same give p = 1.

    Raises:
        ValueError: Wrong shapes or widths, rows zero or not finite, no permutation, or a negative seed.

    Example:
        >>> import torch
        >>> e = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)) + 1
        >>> round(permutation_test(e[:30], e[30:], permutations=199, seed=0).p_value, 3) > 0.05
        True
        >>> permutation_test(e[:30], e[30:] + 1, permutations=199, seed=0).p_value
        0.005
    """
    a = _checks.embeddings("a", a)
    b = _checks.embeddings("b", b, width=a.shape[1]).to(a.device)
    permutations, generator = _checks.whole("permutations", permutations), _checks.generator(seed)
    if min(len(a), len(b)) < 2:
        return PermutationTest(torch.nan, torch.nan, permutations)
    a, b = _few(a, generator), _few(b, generator)
    kernel = _kernel(torch.cat([unit(a), unit(b)]))
    observed = float(_discrepancies((torch.arange(len(kernel)) < len(a)).unsqueeze(0), kernel))
    # a deal that comes out the same but for rounding is at least as large
    bar = observed - TIE * float(kernel.abs().max())
    larger = 0
    for rows in row_blocks(permutations, len(kernel)):
        order = torch.rand(rows.stop - rows.start, len(kernel), dtype=torch.float64, generator=generator).argsort(dim=1)
        larger += int((_discrepancies(order < len(a), kernel) >= bar).sum())
    return PermutationTest((1 + larger) / (1 + permutations), observed, permutations)


def _few(e: Tensor, generator: torch.Generator) -> Tensor:
    """At most `MAX_ROWS` rows."""
    return e[torch.randperm(len(e), generator=generator)[:MAX_ROWS].to(e.device)] if len(e) > MAX_ROWS else e


def _kernel(x: Tensor) -> Tensor:
    """Gaussian kernel of all pairs of unit vectors less 1, (N, N), 0 on the diagonal; all 0 where no two differ."""
    squared = torch.addmm(x.new_tensor(2.0), x, x.T, alpha=-2)
    above = torch.ones_like(squared, dtype=torch.bool).triu_(1)
    apart = squared[above & (squared > 2 * TIE)]
    if len(apart) == 0:
        return torch.zeros_like(squared)
    # less the 1 that all pairs share and the terms cancel: keeps the digits of small differences
    return torch.expm1(squared.clamp_min_(0).fill_diagonal_(0) / (-2 * apart.median()))


def _discrepancies(first: Tensor, kernel: Tensor) -> Tensor:
    """Unbiased squared discrepancy (p,) of the rows marked, bool (p, N), and the others."""
    first = first.to(kernel)
    n = first.sum(dim=1)
    m = len(kernel) - n
    of_row = kernel.sum(dim=1)
    within = ((first @ kernel) * first).sum(dim=1)
    between = first @ of_row - within
    others = of_row.sum() - within - 2 * between
    return within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * between / (n * m)
