"""Do a class's images fall into two clusters, of which one shows the natural class? (M reason 1)"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synthgap import metrics
from synthgap.stages.diagnosis.case import evenly

CUT_AT_MOST = 1000
"""Images of a class that are cut in two."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """A class whose images fall into two clusters, of which one matches the natural images."""

    share_off: float
    """Share of images in the cluster that does not match."""
    apart: float
    """Distance between the clusters' means in standard deviations along the line between them."""
    apart_natural: float
    """The same for natural images cut in two the same way."""


def find_mixture(reference: Tensor, query: Tensor, synthetic: Tensor) -> Mixture | None:
    """Whether one part of a class's images matches the natural ones and another part, a cluster of its own, does not.

    Any set can be cut in two, and the cut halves look apart; so as many natural images are cut the same way, and the
    synthetic cut must be wider by half. None where it is not, or where both parts match, or neither.
    """
    natural = torch.cat([reference, query])
    size = min(len(natural), len(synthetic), CUT_AT_MOST)
    if size < 4:
        return None
    synthetic = evenly(synthetic, size)
    first, apart = _cut(synthetic)
    _, apart_natural = _cut(evenly(natural, size))
    share = float(first.double().mean())
    if apart < 1.5 * apart_natural or min(share, 1 - share) < 0.1:
        return None
    centre = metrics.uvec(reference.mean(dim=0))
    usual = (1 - query @ centre).double()
    limit = float(usual.mean() + 2 * usual.std())
    parts = [float((1 - synthetic[part] @ centre).mean()) for part in (first, ~first)]
    inside = [distance <= limit for distance in parts]
    if inside[0] == inside[1]:
        return None
    return Mixture(1 - share if inside[0] else share, apart, apart_natural)


def _cut(e: Tensor, steps: int = 20) -> tuple[Tensor, float]:
    """Cut vectors in two by 2-means from the first principal direction; the mask of one part, and how far apart."""
    centred = (e - e.mean(dim=0)).double()
    axis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    # An eigenvector's sign is arbitrary: the largest entry decides it, so that the mask is always the same one.
    axis = axis * torch.sign(axis[axis.abs().argmax()])
    part = centred @ axis > 0
    for _ in range(steps):
        if part.all() or not part.any():
            return part, 0.0
        difference_of_means = centred[part].mean(dim=0) - centred[~part].mean(dim=0)
        along = centred @ difference_of_means
        threshold = (along[part].mean() + along[~part].mean()) / 2
        moved = along > threshold
        if torch.equal(moved, part):
            break
        part = moved
    if min(int(part.sum()), int((~part).sum())) < 2:
        return part, 0.0
    along = centred @ (difference_of_means / torch.linalg.vector_norm(difference_of_means).clamp_min(1e-12))
    within = float(torch.sqrt((along[part].var() + along[~part].var()) / 2))
    return part, float(along[part].mean() - along[~part].mean()) / max(within, 1e-12)
