"""Fréchet distances of many small classes at once."""

from __future__ import annotations

import torch

from synthgap.metrics.stacks import Counted, Figures, Stack


def stacked_frechet_distance(stack: Stack, counted: Counted) -> Figures:
    """`frechet_distance` of the classes of a stack: total, mean and covariance term, (b, 3), of the rows that count.

    ``tr((S_a S_b)^(1/2))`` is the sum of the singular values of the products of the centred rows of one set and of the
    other: no root of an eigenvalue that is 0 but for rounding is taken. Sound for unit vectors, and for others that lie
    no farther from the origin than many times their spread.

    Example:
        >>> import torch
        >>> from synthgap.metrics.stacks import Stacks
        >>> a = torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
        >>> labels = torch.zeros(2, dtype=torch.long)
        >>> stacks = Stacks([(a, labels), (2 * a + torch.tensor([0.0, 3.0, 0.0, 0.0]), labels)], 1, least=2, scaled=False)
        >>> [stacked_frechet_distance(stack, stack.present)[0] for stack in stacks]
        [tensor([[12., 10.,  2.]], dtype=torch.float64)]
    """
    n, m = (rows.sum(dim=1).double() for rows in counted)
    traces = [stack.around(counted, side, side).diagonal(dim1=1, dim2=2).sum(dim=1) for side in (0, 1)]
    roots = torch.linalg.svdvals(stack.around(counted, 0, 1)).sum(dim=1) / ((n - 1) * (m - 1)).sqrt()
    between = _between_means(stack, counted)
    covariance = (traces[0] / (n - 1) + traces[1] / (m - 1) - 2 * roots).clamp_min(0)
    return torch.stack([between + covariance, between, covariance], dim=1), torch.ones_like(n, dtype=torch.bool)


def _between_means(stack: Stack, counted: Counted) -> torch.Tensor:
    """Squared distance (b,) of the means of the rows that count: both are sums of rows and of the mean of all rows."""
    signs = (1.0, -1.0)
    shares = [sign * rows.double() / rows.sum(dim=1, keepdim=True) for sign, rows in zip(signs, counted, strict=True)]
    ends = stack.products.new_tensor(signs).expand(len(stack.classes), 2)
    apart = torch.cat([*shares, ends], dim=1).unsqueeze(2)
    return (apart.mT @ stack.products @ apart).flatten().clamp_min(0)
