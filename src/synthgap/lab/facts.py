"""Facts that are measured from an image's pixels, so that captions can say something true about it.

A fact is a column of a boolean table (images x facts). Thresholds are quantiles of the training images, so the
recipe works for any labelled set of photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white", "gray")

PHRASES: dict[str, tuple[str, ...]] = {
    "dark": ("dark", "underexposed", "at night", "poorly lit"),
    "bright": ("bright", "overexposed", "brightly lit", "in bright light"),
    "sharp": ("sharp", "hyper-sharp", "in sharp focus", "detailed"),
    "blurry": ("blurry", "out of focus", "blurred", "low resolution"),
    "colorful": ("colorful", "vivid", "saturated"),
    "pale": ("pale", "muted", "washed out", "grayscale"),
    "contrasty": ("high contrast", "dramatic"),
    "flat": ("low contrast", "hazy"),
    "large": ("large", "big", "close-up", "large size"),
    "small": ("small", "tiny", "distant", "small size"),
    "centered": ("centered", "in the center", "centered in the image"),
    "off-center": ("off-center", "to one side", "at the edge of the image"),
    "plain": ("plain background", "nothing else visible", "empty background"),
    "cluttered": ("many other objects visible", "busy background", "cluttered background"),
    "typical": ("typical", "common", "ordinary"),
    "unusual": ("uncommon", "unusual", "rare", "atypical"),
}
"""What a caption may say of each fact; the colour facts are ``<colour> object`` and ``<colour> background``."""

FACTS = (*PHRASES, *(f"{c} object" for c in COLOURS), *(f"{c} background" for c in COLOURS))


@dataclass(frozen=True)
class _Measures:
    values: dict[str, NDArray[np.float32]]
    object_colour: NDArray[np.int64]
    background_colour: NDArray[np.int64]


def _colour_names(rgb: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index into ``COLOURS`` of mean colours (n, 3) in [0, 1], by hue, saturation and value."""
    high, low = rgb.max(1), rgb.min(1)
    span = np.maximum(high - low, 1e-6)
    saturation = np.where(high > 0, span / np.maximum(high, 1e-6), 0)
    r, g, b = rgb.T
    hue = np.where(high == r, ((g - b) / span) % 6, np.where(high == g, (b - r) / span + 2, (r - g) / span + 4)) * 60
    bands = np.array([15, 40, 70, 165, 260, 330, 361])
    names = np.array([COLOURS.index(c) for c in ("red", "orange", "yellow", "green", "blue", "purple", "red")])
    found = names[np.searchsorted(bands, hue, side="right").clip(0, 6)]
    warm_dark = (hue > 5) & (hue < 48) & (high < 0.62)
    found = np.where(warm_dark, COLOURS.index("brown"), found)
    grey = saturation < 0.16
    found = np.where(grey, COLOURS.index("gray"), found)
    found = np.where(grey & (high > 0.78), COLOURS.index("white"), found)
    return np.where(high < 0.2, COLOURS.index("black"), found).astype(np.int64)


def _measure(images: NDArray[np.uint8]) -> _Measures:
    pixels = images.astype(np.float32) / 255
    luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    height, width = luma.shape[1:]
    edge = max(1, height // 10)
    border = np.ones((height, width), dtype=bool)
    border[edge:-edge, edge:-edge] = False
    background = pixels[:, border].mean(1)
    distance = np.sqrt(((pixels - background[:, None, None]) ** 2).sum(-1))
    weight = np.maximum(distance - 0.5 * distance.mean((1, 2), keepdims=True), 1e-4)
    weight /= weight.sum((1, 2), keepdims=True)
    ys, xs = np.mgrid[0:height, 0:width] / (height - 1) - 0.5
    centre_y, centre_x = (weight * ys).sum((1, 2)), (weight * xs).sum((1, 2))
    spread = (weight * ((xs - centre_x[:, None, None]) ** 2 + (ys - centre_y[:, None, None]) ** 2)).sum((1, 2))
    laplace = 4 * luma[:, 1:-1, 1:-1] - luma[:, :-2, 1:-1] - luma[:, 2:, 1:-1] - luma[:, 1:-1, :-2] - luma[:, 1:-1, 2:]
    values = {
        "bright": luma.mean((1, 2)),
        "sharp": np.abs(laplace).mean((1, 2)),
        "colorful": (pixels.max(-1) - pixels.min(-1)).mean((1, 2)),
        "contrasty": luma.std((1, 2)),
        "large": np.sqrt(spread),
        "off-center": np.hypot(centre_x, centre_y),
        "cluttered": pixels[:, border].std(1).mean(1),
    }
    foreground = (pixels * weight[..., None]).sum((1, 2))
    return _Measures(
        {k: v.astype(np.float32) for k, v in values.items()}, _colour_names(foreground), _colour_names(background)
    )


def _typicality(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rank within the class, in [0, 1], of the distance to the class's mean 8x8 thumbnail."""
    count, size = len(images), images.shape[1] // 8 * 8
    small = images[:, :size, :size].reshape(count, 8, size // 8, 8, size // 8, 3).mean((2, 4)).reshape(count, -1)
    rank = np.zeros(count, dtype=np.float32)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        distance = ((small[members] - small[members].mean(0)) ** 2).sum(1)
        rank[members] = distance.argsort().argsort() / max(1, len(members) - 1)
    return rank


OPPOSITES = {
    "bright": "dark", "sharp": "blurry", "colorful": "pale", "contrasty": "flat",
    "large": "small", "off-center": "centered", "cluttered": "plain",
}  # fmt: skip


def facts_of(images: NDArray[np.uint8], labels: NDArray[np.int64], share: float = 0.25) -> NDArray[np.bool_]:
    """Facts of images (n, h, w, 3) uint8: a boolean table (n, len(FACTS)).

    A graded fact holds for the upper ``share`` of the images, its opposite for the lower ``share``; 'typical' and
    'unusual' are told within each class.
    """
    measures = [_measure(images[i : i + 4096]) for i in range(0, len(images), 4096)]
    table = np.zeros((len(images), len(FACTS)), dtype=bool)
    for name, opposite in OPPOSITES.items():
        values = np.concatenate([part.values[name] for part in measures])
        low, high = np.quantile(values, [share, 1 - share])
        table[:, FACTS.index(name)] = values > high
        table[:, FACTS.index(opposite)] = values < low
    rank = _typicality(images, labels)
    table[:, FACTS.index("typical")] = rank < share
    table[:, FACTS.index("unusual")] = rank > 1 - share
    rows = np.arange(len(images))
    for kind, attribute in (("object", "object_colour"), ("background", "background_colour")):
        colour = np.concatenate([getattr(part, attribute) for part in measures])
        table[rows, FACTS.index(f"{COLOURS[0]} {kind}") + colour] = True
    return table
