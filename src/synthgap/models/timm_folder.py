"""Image encoders of timm: a folder with ``config.json`` and ``model.safetensors``, as ``push_to_hf_hub`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config

from synthgap.core.errors import InputError
from synthgap.models.preprocessing import from_timm
from synthgap.models.towers import Towers, probed_dim

WEIGHTS = "model.safetensors"


def load_timm(folder: Path, device: torch.device, dtype: torch.dtype) -> Towers:
    """Load any timm model without its classifier: its pooled features are the embedding.

    Raises InputError for a folder without safetensors.
    """
    # timm itself would go on to a pickle, which can run code.
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"encoder folder {folder} has no {WEIGHTS}: save it with timm's safe_serialization=True")
    model: Any = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    model = model.to(device=device, dtype=dtype).eval()
    preprocessing = from_timm(resolve_model_data_config(model))
    return Towers(model, None, preprocessing, probed_dim(model, preprocessing, device, dtype))
