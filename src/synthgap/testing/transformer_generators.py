"""Pipelines with a transformer in miniature: Stable Diffusion 3, Flux and PixArt; 32x32 images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)

from synthgap.testing.parts import LATENT_SIDE, TEXT_WIDTH, autoencoder, t5_encoder, text_encoder, write_pipeline
from synthgap.testing.tokens import tiny_t5_tokenizer, tiny_tokenizer

_HEADS: dict[str, Any] = {"attention_head_dim": 8, "num_attention_heads": 4}
_FLOW_VAE: dict[str, Any] = {"use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.1}


def tiny_stable_diffusion_3(folder: Path, *, seed: int = 0, t5: bool = True) -> Path:
    """Write a Stable Diffusion 3 folder, with or without its third text encoder, a T5; returns ``folder``.

    Without T5 ``from_pretrained`` wants to hear it: ``text_encoder_3=None, tokenizer_3=None``.
    """

    def make() -> Any:
        return StableDiffusion3Pipeline(
            vae=autoencoder(16, **_FLOW_VAE),
            text_encoder=text_encoder(projected=True),
            text_encoder_2=text_encoder(projected=True, hidden_act="gelu"),
            text_encoder_3=t5_encoder(2 * TEXT_WIDTH) if t5 else None,
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            tokenizer_2=tiny_tokenizer(folder / "tokenizer_2"),
            tokenizer_3=tiny_t5_tokenizer(folder / "tokenizer_3") if t5 else None,
            transformer=SD3Transformer2DModel(
                sample_size=LATENT_SIDE,
                patch_size=2,
                num_layers=1,
                joint_attention_dim=2 * TEXT_WIDTH,
                caption_projection_dim=32,
                pooled_projection_dim=2 * TEXT_WIDTH,
                pos_embed_max_size=16,
                **_HEADS,
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )

    return write_pipeline(make, folder, seed=seed)


def tiny_flux(folder: Path, *, seed: int = 0, guidance_embeds: bool = True) -> Path:
    """Write a Flux folder: FLUX.1 dev, or with ``guidance_embeds=False`` schnell; returns ``folder``.

    Asked for no size it draws 512x512, as the side of Flux's latents is in no configuration.
    """

    def make() -> Any:
        return FluxPipeline(
            vae=autoencoder(4, **_FLOW_VAE),
            text_encoder=text_encoder(),
            text_encoder_2=t5_encoder(),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            tokenizer_2=tiny_t5_tokenizer(folder / "tokenizer_2"),
            transformer=FluxTransformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=TEXT_WIDTH,
                pooled_projection_dim=TEXT_WIDTH,
                guidance_embeds=guidance_embeds,
                axes_dims_rope=(4, 4, 8),
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(
                shift=3.0 if guidance_embeds else 1.0, use_dynamic_shifting=guidance_embeds
            ),
        )

    return write_pipeline(make, folder, seed=seed)


def tiny_pixart(folder: Path, *, seed: int = 0, sigma: bool = False) -> Path:
    """Write a PixArt folder, alpha or sigma, which draws mean and variance; returns ``folder``."""

    def make() -> Any:
        pipeline = PixArtSigmaPipeline if sigma else PixArtAlphaPipeline
        return pipeline(
            vae=autoencoder(4),
            text_encoder=t5_encoder(),
            tokenizer=tiny_t5_tokenizer(folder / "tokenizer"),
            transformer=PixArtTransformer2DModel(
                sample_size=LATENT_SIDE,
                num_layers=1,
                in_channels=4,
                out_channels=8,
                cross_attention_dim=32,
                caption_channels=TEXT_WIDTH,
                norm_num_groups=8,
                use_additional_conditions=False,
                **_HEADS,
            ),
            scheduler=DPMSolverMultistepScheduler(),
        )

    return write_pipeline(make, folder, seed=seed)
