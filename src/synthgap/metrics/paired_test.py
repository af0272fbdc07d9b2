"""Paired test: does what changed between two measurements of the same images differ from chance?"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import TIE, row_blocks
from synthgap.metrics.permutation_test import PermutationTest


def paired_test(
    values_a: Float[Tensor, " n"], values_b: Float[Tensor, " n"], *, permutations: int, seed: int
) -> PermutationTest:
    """Test whether the mean difference of paired values may be 0, by flipping the signs of the differences.

    For the same starting noise under two prompts, or the same query under two references: pairs are far more
    sensitive than two sets (`permutation_test`). If the two sides of a pair could as well be swapped, the sign of
    each difference is chance; p is the share of sign flips whose mean difference is at least as far from 0 as the
    observed one (Fisher's randomisation test). Where ``2^n`` is at most ``permutations`` all flips are
    tried and p is exact; else they are drawn and ``p = (1 + number at least as far) / (1 + permutations)``.

    No p-value is below ``2^(1 - n)``: fewer than 6 pairs that differ cannot reach 0.05.

    Args:
        values_a: One value per pair, such as 0/1 from `centroid_accuracy`; NaN stands for "not scored".
        values_b: The other value of each pair, in the same order.
        permutations: How many flips are drawn, at least 1.
        seed: Seed of the flips.

    Returns:
        p-value, two-sided; mean of ``values_a - values_b``; and how many flips were tried. Pairs with a NaN are left
        out; NaN with fewer than two pairs.

    Raises:
        ValueError: Wrong shapes, values of another length, infinite values, no permutation, or a negative seed.

    Example:
        >>> import torch
        >>> before, after = torch.tensor([0.1, 0.2, 0.3, 0.4, torch.nan]), torch.tensor([0.3, 0.5, 0.4, 0.8, 0.9])
        >>> found = paired_test(after, before, permutations=1000, seed=0)
        >>> found.p_value, round(found.statistic, 6), found.permutations
        (0.125, 0.25, 16)
    """
    values_a = _checks.scores("values_a", values_a)
    values_b = _checks.scores("values_b", values_b).to(values_a.device)
    if len(values_a) != len(values_b):
        raise ValueError(f"values_b: found {len(values_b)} values; expected {len(values_a)}, one per value of values_a")
    permutations, generator = _checks.whole("permutations", permutations), _checks.generator(seed)
    differences = (values_a - values_b).cpu()
    differences = differences[~differences.isnan()]
    pairs = len(differences)
    exact = pairs < permutations.bit_length()  # 2^n <= permutations
    tried = 2**pairs if exact else permutations
    if pairs < 2:
        return PermutationTest(torch.nan, torch.nan, tried)
    signs = _every_sign(pairs) if exact else _drawn_signs(pairs, permutations, generator)
    # a flip that comes out the same but for rounding is as far
    bar = float(differences.sum().abs() - TIE * differences.abs().sum())
    far = sum(int(((flips @ differences).abs() >= bar).sum()) for flips in signs)
    p_value = far / tried if exact else (1 + far) / (1 + tried)
    return PermutationTest(p_value, float(differences.mean()), tried)


def _every_sign(pairs: int) -> Iterator[Tensor]:
    """All rows of ``pairs`` signs, a block at a time: the bits of 0, 1, 2 …"""
    places = torch.arange(pairs)
    for rows in row_blocks(2**pairs, pairs):
        bits = torch.arange(rows.start, rows.stop).unsqueeze(1) >> places & 1
        yield (2 * bits - 1).double()


def _drawn_signs(pairs: int, permutations: int, generator: torch.Generator) -> Iterator[Tensor]:
    for rows in row_blocks(permutations, pairs):
        yield (2 * torch.randint(2, (rows.stop - rows.start, pairs), generator=generator) - 1).double()
