"""RandAugment of one photograph: some changes of a fixed strength, each chosen anew (Cubuk et al. 2019, 1909.13719).

The list of changes, their strengths and the grey that fills what is left empty are those of the TF-vision model garden
(``official/vision/ops/augment.py``), compared with its text and not run against it. The changes are torchvision's
on PIL images, on one core mostly several times as fast as its tensor kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as vision

FILL = (128, 128, 128)
"""Grey of what a turn, a shear, a move or a cut leaves empty."""
CUTOUT, TRANSLATE = 40, 10
"""Pixels at magnitude 10: half the side of the square that is cut out, and the way an image moves."""
LAYER_DRAWS = 4
"""Random numbers of one change: which, its sign, and the row and column of a cut."""

Draws = NDArray[np.float64]
Change = Callable[[Image.Image, float, Draws], Image.Image]
"""Of an image, a level (1 is magnitude 10) and the numbers after the first of ``LAYER_DRAWS``."""


def randaugmented(image: Image.Image, magnitude: float, draws: Draws) -> Image.Image:
    """Change an RGB image ``len(draws)`` times; each row of ``draws`` (layers, ``LAYER_DRAWS``) is in [0, 1).

    One draw in 17 changes nothing: the garden draws from one more than its 16 operations.
    """
    for row in draws:
        place = int(row[0] * (len(CHANGES) + 1))
        if place < len(CHANGES):
            image = list(CHANGES.values())[place](image, magnitude / 10, row[1:])
    return image


def _signed(value: float, draws: Draws) -> float:
    return -value if draws[0] < 0.5 else value


def _rotate(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    changed: Image.Image = vision.rotate(image, _signed(30 * level, draws), fill=FILL)
    return changed


def _posterize(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    bits = min(8, max(1, int(4 * level)))  # below magnitude 2.5 nothing would be left
    changed: Image.Image = vision.posterize(image, bits=bits)
    return changed


def _solarize(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    threshold = int(256 * level)
    return vision.solarize(image, threshold=threshold) if threshold < 256 else image


def _solarize_add(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    more = int(110 * level)
    return image.point([min(255, value + more) if value < 128 else value for value in range(256)] * 3)


def _enhanced(change: Callable[[Image.Image, float], Image.Image]) -> Change:
    return lambda image, level, draws: change(image, 1.8 * level + 0.1)


def _placed(image: Image.Image, *, right: float = 0.0, down: float = 0.0, shear: tuple[float, float]) -> Image.Image:
    """Move by pixels; shear by the tangents, about the upper left corner as TF does."""
    angles = [math.degrees(math.atan(one)) for one in shear]
    moved: Image.Image = vision.affine(image, 0.0, [right, down], 1.0, angles, fill=FILL, center=[0.0, 0.0])
    return moved


def _shear_x(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    return _placed(image, shear=(_signed(0.3 * level, draws), 0.0))


def _shear_y(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    return _placed(image, shear=(0.0, _signed(0.3 * level, draws)))


def _translate_x(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    return _placed(image, right=_signed(TRANSLATE * level, draws), shear=(0.0, 0.0))


def _translate_y(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    return _placed(image, down=_signed(TRANSLATE * level, draws), shear=(0.0, 0.0))


def _cutout(image: Image.Image, level: float, draws: Draws) -> Image.Image:
    """Grey a square about a random pixel; what of it lies outside is lost."""
    half, row, column = int(CUTOUT * level), int(draws[1] * image.height), int(draws[2] * image.width)
    left, top = max(0, column - half), max(0, row - half)
    right, bottom = min(image.width, column + half), min(image.height, row + half)
    cut = image.copy()
    cut.paste(FILL, (left, top, right, bottom))
    return cut


CHANGES: dict[str, Change] = {
    "AutoContrast": lambda image, level, draws: vision.autocontrast(image),
    "Equalize": lambda image, level, draws: vision.equalize(image),
    "Invert": lambda image, level, draws: vision.invert(image),
    "Rotate": _rotate,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "Color": _enhanced(vision.adjust_saturation),
    "Contrast": _enhanced(vision.adjust_contrast),
    "Brightness": _enhanced(vision.adjust_brightness),
    "Sharpness": _enhanced(vision.adjust_sharpness),
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "Cutout": _cutout,
    "SolarizeAdd": _solarize_add,
}
"""The garden's operations, by its names and in its order."""
