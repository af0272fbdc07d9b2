"""A Stable Diffusion pipeline in miniature: 32x32 images, 12 latent channels, random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from synthgap.models.quiet import quiet
from synthgap.testing.tokens import CONTEXT_LENGTH, byte_vocabulary, tiny_tokenizer

LATENT_CHANNELS = 12
TEXT_WIDTH = 32


def _text_encoder() -> Any:
    marks = byte_vocabulary()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(marks),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=CONTEXT_LENGTH,
            bos_token_id=marks["<|startoftext|>"],
            eos_token_id=marks["<|endoftext|>"],
            pad_token_id=marks["<|endoftext|>"],
        )
    )


def _denoiser() -> Any:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
    )


def _autoencoder() -> Any:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=0.5,
    )


def _scheduler() -> Any:
    # steps_offset=1 as in Stable Diffusion; diffusers warns of anything else.
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    return DPMSolverMultistepScheduler(**betas, steps_offset=1)


def tiny_generator(folder: Path, *, seed: int = 0, num_inference_steps: int = 4) -> Path:
    """Write a ``StableDiffusionPipeline`` folder with random weights, mostly bfloat16; returns ``folder``.

    It draws 32x32 RGB images, a few milliseconds per step. ``synthgap.json`` beside ``model_index.json`` asks for
    ``num_inference_steps``. The caller's global random state is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = StableDiffusionPipeline(
            vae=_autoencoder(),
            text_encoder=_text_encoder(),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            unet=_denoiser(),
            scheduler=_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        # Not the text encoder: transformers 5 loads it in the precision it was saved in, diffusers the rest in float32,
        # and a plain from_pretrained without a dtype would mix the two.
        for module in (pipeline.vae, pipeline.unet):
            module.to(torch.bfloat16)
        pipeline.save_pretrained(str(folder))
    hint = {"num_inference_steps": num_inference_steps}
    (folder / "synthgap.json").write_text(json.dumps(hint) + "\n", encoding="utf-8")
    return folder
