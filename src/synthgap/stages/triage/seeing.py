"""A judge made of embeddings: the class of the nearest centroid."""

from __future__ import annotations

import torch

from synthgap import metrics
from synthgap.stages.triage.labels import Seen
from synthgap.store.embeddings import EmbeddingSet


def see_by_centroids(judge: str, reference: EmbeddingSet, images: EmbeddingSet, seed: int) -> Seen:
    """Name the class of the nearest reference centroid; with one text per class this is zero-shot.

    Args:
        judge: What it is called.
        reference: Natural images, or a text per class.
        images: Under the reference's class keys where they match; an image of a class that it lacks is not judged.
        seed: Of the ties.
    """
    order, names = list(reference.classes), list(reference.classes.values())
    nearest = metrics.nearest_centroid(
        torch.from_numpy(reference.embeddings),
        torch.from_numpy(reference.labels(order)),
        torch.from_numpy(images.embeddings),
        len(order),
        seed,
    ).tolist()
    known, keys = set(reference.class_keys), zip(images.image_keys, images.class_keys, nearest, strict=True)
    rows = [(key, own, place) for key, own, place in keys if own in known]
    return Seen(
        judge, {key: names[place] for key, _, place in rows}, {key: order[place] == own for key, own, place in rows}
    )
