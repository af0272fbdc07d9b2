"""Permutation test: do two sets of embeddings differ by more than chance?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import TIE, row_blocks, unit
from synthgap.metrics.stacks import Stack

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
    for order in _deals(permutations, len(kernel), generator):
        larger += int((_discrepancies(order < len(a), kernel) >= bar).sum())
    return PermutationTest((1 + larger) / (1 + permutations), observed, permutations)


def stacked_p_values(stack: Stack, *, permutations: int, seed: int) -> Tensor:
    """p-values (b,) of `permutation_test` for the classes of a stack, each with the deals of that seed."""
    kernels = _kernels(stack)
    sizes = torch.stack(stack.sizes).tolist()
    found = kernels.new_empty(len(kernels))
    for n, m in sorted(set(zip(*sizes, strict=True))):
        alike = torch.tensor([k for k, pair in enumerate(zip(*sizes, strict=True)) if pair == (n, m)])
        used = torch.cat([present[alike[0]] for present in stack.present])
        kernel = kernels[alike][:, used][:, :, used]
        observed = _discrepancies((torch.arange(n + m) < n).unsqueeze(0), kernel)
        bar = observed - TIE * kernel.abs().amax(dim=(1, 2)).unsqueeze(1)
        larger = torch.zeros_like(found[alike])
        for order in _deals(permutations, n + m, _checks.generator(seed)):
            larger += (_discrepancies(order < n, kernel) >= bar).sum(dim=1)
        found[alike] = (1 + larger) / (1 + permutations)
    return found


def _deals(permutations: int, rows: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Random orders (p, rows) of the rows, a block at a time."""
    for part in row_blocks(permutations, rows):
        yield torch.rand(part.stop - part.start, rows, dtype=torch.float64, generator=generator).argsort(dim=1)


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


def _kernels(stack: Stack) -> Tensor:
    """`_kernel` of each class of a stack, (b, N, N); of rows filled up it means nothing."""
    squared, present = stack.squared_distances, torch.cat(stack.present, dim=1)
    pairs = torch.triu_indices(squared.shape[1], squared.shape[1], 1, device=squared.device)
    above = squared[:, pairs[0], pairs[1]]
    told = present[:, pairs[0]] & present[:, pairs[1]] & (above > 2 * TIE)
    middle = torch.where(told, above, torch.nan).nanmedian(dim=1).values
    # no two differ: all kernels are 0
    return torch.expm1(squared / (-2 * middle.view(-1, 1, 1))).nan_to_num(0.0)


def _discrepancies(first: Tensor, kernel: Tensor) -> Tensor:
    """Unbiased squared discrepancy (…, p) of the rows marked, bool (p, N), and the others; by kernels (…, N, N)."""
    first = first.to(kernel)
    n = first.sum(dim=1)
    m = kernel.shape[-1] - n
    of_row = kernel.sum(dim=-1, keepdim=True)
    within = ((first @ kernel) * first).sum(dim=-1)
    between = (first @ of_row).squeeze(-1) - within
    others = of_row.sum(dim=-2) - within - 2 * between
    return within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * between / (n * m)
