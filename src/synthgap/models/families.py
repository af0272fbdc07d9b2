"""Families of pipelines: what sets them apart when prompts are embedded and noise is drawn outside of them.

A pipeline that is not in the table is given its prompts as text and draws its noise itself, from the same generators.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from packaging.version import Version

from synthgap.models.pipeline_index import PipelineIndex

_TEXT = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_TEXT, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_MASKED = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
_ASPECTS = {32: "ASPECT_RATIO_256_BIN", 64: "ASPECT_RATIO_512_BIN", 128: "ASPECT_RATIO_1024_BIN", 256: "ASPECT_RATIO_2048_BIN"}  # fmt: skip
"""PixArt's tables of shapes by the side of its latents, as named in the pipelines' modules."""
_OLD_SIDE = 64


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table."""

    outputs: tuple[str | None, ...]
    """The call's argument that each result of ``encode_prompt`` becomes; None for one that is not passed on."""
    denoiser: str = "transformer"
    embeds_guidance: bool = False
    """Guidance is an input of the model (distilled), and there is no unconditional branch."""
    patch: int | None = None
    """Sides are multiples of so many latents; of 8 pixels where None."""
    native: int | None = None
    """Side of the latents where the denoiser's configuration has none."""
    packed: bool = False
    """Latents are rows of 2x2 patches."""
    binned: bool = False
    """Images are drawn in the nearest of a table of shapes, and resized."""


FAMILIES: Mapping[str, Family] = {
    "StableDiffusionPipeline": Family(_TEXT, "unet"),
    "StableDiffusionXLPipeline": Family(_POOLED, "unet"),
    "LatentConsistencyModelPipeline": Family(_TEXT, "unet", embeds_guidance=True),
    "StableDiffusion3Pipeline": Family(_POOLED, patch=2),
    "FluxPipeline": Family(
        ("prompt_embeds", "pooled_prompt_embeds", None), embeds_guidance=True, patch=2, native=128, packed=True
    ),
    "PixArtAlphaPipeline": Family(_MASKED, binned=True),
    "PixArtSigmaPipeline": Family(_MASKED, binned=True),
}


def embeds_guidance(index: PipelineIndex) -> bool:
    """Whether guidance is an input of the model, so that a negative prompt has no effect."""
    family = FAMILIES.get(index.class_name)
    if family is None:
        return False
    return family.embeds_guidance or index.config(family.denoiser).get("time_cond_proj_dim") is not None


def native_size(index: PipelineIndex) -> tuple[int | None, int | None]:
    """(height, width) in pixels that a pipeline draws where nobody asks for a size; None where only it knows."""
    family = FAMILIES.get(index.class_name)
    if family is None:
        asked = [index.call[side].default if side in index.call else None for side in ("height", "width")]
        height, width = (side if isinstance(side, int) else None for side in asked)
        return height, width
    sides = family.native or _sample_size(index.config(family.denoiser))
    if sides is None:
        return None, None
    rows, columns = (sides, sides) if isinstance(sides, int) else sides
    scale = vae_scale(index)
    return rows * scale, columns * scale


def side_multiple(index: PipelineIndex) -> int:
    """Height and width in pixels must be multiples of this; 1 where only the pipeline knows."""
    family = FAMILIES.get(index.class_name)
    if family is None:
        return 1
    return 8 if family.patch is None else family.patch * vae_scale(index)


def vae_scale(index: PipelineIndex) -> int:
    """Pixels per latent, along a side."""
    blocks = index.config("vae").get("block_out_channels", [1])
    return int(2 ** (len(blocks) - 1))


def _sample_size(config: Mapping[str, Any]) -> Any:
    """Side or sides of the latents."""
    size = config.get("sample_size")
    # diffusers mends the first folders of Stable Diffusion 1, which say 32, in the same way.
    old = Version(str(config.get("_diffusers_version", "1"))) < Version("0.9.0.dev0")
    return _OLD_SIDE if old and isinstance(size, int) and size < _OLD_SIDE else size


def starting_noise(
    pipeline: Any, family: Family, generators: Sequence[torch.Generator], height: int, width: int
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Noise of each generator, drawn in float32 whatever the model's precision, and arguments that go with it.

    The first is what the pipeline takes as ``latents``: (b, channels, rows, columns), or packed.
    """
    more: dict[str, Any] = {}
    denoiser, scale = getattr(pipeline, family.denoiser), pipeline.vae_scale_factor
    channels = denoiser.config.in_channels
    if family.binned:
        ratios = getattr(sys.modules[type(pipeline).__module__], _ASPECTS.get(denoiser.config.sample_size, ""), None)
        more["use_resolution_binning"] = ratios is not None  # it would be an error at any other size of the model
        if ratios is not None:
            height, width = pipeline.image_processor.classify_height_width_bin(height, width, ratios=ratios)
    if family.packed:
        channels //= 4
    shape = (channels, height // scale, width // scale)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    if family.packed:
        noise = _packed(noise)
    return noise.to(denoiser.device, denoiser.dtype), more


def _packed(latents: torch.Tensor) -> torch.Tensor:
    """(b, c, h, w) -> (b, h/2 * w/2, 4c): each 2x2 patch a row, channels first within it."""
    patches = latents.unfold(2, 2, 2).unfold(3, 2, 2)  # (b, c, h/2, w/2, 2, 2)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
