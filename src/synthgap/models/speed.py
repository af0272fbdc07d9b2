"""How a pipeline is laid out to be quick: memory formats, compiled parts, and the VAE in chunks that fit."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.vae import DecoderOutput

PIXELS_AT_ONCE = 2**20
"""Pixels that leave the VAE together: four images of 512x512, one of 1024x1024. Its activations are far larger than the images."""
_CONVOLUTIONAL = ("unet", "vae")
_DENOISERS = ("unet", "transformer", "prior")


def quicken(pipeline: Any, device: torch.device, *, compiled: bool) -> None:
    """Lay out the parts of a pipeline for its device; none of this changes an image beyond rounding.

    ``compiled`` compiles denoiser and VAE decoder when they are first called, for the shapes of that call.
    """
    modules = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    if device.type == "cuda":  # the format in which tensor cores convolve
        for name in _CONVOLUTIONAL:
            if name in modules:
                modules[name].to(memory_format=torch.channels_last)
    if compiled:
        decoder = getattr(modules.get("vae"), "decoder", None)
        for part in (*(modules.get(name) for name in _DENOISERS), decoder):
            if part is not None:
                part.compile(dynamic=False)  # in place: diffusers goes on asking the module for its config
    if "vae" in modules:
        _chunk(modules["vae"])


def images_at_once(count: int, pixels: int) -> int:
    """How many of ``count`` images of so many pixels leave the VAE together: equal chunks, so that shapes stay few.

    >>> images_at_once(16, 512 * 512), images_at_once(6, 512 * 512), images_at_once(8, 1024 * 1024)
    (4, 3, 1)
    """
    most = max(1, min(count, PIXELS_AT_ONCE // pixels))
    return next(size for size in range(most, 0, -1) if count % size == 0)


def _chunk(vae: Any) -> None:
    """Make ``vae.decode`` work through its batch in chunks."""
    decode = vae.decode
    scale = 2 ** (len(getattr(vae.config, "block_out_channels", None) or [1]) - 1)

    def decode_in_chunks(z: torch.Tensor, return_dict: bool = True, **options: Any) -> Any:
        size = images_at_once(len(z), z.shape[-2] * z.shape[-1] * scale**2) if z.ndim == 4 else len(z)
        parts = [decode(chunk, return_dict=False, **options)[0] for chunk in z.split(size)]
        sample = parts[0] if len(parts) == 1 else torch.cat(parts)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    vae.decode = decode_in_chunks
