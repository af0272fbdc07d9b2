"""From neighbours to a class, and from a class to right or wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from synthgap.metrics._blocks import BLOCK_VALUES


def correctness(found: Tensor, labels: Tensor, reference_labels: Tensor, num_classes: int) -> Tensor:
    """1 where the class found is the label, 0 where not, NaN where no reference has the label: float64 (m,)."""
    labels = labels.to(found.device)
    known = torch.bincount(reference_labels.long(), minlength=num_classes).to(found.device) > 0
    return (found == labels).double().masked_fill(~known[labels], torch.nan)


def majority(neighbours: Tensor) -> Tensor:
    """Most frequent class of each row (m, k), nearest first; among equals the class of the nearest neighbour."""
    rows, k = neighbours.shape
    step = max(1, BLOCK_VALUES // (k * k))
    return torch.cat([_majority(neighbours[start : start + step]) for start in range(0, max(rows, 1), step)])


def _majority(neighbours: Tensor) -> Tensor:
    k = neighbours.shape[1]
    votes = (neighbours.unsqueeze(2) == neighbours.unsqueeze(1)).sum(dim=2)
    # every neighbour stands for its class; the earlier place decides between equal votes
    rank = votes * k - torch.arange(k, device=neighbours.device)
    return neighbours.gather(1, rank.argmax(dim=1, keepdim=True)).squeeze(1)
