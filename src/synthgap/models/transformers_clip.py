"""CLIP encoders of transformers: a ``CLIPModel`` folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, CLIPModel

from synthgap.core.errors import InputError
from synthgap.models.preprocessing import from_transformers
from synthgap.models.towers import Towers


def load_transformers(folder: Path, device: torch.device, dtype: torch.dtype) -> Towers:
    """Load a transformers ``CLIPModel`` folder.

    Raises InputError for a model of another type.
    """
    kind = _read(folder / "config.json").get("model_type")
    if kind != "clip":
        raise InputError(
            f"encoder folder {folder} holds a model of type {kind!r}; expected a transformers CLIPModel ('clip') or an open_clip folder"
        )
    model = CLIPModel.from_pretrained(str(folder), dtype=dtype, use_safetensors=True).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    longest = min(model.config.text_config.max_position_embeddings, tokenizer.model_max_length)

    def images(pixels: torch.Tensor) -> torch.Tensor:
        return _features(model.get_image_features(pixel_values=pixels))

    def texts(prompts: list[str]) -> torch.Tensor:
        # Padded to the longest prompt and not to 77: CLIP's text tower is causal and pools at the end mark, so
        # what follows the mark cannot change the embedding, and seven times less is computed.
        tokens = tokenizer(prompts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return _features(model.get_text_features(**tokens.to(device)))

    settings = folder / "preprocessor_config.json"
    preprocessing = from_transformers(_read(settings) if settings.is_file() else {})
    return Towers(images, texts, preprocessing, int(model.config.projection_dim))


def _features(output: Any) -> torch.Tensor:
    """transformers 5 returns an output object, transformers 4 the tensor itself."""
    features = output if isinstance(output, torch.Tensor) else output.pooler_output
    if not isinstance(features, torch.Tensor):
        raise InputError(f"the encoder returned {type(features).__name__} and no embedding")
    return features


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
