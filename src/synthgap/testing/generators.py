"""Pipelines with a UNet in miniature: Stable Diffusion 1, 2 and XL, and a latent consistency model; 32x32 images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor

from synthgap.testing.parts import LATENT_SIDE, TEXT_WIDTH, autoencoder, text_encoder, write_pipeline
from synthgap.testing.tokens import tiny_tokenizer

LATENT_CHANNELS = 12
# steps_offset=1 as in Stable Diffusion; diffusers warns of anything else.
_NOISE: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def _denoiser(channels: int = 4, **settings: Any) -> Any:
    shape: dict[str, Any] = {
        "sample_size": LATENT_SIDE,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**shape | settings)


def _safety_checker() -> Any:
    """The checker with concepts and thresholds at random, so that some images are flagged and some are not."""
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**tower, "image_size": 16, "patch_size": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=tower, projection_dim=8))
    for concepts in ("concept_embeds", "special_care_embeds"):
        getattr(checker, concepts).data.normal_()
        getattr(checker, f"{concepts}_weights").data.uniform_(0.3, 0.9)
    return checker.eval()


def tiny_generator(folder: Path, *, seed: int = 0, num_inference_steps: int = 4, safety_checker: bool = False) -> Path:
    """Write a ``StableDiffusionPipeline`` folder with random weights, mostly bfloat16; returns ``folder``.

    It draws 32x32 RGB images, a few milliseconds per step. ``synthgap.json`` beside ``model_index.json`` asks for
    ``num_inference_steps``. With ``safety_checker`` it holds one, whose verdicts are random. The caller's global random
    state is left as it was.
    """

    def make() -> Any:
        pipeline = StableDiffusionPipeline(
            vae=autoencoder(LATENT_CHANNELS),
            text_encoder=text_encoder(),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            unet=_denoiser(LATENT_CHANNELS),
            scheduler=DPMSolverMultistepScheduler(**_NOISE),
            safety_checker=_safety_checker() if safety_checker else None,
            feature_extractor=_preprocessing() if safety_checker else None,
            requires_safety_checker=safety_checker,
        )
        # Not the text encoder: transformers 5 loads it in the precision it was saved in, diffusers the rest in float32,
        # and a plain from_pretrained without a dtype would mix the two.
        for module in (pipeline.vae, pipeline.unet):
            module.to(torch.bfloat16)
        return pipeline

    return write_pipeline(make, folder, seed=seed, hints={"num_inference_steps": num_inference_steps})


def _preprocessing() -> Any:
    return CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def tiny_stable_diffusion_2(folder: Path, *, seed: int = 0) -> Path:
    """Write a Stable Diffusion 2 folder, which predicts v and has linear projections; returns ``folder``."""

    def make() -> Any:
        return StableDiffusionPipeline(
            vae=autoencoder(4),
            text_encoder=text_encoder(hidden_act="gelu"),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            unet=_denoiser(attention_head_dim=(2, 4), use_linear_projection=True),
            scheduler=DDIMScheduler(**_NOISE, prediction_type="v_prediction", clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    return write_pipeline(make, folder, seed=seed)


def tiny_stable_diffusion_xl(folder: Path, *, seed: int = 0) -> Path:
    """Write a Stable Diffusion XL folder with its two text encoders; returns ``folder``."""

    def make() -> Any:
        unet = _denoiser(
            cross_attention_dim=2 * TEXT_WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + TEXT_WIDTH,
        )
        return StableDiffusionXLPipeline(
            vae=autoencoder(4),
            text_encoder=text_encoder(),
            text_encoder_2=text_encoder(projected=True, hidden_act="gelu"),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            tokenizer_2=tiny_tokenizer(folder / "tokenizer_2"),
            unet=unet,
            scheduler=EulerDiscreteScheduler(**_NOISE),
            add_watermarker=False,
        )

    return write_pipeline(make, folder, seed=seed)


def tiny_lcm(folder: Path, *, seed: int = 0) -> Path:
    """Write a ``LatentConsistencyModelPipeline`` folder, whose UNet takes the guidance as input; returns ``folder``."""

    def make() -> Any:
        noise = {name: value for name, value in _NOISE.items() if name != "steps_offset"}
        return LatentConsistencyModelPipeline(
            vae=autoencoder(4),
            text_encoder=text_encoder(),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            unet=_denoiser(time_cond_proj_dim=16),
            scheduler=LCMScheduler(**noise),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    return write_pipeline(make, folder, seed=seed)
