"""CLIP encoders of transformers: a ``CLIPModel`` folder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPModel

from synthgap.models.preprocessing import CLIP_DEFAULTS, from_transformers
from synthgap.models.towers import Towers
from synthgap.models.transformers_folder import features_of, load_tokenizer, load_weights, read_processor


def load_clip(folder: Path, device: torch.device, dtype: torch.dtype) -> Towers:
    """Load a transformers ``CLIPModel`` folder: the projected embeddings of images and prompts."""
    model = load_weights(CLIPModel, folder, device, dtype)
    tokenizer = load_tokenizer(folder)
    longest = min(model.config.text_config.max_position_embeddings, tokenizer.model_max_length)

    def images(pixels: torch.Tensor) -> torch.Tensor:
        return features_of(model.get_image_features(pixel_values=pixels))

    def texts(prompts: list[str]) -> torch.Tensor:
        # Padded to the longest prompt and not to 77: CLIP's text tower is causal and pools at the end mark, so
        # what follows the mark cannot change the embedding, and seven times less is computed.
        tokens = tokenizer(prompts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return features_of(model.get_text_features(**tokens.to(device)))

    preprocessing = from_transformers(read_processor(folder), CLIP_DEFAULTS)
    return Towers(images, texts, preprocessing, int(model.config.projection_dim))
