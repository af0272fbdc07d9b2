"""CLIP models in miniature: one for transformers, one for open_clip with a convolutional timm tower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from synthgap.models.quiet import quiet
from synthgap.testing.tokens import CONTEXT_LENGTH, byte_vocabulary, tiny_tokenizer

IMAGE_SIZE = 32
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def tiny_clip(folder: Path, *, seed: int = 0, dim: int = 24) -> Path:
    """Write a transformers ``CLIPModel`` folder (two small transformers, 32x32 images) with random weights.

    Embeddings have ``dim`` numbers. The caller's global random state is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    marks = byte_vocabulary()
    text = {
        "vocab_size": len(marks),
        "max_position_embeddings": CONTEXT_LENGTH,
        "bos_token_id": marks["<|startoftext|>"],
        "eos_token_id": marks["<|endoftext|>"],
        "pad_token_id": marks["<|endoftext|>"],
    }
    config = CLIPConfig(
        text_config={**tower, **text},
        vision_config={**tower, "image_size": IMAGE_SIZE, "patch_size": 8},
        projection_dim=dim,
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(str(folder))
    square = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    processor = CLIPImageProcessor(size={"shortest_edge": IMAGE_SIZE}, crop_size=square, image_mean=MEAN, image_std=STD)
    processor.save_pretrained(str(folder))
    tiny_tokenizer(folder)
    return folder


def _open_clip_config(dim: int) -> dict[str, Any]:
    return {
        "embed_dim": dim,
        "vision_cfg": {
            "timm_model_name": "test_convnext",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": IMAGE_SIZE,
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": len(byte_vocabulary()),
            "width": 32,
            "heads": 2,
            "layers": 2,
            "hf_tokenizer_name": "tokenizer-of-this-folder",
        },
    }


def tiny_open_clip(folder: Path, *, seed: int = 0, dim: int = 24) -> Path:
    """Write an open_clip folder (``local-dir:``) with a convolutional timm image tower and random weights.

    The tokenizer is a Hugging Face one in the same folder. Embeddings have ``dim`` numbers. The caller's global
    random state is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = _open_clip_config(dim)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    preprocessing = {"size": [IMAGE_SIZE, IMAGE_SIZE], "mean": MEAN, "std": STD, "interpolation": "bicubic"}
    document = {"model_cfg": config, "preprocess_cfg": {**preprocessing, "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    tiny_tokenizer(folder)
    return folder
