"""Parts that the tiny pipelines share: text encoders, autoencoders, and the writing of a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from synthgap.models.quiet import quiet
from synthgap.testing.tokens import CONTEXT_LENGTH, byte_vocabulary, letter_vocabulary

TEXT_WIDTH = 32
LATENT_SIDE = 8
"""Latents are 8x8, images four times as large: 32x32."""


def text_encoder(*, projected: bool = False, **settings: Any) -> Any:
    """A CLIP text encoder of two layers; ``projected`` as the second one of SDXL and both of SD 3."""
    marks = byte_vocabulary()
    config = CLIPTextConfig(
        vocab_size=len(marks),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT_LENGTH,
        bos_token_id=marks["<|startoftext|>"],
        eos_token_id=marks["<|endoftext|>"],
        pad_token_id=marks["<|endoftext|>"],
        **({"projection_dim": TEXT_WIDTH} if projected else {}),
        **settings,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def t5_encoder(width: int = TEXT_WIDTH) -> Any:
    """A T5 encoder of two layers."""
    config = T5Config(
        vocab_size=len(letter_vocabulary()),
        d_model=width,
        d_kv=8,
        d_ff=width,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
    )
    return T5EncoderModel(config).eval()


def autoencoder(latent_channels: int, **settings: Any) -> Any:
    """An autoencoder of factor 4."""
    shape: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": (8, 16, 16),
        "latent_channels": latent_channels,
        "norm_num_groups": 8,
        "sample_size": 4 * LATENT_SIDE,
        "scaling_factor": 0.5,
    }
    return AutoencoderKL(**shape | settings)


def write_pipeline(make: Callable[[], Any], folder: Path, *, seed: int, hints: dict[str, Any] | None = None) -> Path:
    """Write the pipeline that ``make`` returns, with weights of ``seed``; returns ``folder``.

    ``hints`` become ``synthgap.json``. The caller's global random state is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make().save_pretrained(str(folder))
    if hints:
        (folder / "synthgap.json").write_text(json.dumps(hints) + "\n", encoding="utf-8")
    return folder
