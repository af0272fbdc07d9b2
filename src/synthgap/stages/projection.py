"""A flat map of the embeddings for the report: t-SNE on the directions that tell natural classes apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from synthgap import metrics
from synthgap.core.seeds import derived_seed
from synthgap.store.embeddings import EmbeddingSet

MOST_POINTS = 2000
"""t-SNE of this many points takes some ten seconds on one core."""
MOST_DIRECTIONS = 50
NOTE = (
    "t-SNE (fixed seed, started from the principal directions) of the embeddings in the space spanned by the natural"
    " classes' centroids. Prompts are centred at their own mean and scaled to the images' spread first, since prompts and"
    " images lie in different regions (M section 4). Neighbourhoods mean something; distances between far groups do not."
)

Row = dict[str, Any]


def project(natural: EmbeddingSet, sets: Sequence[EmbeddingSet], seed: int, most: int = MOST_POINTS) -> list[Row]:
    """Place images and prompts on a plane.

    Args:
        natural: The natural set; its class centroids give the directions.
        sets: All sets to show, the natural one included, images and prompts.
        seed: Seed of the choice of points and of t-SNE.
        most: Points in all, shared evenly between sets and classes.

    Returns:
        Rows ``set``, ``modality``, ``class_key``, ``image_key``, ``x``, ``y``; the same for the same input.
    """
    shown = [_thinned(images, max(1, most // max(1, len(sets))), seed) for images in sets]
    shown = [images for images in shown if len(images)]
    basis, origin = _directions(natural)
    images_scale = None
    parts = []
    for images in sorted(shown, key=lambda one: one.modality != "image"):
        unit = metrics.uvec(torch.from_numpy(images.embeddings)).double().numpy()
        if images.modality == "image":
            part = (unit - origin) @ basis
            images_scale = images_scale or _spread(part)
        else:
            part = (unit - unit.mean(axis=0)) @ basis
            part = part * ((images_scale or 1.0) / (_spread(part) or 1.0))
        parts.append((images, part))
    if not parts:
        return []
    flat = _flatten(np.concatenate([part for _, part in parts]), seed)
    start, rows = 0, []
    for images, part in parts:
        for row, (x, y) in enumerate(flat[start : start + len(part)]):
            names = {"set": images.name, "modality": images.modality, "class_key": images.class_keys[row]}
            rows.append(names | {"image_key": images.image_keys[row], "x": float(x), "y": float(y)})
        start += len(part)
    return rows


def _thinned(images: EmbeddingSet, most: int, seed: int) -> EmbeddingSet:
    """At most that many rows, as many of each class as possible."""
    if len(images) <= most:
        return images
    shuffled = np.random.default_rng(derived_seed(seed, "map", images.name)).permutation(len(images))
    rank: dict[str, int] = {}
    order = []
    for row in shuffled:
        key = images.class_keys[row]
        rank[key] = rank.get(key, 0) + 1
        order.append((rank[key], int(row)))
    return images.subset(sorted(row for _, row in sorted(order)[:most]))


def _directions(natural: EmbeddingSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal directions (d, r) that natural class centroids span around their mean (d,)."""
    order = list(dict.fromkeys(natural.class_keys))
    labels = torch.from_numpy(natural.labels(order))
    centres = metrics.centroids(torch.from_numpy(natural.embeddings), labels, num_classes=len(order)).double().numpy()
    centres = centres[np.isfinite(centres).all(axis=1)]
    origin = centres.mean(axis=0)
    _, _, axes = np.linalg.svd(centres - origin, full_matrices=False)
    return axes[: max(2, min(len(order) - 1, MOST_DIRECTIONS))].T, origin


def _spread(part: NDArray[np.float64]) -> float:
    return float(np.sqrt((part**2).sum(axis=1).mean()))


def _flatten(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Two coordinates per point: t-SNE, or the first two directions of a few points or of two classes."""
    if len(points) < 20 or points.shape[1] <= 2:
        first = points[:, :2]
        return np.pad(first, ((0, 0), (0, 2 - first.shape[1])))
    embedder = TSNE(
        n_components=2,
        init="pca",
        perplexity=min(30.0, (len(points) - 1) / 3),
        random_state=derived_seed(seed, "map") % 2**32,
        n_jobs=1,
    )
    flat: NDArray[np.float64] = np.asarray(embedder.fit_transform(points), dtype=np.float64)
    return flat
