"""SigLIP encoders of transformers: a ``SiglipModel`` folder, of SigLIP or of SigLIP 2 at a fixed resolution."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import SiglipModel

from synthgap.models.preprocessing import SIGLIP_DEFAULTS, from_transformers
from synthgap.models.towers import Towers
from synthgap.models.transformers_folder import features_of, load_tokenizer, load_weights, read_processor


def load_siglip(folder: Path, device: torch.device, dtype: torch.dtype) -> Towers:
    """Load a transformers ``SiglipModel`` folder: the pooled embeddings of images and prompts."""
    model = load_weights(SiglipModel, folder, device, dtype)
    tokenizer = load_tokenizer(folder)
    length = int(model.config.text_config.max_position_embeddings)

    def images(pixels: torch.Tensor) -> torch.Tensor:
        return features_of(model.get_image_features(pixel_values=pixels))

    def texts(prompts: list[str]) -> torch.Tensor:
        # Always padded to the full length and without a mask, as in training: every position sees the padding, and
        # the last one is the embedding. In lower case, as in training; not every tokenizer of SigLIP 2 does it.
        lower = [prompt.lower() for prompt in prompts]
        tokens = tokenizer(lower, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return features_of(model.get_text_features(input_ids=tokens["input_ids"].to(device)))

    preprocessing = from_transformers(read_processor(folder), SIGLIP_DEFAULTS)
    return Towers(images, texts, preprocessing, int(model.config.vision_config.hidden_size))
