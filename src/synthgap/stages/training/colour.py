"""DINO's changes of colour and its blur, on the device, each image of a batch with its own random numbers.

Defined by facebookresearch/dino ``main_dino.py``: with probability 0.8 brightness, contrast (0.4 each), saturation
(0.2) and hue (0.1) in random order, grey with 0.2, then a Gaussian blur of sigma 0.1 to 2 pixels.
"""

from __future__ import annotations

from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor

JITTER, GREY = 0.8, 0.2
STRENGTHS = (0.4, 0.4, 0.2, 0.1)
"""Of brightness, contrast, saturation and hue."""
BLUR_REACH = 6
"""Pixels: three of the largest sigma."""
_ORDERS = torch.tensor(list(permutations(range(4))))
_LUMA = (0.299, 0.587, 0.114)


def recoloured(images: Tensor, draws: Tensor, blur: float) -> Tensor:
    """Change (b, 3, h, w) floats in [0, 1] as DINO does; ``draws`` (b, 9) in [0, 1); ``blur`` is its probability."""
    jittered = images.clone()
    orders = _ORDERS.to(images.device)[(draws[:, 5] * 24).long()]
    wanted = draws[:, 0] < JITTER
    for place in range(4):
        for number, change in enumerate((_brightness, _contrast, _saturation, _hue)):
            rows = (wanted & (orders[:, place] == number)).nonzero().squeeze(1)
            if len(rows):
                by = (2 * draws[rows, 1 + number] - 1) * STRENGTHS[number]
                jittered[rows] = change(jittered[rows], by.to(images.dtype).view(-1, 1, 1, 1))
    grey = (draws[:, 6] < GREY).view(-1, 1, 1, 1)
    jittered = torch.where(grey, _grey(jittered).expand_as(jittered), jittered)
    rows = (draws[:, 7] < blur).nonzero().squeeze(1)
    if len(rows):
        jittered[rows] = blurred(jittered[rows], (0.1 + 1.9 * draws[rows, 8]).to(images.dtype))
    return jittered


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _brightness(images: Tensor, by: Tensor) -> Tensor:
    return (images * (1 + by)).clamp(0, 1)


def _contrast(images: Tensor, by: Tensor) -> Tensor:
    mean = _grey(images).mean((2, 3), keepdim=True)
    return (mean + (images - mean) * (1 + by)).clamp(0, 1)


def _saturation(images: Tensor, by: Tensor) -> Tensor:
    grey = _grey(images)
    return (grey + (images - grey) * (1 + by)).clamp(0, 1)


def _hue(images: Tensor, by: Tensor) -> Tensor:
    """Turn the hue by a share of the circle; value and saturation (HSV) stay."""
    value, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    span = value - low
    safe = span.clamp_min(1e-12)
    red, green, blue = images.split(1, 1)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    turned = hue / 6 + by
    corners = torch.tensor((5.0, 3.0, 1.0), device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    places = (corners + turned * 6) % 6
    return value - span * torch.minimum(places, 4 - places).clamp(0, 1)


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (b, c, h, w) with a sigma in pixels for each image, (b,); the border is repeated."""
    b, c, h, w = images.shape
    steps = torch.arange(-BLUR_REACH, BLUR_REACH + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma.view(-1, 1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)
    flat = F.pad(images, (BLUR_REACH,) * 4, mode="replicate").reshape(1, b * c, h + 2 * BLUR_REACH, w + 2 * BLUR_REACH)
    rows = F.conv2d(flat, kernel.view(b * c, 1, -1, 1), groups=b * c)
    return F.conv2d(rows, kernel.view(b * c, 1, 1, -1), groups=b * c).view(b, c, h, w)
