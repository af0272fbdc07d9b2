"""Encoders in miniature: CLIP of transformers and of open_clip, SigLIP, DINOv2, and a model of timm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from safetensors.torch import save_file
from transformers import (
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from synthgap.models.quiet import quiet
from synthgap.testing.tokens import CONTEXT_LENGTH, byte_vocabulary, tiny_tokenizer

IMAGE_SIZE = 32
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SQUARE = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}


def tiny_clip(folder: Path, *, seed: int = 0, dim: int = 24) -> Path:
    """Write a transformers ``CLIPModel`` folder (two small transformers, 32x32 images) with random weights.

    Embeddings have ``dim`` numbers. The caller's global random state is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marks = byte_vocabulary()
    text = {
        "vocab_size": len(marks),
        "max_position_embeddings": CONTEXT_LENGTH,
        "bos_token_id": marks["<|startoftext|>"],
        "eos_token_id": marks["<|endoftext|>"],
        "pad_token_id": marks["<|endoftext|>"],
    }
    config = CLIPConfig(
        text_config={**TOWER, **text},
        vision_config={**TOWER, "image_size": IMAGE_SIZE, "patch_size": 8},
        projection_dim=dim,
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(str(folder))
    processor = CLIPImageProcessor(size={"shortest_edge": IMAGE_SIZE}, crop_size=SQUARE, image_mean=MEAN, image_std=STD)
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


def tiny_siglip(folder: Path, *, seed: int = 0) -> Path:
    """Write a transformers ``SiglipModel`` folder with SigLIP 2's kind of tokenizer: 32x32 images, 32 dimensions.

    The weights are random. The caller's global random state is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _letters_tokenizer(folder)
    marks = {f"{mark}_token_id": tokenizer.convert_tokens_to_ids(f"<{mark}>") for mark in ("pad", "bos", "eos")}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT_LENGTH, **marks}
    config = SiglipConfig(
        text_config={**TOWER, **text}, vision_config={**TOWER, "image_size": IMAGE_SIZE, "patch_size": 8}
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        SiglipModel(config).save_pretrained(str(folder))
    SiglipImageProcessor(size=SQUARE).save_pretrained(str(folder))
    return folder


def _letters_tokenizer(folder: Path) -> Any:
    from transformers import Siglip2Tokenizer  # transformers 5; all else here works with 4 too

    letters = [*map(chr, range(33, 127)), "▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Siglip2Tokenizer(
        vocab=vocabulary, merges=[], model_max_length=CONTEXT_LENGTH, padding_side="right", add_eos_token=True
    )
    tokenizer.save_pretrained(str(folder))
    return tokenizer


def tiny_dinov2(folder: Path, *, seed: int = 0, registers: int = 0) -> Path:
    """Write a transformers DINOv2 folder: 32x32 images after a centre crop, 32 dimensions, no text tower.

    With ``registers`` it is of the kind with as many register tokens. The weights are random. The caller's global
    random state is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tower = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8, "image_size": 48}
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if registers:
            config = Dinov2WithRegistersConfig(**tower, num_register_tokens=registers)
            Dinov2WithRegistersModel(config).save_pretrained(str(folder))
        else:
            Dinov2Model(Dinov2Config(**tower)).save_pretrained(str(folder))
    processor = BitImageProcessor(
        size={"shortest_edge": IMAGE_SIZE + 4}, crop_size=SQUARE, image_mean=MEAN, image_std=STD
    )
    processor.save_pretrained(str(folder))
    return folder


def tiny_timm(
    folder: Path, *, seed: int = 0, architecture: str = "test_vit", data_config: dict[str, Any] | None = None
) -> Path:
    """Write the folder of a timm model, a small Vision Transformer by default, as ``push_to_hf_hub`` writes it.

    ``data_config`` is what timm's own is replaced by: ``crop_pct``, ``crop_mode``, ``interpolation``, ``mean``,
    ``std``, ``input_size``. The weights are random. The caller's global random state is left as it was.
    """
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = timm.create_model(architecture, num_classes=5)
        timm.models.save_for_hf(model, str(folder), data_config=data_config, safe_serialization=True)
    return folder
