"""Stratified splits by a seed."""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap.metrics._blocks import members_by_class


def held_out(labels: Tensor, num_classes: int, share: float, generator: torch.Generator) -> Tensor:
    """Mark about that share of each class, bool (n,): of two or more items at least one in and one out, of one none."""
    marked = torch.zeros(len(labels), dtype=torch.bool)
    for members in members_by_class(labels.cpu(), num_classes):
        count = min(len(members) - 1, max(1, round(len(members) * share))) if len(members) > 1 else 0
        marked[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return marked.to(labels.device)
