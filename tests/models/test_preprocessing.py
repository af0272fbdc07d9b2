"""Preprocessing against PIL, and the reading of both libraries' settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from synthgap.core.errors import InputError
from synthgap.models.preprocessing import OPENAI_MEAN, OPENAI_STD, from_open_clip, from_transformers


def noisy(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("name", "number"), [("bicubic", 3), ("bilinear", 2)])
@pytest.mark.parametrize("shape", [(64, 64), (20, 20), (90, 32), (33, 70)])
def test_resize_and_crop_equal_pil_within_a_level(name: str, number: int, shape: tuple[int, int]) -> None:
    image = noisy(*shape)
    ours = from_open_clip({"size": 32, "interpolation": name}).prepare(image)
    height, width = shape
    size = (32, int(32 * height / width)) if width <= height else (int(32 * width / height), 32)
    whole = Image.fromarray(image).resize(size, Image.Resampling(number))
    left, top = round((size[0] - 32) / 2), round((size[1] - 32) / 2)
    expected = np.asarray(whole.crop((left, top, left + 32, top + 32))).astype(int)
    assert np.abs(ours.permute(1, 2, 0).numpy() - expected).max() <= 1


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = noisy(32, 32)
    assert np.array_equal(from_open_clip({"size": 32}).prepare(image).permute(1, 2, 0).numpy(), image)


def test_squash_keeps_the_whole_image() -> None:
    preprocessing = from_open_clip({"size": [16, 24], "resize_mode": "squash"})
    half = np.zeros((80, 80, 3), dtype=np.uint8)
    half[:, 40:] = 255
    pixels = preprocessing.prepare(half)
    assert preprocessing.image_size == (16, 24) == pixels.shape[1:]
    assert pixels[:, :, 0].max() == 0 and pixels[:, :, -1].min() == 255


def test_normalise_is_the_textbook_formula() -> None:
    preprocessing = from_open_clip({"size": 2, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 0.2]})
    pixels = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).expand(1, 3, 4).reshape(1, 3, 2, 2)
    normal = preprocessing.normalise(pixels, torch.float32)
    assert normal[0, :, 0, 1].tolist() == pytest.approx([0.2, 0.0, -0.5], abs=1e-6)  # (0.2 - mean) / std
    assert preprocessing.normalise(pixels, torch.bfloat16).dtype is torch.bfloat16


def test_transformers_defaults_are_clips() -> None:
    preprocessing = from_transformers({})
    assert (preprocessing.size, preprocessing.crop, preprocessing.image_size) == (224, (224, 224), (224, 224))
    assert (preprocessing.mean, preprocessing.std) == (pytest.approx(OPENAI_MEAN), pytest.approx(OPENAI_STD))
    assert preprocessing.interpolation is InterpolationMode.BICUBIC


@pytest.mark.parametrize(
    ("settings", "size", "crop"),
    [
        ({"size": 20, "crop_size": 18}, 20, (18, 18)),
        ({"size": {"shortest_edge": 20}, "do_center_crop": False}, 20, None),
        ({"size": {"height": 12, "width": 14}, "do_center_crop": False}, (12, 14), None),
        ({"size": {"shortest_edge": 20}, "crop_size": {"height": 18, "width": 16}}, 20, (18, 16)),
    ],
)
def test_transformers_sizes(settings: dict[str, Any], size: Any, crop: Any) -> None:
    preprocessing = from_transformers(settings)
    assert (preprocessing.size, preprocessing.crop) == (size, crop)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"do_normalize": False}, 0.4),
        ({"image_mean": [0.2] * 3, "image_std": [0.1] * 3}, 2.0),
        ({"do_normalize": False, "rescale_factor": 1 / 127.5}, 0.8),
        ({"image_mean": [0.2] * 3, "image_std": [0.1] * 3, "rescale_factor": 1 / 127.5}, 6.0),
    ],
)
def test_transformers_normalisation(settings: dict[str, Any], expected: float) -> None:
    """``pixel * rescale_factor``, less the mean, by the standard deviation."""
    pixels = torch.full((1, 3, 1, 1), 102, dtype=torch.uint8)
    assert from_transformers(settings).normalise(pixels, torch.float32).flatten().tolist() == pytest.approx(
        [expected] * 3
    )


@pytest.mark.parametrize("settings", [{"resize_mode": "longest"}, {"size": [10, 20]}])
def test_open_clip_modes_without_a_counterpart_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="resize_mode"):
        from_open_clip(settings)


def test_unknown_interpolation_is_refused() -> None:
    with pytest.raises(InputError, match="interpolation 0 is not supported"):
        from_transformers({"resample": 0})
