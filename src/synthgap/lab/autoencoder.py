"""First part of the lab's generator: a small ``AutoencoderKL`` between 32x32 pixels and 8x8 latents of 12 channels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synthgap.lab.loop import batch_indices

KL_WEIGHT = 2e-4
"""Weight of the mean KL term per latent number: keeps the latents smooth and near unit scale."""


def new_autoencoder(width: int, latent_channels: int, image_size: int) -> Any:
    """Build the untrained autoencoder; ``width`` is the number of channels at full resolution."""
    from diffusers import AutoencoderKL

    channels = (width, 2 * width, 3 * width)
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        latent_channels=latent_channels,
        layers_per_block=1,
        norm_num_groups=16,
        sample_size=image_size,
    ).to(memory_format=torch.channels_last)


def pixels(images: Tensor, flip: Tensor | None = None) -> Tensor:
    """Turn uint8 images (b, h, w, 3) into floats (b, 3, h, w) in [-1, 1], mirrored where ``flip`` (b,) says so."""
    values = images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    if flip is not None:
        values = torch.where(flip[:, None, None, None], values.flip(-1), values)
    return values.contiguous(memory_format=torch.channels_last)


def _edges(values: Tensor) -> tuple[Tensor, Tensor]:
    return values[..., 1:, :] - values[..., :-1, :], values[..., :, 1:] - values[..., :, :-1]


def autoencoder_loss(model: Any, images: Tensor, batch_size: int, step: int, seed: int) -> Tensor:
    """L1 of pixels and of their differences (edges, against blur), plus a light KL term."""
    index = batch_indices(len(images), batch_size, step, seed)
    generator = torch.Generator().manual_seed(seed * 7_919 + step)
    target = pixels(images[index], torch.rand(len(index), generator=generator) < 0.5)
    with torch.autocast(target.device.type, torch.bfloat16):
        posterior = model.encode(target).latent_dist
        mean, deviation = posterior.mean, posterior.std
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        decoded = model.decode(mean + deviation * noise).sample
    decoded = decoded.float()
    loss = F.l1_loss(decoded, target) + F.mse_loss(decoded, target)
    for ours, theirs in zip(_edges(decoded), _edges(target), strict=True):
        loss = loss + 0.5 * F.l1_loss(ours, theirs)
    mean, variance = mean.float(), posterior.var.float()
    total: Tensor = loss + KL_WEIGHT * 0.5 * (mean.square() + variance - 1 - variance.log()).mean()
    return total


@torch.inference_mode()
def encode_all(model: Any, images: Tensor, batch_size: int = 250) -> Tensor:
    """Latent means (n, c, h/4, w/4) of uint8 images, unscaled, as float16."""
    parts = [
        model.encode(pixels(images[i : i + batch_size])).latent_dist.mean for i in range(0, len(images), batch_size)
    ]
    return torch.cat(parts).half()


@torch.no_grad()
def standardise(model: Any, latents: Tensor) -> Tensor:
    """Give every latent channel mean 0 and deviation 1, by folding the affine map into the model's 1x1 convolutions.

    ``latents`` (…, c, h, w) are means of the model as it is; the returned ones are those of the changed model, whose
    ``scaling_factor`` is 1.
    """
    axes = [i for i in range(latents.dim()) if i != latents.dim() - 3]
    mean, deviation = latents.float().mean(axes), latents.float().std(axes)
    count = len(mean)
    quant, post = model.quant_conv, model.post_quant_conv
    quant.weight[:count] /= deviation[:, None, None, None]
    quant.bias[:count].sub_(mean).div_(deviation)
    quant.bias[count:] -= 2 * deviation.log()
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= deviation[None, :, None, None]
    model.register_to_config(scaling_factor=1.0)
    return ((latents.float() - mean[:, None, None]) / deviation[:, None, None]).half()
