"""Image encoders of transformers without a text tower: DINOv2, DINOv3, ViT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from synthgap.models.preprocessing import DINOV2_DEFAULTS, DINOV3_DEFAULTS, VIT_DEFAULTS, from_transformers
from synthgap.models.towers import Towers, probed_dim
from synthgap.models.transformers_folder import load_weights, read_config, read_processor

VISION_MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "dinov2": ("Dinov2Model", {}, DINOV2_DEFAULTS),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", {}, DINOV2_DEFAULTS),
    "dinov3_vit": ("DINOv3ViTModel", {}, DINOV3_DEFAULTS),
    # A classifier's folder has no pooling layer, and its class token is the embedding.
    "vit": ("ViTModel", {"add_pooling_layer": False}, VIT_DEFAULTS),
}
"""By model_type: class, options of loading, and what its processor does where the folder does not say."""


def load_vision(folder: Path, device: torch.device, dtype: torch.dtype) -> Towers:
    """Load an image model: the class token of the last layer, after the final normalisation, is the embedding."""
    name, options, defaults = VISION_MODELS[read_config(folder)["model_type"]]
    model = load_weights(getattr(transformers, name), folder, device, dtype, **options)

    def images(pixels: torch.Tensor) -> torch.Tensor:
        token: torch.Tensor = model(pixel_values=pixels).last_hidden_state[:, 0]
        return token

    preprocessing = from_transformers(read_processor(folder), defaults)
    return Towers(images, None, preprocessing, probed_dim(images, preprocessing, device, dtype))
