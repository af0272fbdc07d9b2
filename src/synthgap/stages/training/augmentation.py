"""Views of an image: cut on the CPU as uint8, mirrored and normalised on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from synthgap.core.specs import Augmentation
from synthgap.stages.training.randaugment import LAYER_DRAWS, randaugmented

SHIFT = 8
"""A small image moves by up to this part of its side: 4 of 32 pixels, He et al. (2015) section 4.2."""
TRIES = 10
"""Of torchvision's RandomResizedCrop, before it takes the middle."""
BOX_DRAWS = 4 * TRIES
"""Random numbers of one box."""
COLOUR_DRAWS = 12
"""Random numbers of one view's mirror, colours and blur."""
SHIFT_DRAWS = 2


@dataclass(frozen=True)
class View:
    """One kind of crop: how many of an image, how large, how much of the image each shows."""

    count: int
    side: int
    scale: tuple[float, float]
    mode: Literal["bilinear", "bicubic"]
    colour: bool = False
    """Whether DINO's colour changes follow."""
    blur: float = 0.0
    """Probability of a blur."""
    layers: int = 0
    """Changes of RandAugment."""
    magnitude: float = 0.0
    """Of each of these changes; 10 is RandAugment's unit."""

    @property
    def draws(self) -> int:
        """Random numbers of one such view: box, then colour, then RandAugment."""
        return BOX_DRAWS + COLOUR_DRAWS + self.layers * LAYER_DRAWS


def views(augmentation: Augmentation, image_size: int, *, layers: int = 0, magnitude: float = 0.0) -> tuple[View, ...]:
    """The views of an augmentation; none for ``shift``, which moves the whole image.

    ``randaug`` is ``plain`` and then ``layers`` changes of RandAugment at ``magnitude``; others take neither.
    ``plain``: PyTorch's RandomResizedCrop and mirror. ``multi-crop``: 1 global and 8 local views (S section 5) with
    the scales of DINO's ResNet50 (facebookresearch/dino, README); local views have 96 of 224 pixels.

    Raises ValueError for ``randaug`` without layers.
    """
    if augmentation == "plain":
        return (View(1, image_size, (0.08, 1.0), "bilinear"),)
    if augmentation == "randaug":
        if layers < 1:
            raise ValueError(f"layers is {layers}; randaug takes at least 1")
        return (View(1, image_size, (0.08, 1.0), "bilinear", layers=layers, magnitude=magnitude),)
    if augmentation == "multi-crop":
        local = max(16, round(image_size * 96 / 224))
        return (
            View(1, image_size, (0.14, 1.0), "bicubic", True, 1.0),
            View(8, local, (0.05, 0.14), "bicubic", True, 0.5),
        )
    return ()


def shifted(square: NDArray[np.uint8], draws: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Move a (3, s, s) image by up to an eighth of its side each way; the border is mirrored in."""
    side = square.shape[-1]
    most = side // SHIFT
    rows, columns = (_reflected(int(draw * (2 * most + 1)) - most, side) for draw in draws[:2])
    return square[:, rows[:, None], columns[None, :]]


def _reflected(shift: int, side: int) -> NDArray[np.int64]:
    places = np.abs(np.arange(side) + shift)
    return np.where(places >= side, 2 * (side - 1) - places, places)


def box(height: int, width: int, scale: tuple[float, float], draws: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Corners (left, top, right, bottom) of torchvision's RandomResizedCrop, ratio 3/4 to 4/3, from given draws."""
    low, high = math.log(3 / 4), math.log(4 / 3)
    for area_draw, ratio_draw, top_draw, left_draw in draws.reshape(TRIES, 4):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * area_draw)
        ratio = math.exp(low + (high - low) * ratio_draw)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = int(top_draw * (height - h + 1)), int(left_draw * (width - w + 1))
            return left, top, left + w, top + h
    w = round(min(width, height * 4 / 3))
    h = round(min(height, width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def cut(pixels: NDArray[np.uint8], view: View, draws: NDArray[np.float64]) -> NDArray[np.uint8]:
    """One view (3, side, side) of an image (h, w, 3), from ``view.draws`` numbers.

    Resized by torch's uint8 kernel, three to four times as fast as PIL's and 1 of 255 apart at most places; where a
    side shrinks by less than a half, bicubic ones were up to 6 apart (``benchmarks/training.py``).
    """
    left, top, right, bottom = box(pixels.shape[0], pixels.shape[1], view.scale, draws[:BOX_DRAWS])
    # The box is cut out first: a filter that reaches over its edge is not what the reference pipelines have.
    inside = torch.from_numpy(np.array(pixels[top:bottom, left:right])).movedim(-1, 0)
    square = F.interpolate(inside[None], (view.side, view.side), mode=view.mode, antialias=True)[0]
    if not view.layers:
        return square.numpy()
    image = Image.fromarray(square.movedim(0, -1).contiguous().numpy())
    rows = draws[BOX_DRAWS + COLOUR_DRAWS :].reshape(view.layers, LAYER_DRAWS)
    return np.moveaxis(np.asarray(randaugmented(image, view.magnitude, rows)), -1, 0)


def mirrored(images: Tensor, draws: Tensor) -> Tensor:
    """Mirror half of the images (b, c, h, w), as ``draws`` (b,) say."""
    return torch.where((draws < 0.5).view(-1, 1, 1, 1), images.flip(-1), images)
