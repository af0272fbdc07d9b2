"""From a decoded image to what an encoder takes: resize, crop, normalise, as the model's own configuration says.

Natural and synthetic images go the same way. Resizing is torchvision's uint8 kernel with antialias: three times as
fast as PIL and equal to it within one grey level (two in a few millionths of the values). uint8 is kept until the
model's device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from synthgap.core.errors import InputError

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

# What the image processors of transformers do where a folder's settings do not say.
CLIP_DEFAULTS: dict[str, Any] = {
    "size": 224, "do_center_crop": True, "crop_size": 224, "resample": 3,
    "image_mean": OPENAI_MEAN, "image_std": OPENAI_STD,
}  # fmt: skip
DINOV2_DEFAULTS = {**CLIP_DEFAULTS, "size": 256, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}
SIGLIP_DEFAULTS: dict[str, Any] = {
    "size": {"height": 224, "width": 224}, "do_center_crop": False, "resample": 3, "image_mean": HALF, "image_std": HALF,
}  # fmt: skip
VIT_DEFAULTS = {**SIGLIP_DEFAULTS, "resample": 2}
DINOV3_DEFAULTS = {**VIT_DEFAULTS, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}

INTERPOLATIONS = {
    "bicubic": InterpolationMode.BICUBIC,
    "bilinear": InterpolationMode.BILINEAR,
    3: InterpolationMode.BICUBIC,  # PIL's numbers, as transformers writes them
    2: InterpolationMode.BILINEAR,
}


@dataclass(frozen=True)
class Preprocessing:
    """How one encoder wants its images."""

    size: int | tuple[int, int]
    """Shorter side in pixels, keeping the aspect; or (height, width), not keeping it."""
    crop: tuple[int, int] | None
    """(height, width) of the centre crop that follows; None for none."""
    interpolation: InterpolationMode
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of what the encoder sees."""
        if self.crop is not None:
            return self.crop
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """Resize and crop images: (h, w, 3) or (b, h, w, 3) uint8 RGB to (3, *image_size) or (b, 3, *image_size) uint8.

        One image or a batch of them give the same pixels. Safe to call from several threads.
        """
        # A channels-last view, not a copy: the uint8 resize kernel is fastest on it.
        # Decoders give read-only arrays, which torch does not take without a warning.
        array = np.require(image, requirements=["C", "W"])
        pixels: torch.Tensor = torch.from_numpy(array).movedim(-1, -3)
        shape = list(self.size) if isinstance(self.size, tuple) else [self.size]
        pixels = vision.resize(pixels, shape, interpolation=self.interpolation, antialias=True)
        if self.crop is not None:
            pixels = vision.center_crop(pixels, list(self.crop))
        return pixels.contiguous()

    def normalise(self, pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Map (b, 3, h, w) uint8 to ``(x / 255 - mean) / std`` in ``dtype``, on the device of ``pixels``."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return ((pixels.float() / 255 - mean) / std).to(dtype)


def from_open_clip(settings: Mapping[str, Any]) -> Preprocessing:
    """Read open_clip's ``preprocess_cfg``.

    Raises InputError for a resize mode or interpolation that has no uint8 counterpart here.
    """
    size = settings.get("size", 224)
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    mode = settings.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
        raise InputError(
            f"the encoder's resize_mode {mode!r} to {height}x{width} is not supported; expected a square 'shortest', or 'squash'"
        )
    return Preprocessing(
        size=height if mode == "shortest" else (height, width),
        crop=(height, width) if mode == "shortest" else None,
        interpolation=_interpolation(settings.get("interpolation") or "bicubic"),
        mean=tuple(settings.get("mean") or OPENAI_MEAN),
        std=tuple(settings.get("std") or OPENAI_STD),
    )


def from_transformers(settings: Mapping[str, Any], defaults: Mapping[str, Any] = CLIP_DEFAULTS) -> Preprocessing:
    """Read transformers' ``preprocessor_config.json``; what it leaves out is in ``defaults``, those of its processor.

    Raises InputError for an interpolation or a step that has no uint8 counterpart here.
    """
    told = {**defaults, **{name: value for name, value in settings.items() if value is not None}}
    if not told.get("do_resize", True):
        raise InputError("the encoder's do_resize false is not supported; images of any size must become one size")
    size, crop = _sides(told["size"], "shortest_edge"), None
    if told["do_center_crop"]:
        crop_size = _sides(told["crop_size"], "height")
        crop = crop_size if isinstance(crop_size, tuple) else (crop_size, crop_size)
    normal = told.get("do_normalize", True)
    # transformers multiplies by rescale_factor before the mean is taken off; fold any other factor into both.
    scale = told.get("rescale_factor", 1 / 255) * 255
    return Preprocessing(
        size=size,
        crop=crop,
        interpolation=_interpolation(told["resample"]),
        mean=tuple(value / scale for value in told["image_mean"]) if normal else (0.0,) * 3,
        std=tuple(value / scale for value in told["image_std"]) if normal else (1 / scale,) * 3,
    )


def from_timm(settings: Mapping[str, Any]) -> Preprocessing:
    """Read timm's data configuration, as ``timm.data.resolve_model_data_config`` gives it.

    Raises InputError for channels, a crop_mode or an interpolation that has no counterpart here.
    """
    channels, height, width = settings["input_size"]
    if channels != 3:
        raise InputError(f"the encoder takes {channels} channels; expected 3 (RGB)")
    mode = settings["crop_mode"]
    if mode not in ("center", "squash") or (mode == "center" and height != width):
        raise InputError(
            f"the encoder's crop_mode {mode!r} to {height}x{width} is not supported; expected a square 'center', or 'squash'"
        )
    high, wide = (math.floor(side / settings["crop_pct"]) for side in (height, width))
    return Preprocessing(
        size=high if mode == "center" else (high, wide),
        crop=(height, width),
        interpolation=_interpolation(settings["interpolation"]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )


def _sides(value: Any, single: str) -> int | tuple[int, int]:
    if isinstance(value, int):
        return value
    if {"height", "width"} <= set(value):
        return int(value["height"]), int(value["width"])
    return int(value[single])


def _interpolation(name: Any) -> InterpolationMode:
    if name not in INTERPOLATIONS:
        raise InputError(f"the encoder's interpolation {name!r} is not supported; expected bicubic or bilinear")
    return INTERPOLATIONS[name]
