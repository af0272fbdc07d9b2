"""Small classes side by side, as the products of their rows: all that figures of a class are made of.

A thousand classes of forty images take a thousand times the calls of one, and the calls cost more than the sums. Classes
of about the same size are therefore filled up with zeros to one size and computed together. Each row meets each other
row of its class once; distances, cosines and covariances follow from those products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._blocks import BLOCK_VALUES, members_by_class, unit

MOST_ROWS = 512
"""Rows of a class in all sets together up to which it is stacked, unless they are more than dimensions; a larger one has
work enough of its own."""

KEPT_VALUES = 2**25
"""Products that are kept for the next measure, 256 MiB; those of further classes are computed anew."""

ALIKE = 8
"""Classes of sizes that differ by less are neighbours in the order that stacks are cut from."""


Counted = Sequence[Tensor]
"""Rows of a stack that a figure is computed of, bool (b, n) for each set."""

Figures = tuple[Tensor, Tensor]
"""Figures (b, p) of the classes of a stack, and the classes, bool (b,), for which products alone are sound enough."""


@dataclass(frozen=True)
class Stack:
    """b classes of s sets, each filled up to the largest of its set.

    Attributes:
        classes: Number of each class.
        sizes: Rows of each class, (b,) int64, for each set.
        width: Dimensions d of the rows.
        products: Products (b, N + s, N + s) in float64 of the rows of all sets around the mean of their set, N with
            those filled up, which are 0; last, the means themselves.
    """

    classes: list[int]
    sizes: tuple[Tensor, ...]
    width: int
    products: Tensor

    @cached_property
    def present(self) -> list[Tensor]:
        """Which rows are images and not filled up, bool (b, n) for each set."""
        return [torch.arange(int(size.max()), device=size.device) < size.unsqueeze(1) for size in self.sizes]

    @property
    def rows(self) -> list[slice]:
        """Where the rows of each set stand."""
        ends = [0]
        for present in self.present:
            ends.append(ends[-1] + present.shape[1])
        return [slice(start, end) for start, end in pairwise(ends)]

    def centred(self, first: int, second: int) -> Tensor:
        """Products (b, n, m) of the rows of two sets around the means of their sets."""
        return self.products[:, self.rows[first], self.rows[second]]

    def around(self, counted: Counted, first: int, second: int) -> Tensor:
        """The same (b, n, m) around the means of the rows that count, bool (b, n) for each set; 0 for all others."""
        products = self.centred(first, second)
        rows, columns = counted[first].to(products).unsqueeze(2), counted[second].to(products).unsqueeze(1)
        of_row = (products @ columns.mT) / columns.sum(dim=2, keepdim=True)
        of_column = (rows.mT @ products) / rows.sum(dim=1, keepdim=True)
        middle = (of_column @ columns.mT) / columns.sum(dim=2, keepdim=True)
        return (products - of_row - of_column + middle) * rows * columns

    @cached_property
    def inner(self) -> Tensor:
        """Products (b, N, N) of the rows as they are; of those filled up as of the mean of their set."""
        n = self.products.shape[1] - len(self.sizes)
        mean_of = torch.cat([torch.full((part.shape[1],), n + i) for i, part in enumerate(self.present)])
        mean_of = mean_of.to(self.products.device)
        with_mean, means = self.products[:, :n, mean_of], self.products[:, mean_of][:, :, mean_of]
        return self.products[:, :n, :n] + with_mean + with_mean.mT + means

    @cached_property
    def cosines(self) -> Tensor:
        """Cosines (b, N, N) of the rows; those filled up count as the mean of their set."""
        lengths = self.inner.diagonal(dim1=1, dim2=2).sqrt()
        return self.inner / lengths.unsqueeze(1) / lengths.unsqueeze(2)

    @cached_property
    def squared_distances(self) -> Tensor:
        """Squared distances (b, N, N) of the rows, 0 on the diagonal."""
        lengths = self.inner.diagonal(dim1=1, dim2=2)
        apart = (lengths.unsqueeze(1) + lengths.unsqueeze(2) - 2 * self.inner).clamp_min_(0)
        apart.diagonal(dim1=1, dim2=2).zero_()
        return apart


class Stacks:
    """The classes of one or more labelled sets, in stacks; iterating again does not compute again what is kept.

    Args:
        samples: Embeddings (n, d) and the class of each row, for each set; of one width.
        num_classes: Number of classes.
        least: Rows that a class must have in each set, at least 1.
        scaled: Whether rows are scaled to length 1; else taken as they are.

    Example:
        >>> import torch
        >>> e, labels = torch.eye(4)[[0, 1, 1, 2]], torch.tensor([0, 0, 2, 2])
        >>> stack = next(iter(Stacks([(e, labels)], num_classes=3, least=2, scaled=False)))
        >>> stack.classes, stack.cosines[0]
        ([0, 2], tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64))
    """

    def __init__(self, samples: Sequence[tuple[Tensor, Tensor]], num_classes: int, *, least: int, scaled: bool) -> None:
        self._sets = [_checks.features("samples", e) for e, _ in samples]
        self._scaled, self._width = scaled, self._sets[0].shape[1]
        self.members = [
            members_by_class(_checks.labels("labels", labels, len(e), num_classes), num_classes)
            for e, labels in samples
        ]
        self.enough = [key for key in range(num_classes) if all(len(groups[key]) >= least for groups in self.members)]
        """Classes that have as many rows as they need."""
        most = min(MOST_ROWS, self._width)
        stacked = [key for key in self.enough if sum(self._sizes(key)) <= most]
        self.alone = sorted(set(self.enough) - set(stacked))
        """Those of them that are too large for a stack, or have more rows than dimensions."""
        self._cuts = list(self._cut(stacked))
        self._kept: dict[int, Stack] = {}

    def __iter__(self) -> Iterator[Stack]:
        room = KEPT_VALUES - sum(stack.products.numel() for stack in self._kept.values())
        for number, classes in enumerate(self._cuts):
            stack = self._kept.get(number)
            if stack is None:
                products = self._products(classes)
                sizes = zip(*(self._sizes(key) for key in classes), strict=True)
                stack = Stack(
                    classes, tuple(torch.tensor(of, device=products.device) for of in sizes), self._width, products
                )
                if products.numel() <= room:
                    room -= products.numel()
                    # what follows from the products is not kept
                    self._kept[number] = replace(stack)
            else:
                stack = replace(stack)
            yield stack

    def _sizes(self, key: int) -> list[int]:
        return [len(groups[key]) for groups in self.members]

    def _cut(self, classes: list[int]) -> Iterator[list[int]]:
        """Classes of about the same sizes, so many that their products are a block; the smallest ones apart."""
        order = sorted(
            classes, key=lambda key: (_level(self._sizes(key)), *(n // ALIKE for n in self._sizes(key)), key)
        )
        part: list[int] = []
        widest = [0] * len(self.members)
        for key in order:
            sizes = self._sizes(key)
            wider = [max(a, b) for a, b in zip(widest, sizes, strict=True)]
            full = (len(part) + 1) * (sum(wider) + len(wider)) ** 2 > BLOCK_VALUES
            if part and (full or _level(sizes) != _level(self._sizes(part[0]))):
                yield part
                part, wider = [], sizes
            part.append(key)
            widest = wider
        if part:
            yield part

    def _products(self, classes: list[int]) -> Tensor:
        d, device = self._width, self._sets[0].device
        widths = [max(len(groups[key]) for key in classes) for groups in self.members]
        side = sum(widths) + len(widths)
        found = torch.empty(len(classes), side, side, dtype=torch.float64, device=device)
        step = max(1, BLOCK_VALUES // (side * d))
        for start in range(0, len(classes), step):
            some = classes[start : start + step]
            rows = torch.zeros(len(some), side, d, dtype=torch.float64, device=device)
            first = 0
            for number, width in enumerate(widths):
                for place, key in enumerate(some):
                    x = self._rows(number, key)
                    mean = x.mean(dim=0)
                    torch.sub(x, mean, out=rows[place, first : first + len(x)])
                    rows[place, side - len(widths) + number] = mean
                first += width
            torch.bmm(rows, rows.mT, out=found[start : start + step])
        return found

    def _rows(self, number: int, key: int) -> Tensor:
        """Rows (n, d) of a class in one of the sets, float64."""
        e = self._sets[number]
        x = e[self.members[number][key].to(e.device)].to(self._sets[0].device)
        return unit(x) if self._scaled else x.double()


def _level(sizes: Sequence[int]) -> int:
    """Classes of one stack are cut in as many parts by a jackknife: in ten, or as many as the smallest set has rows."""
    return min(10, *sizes)
