"""Second part of the lab's generator: a text encoder and a denoiser of latents, learnt together, saved as a ``StableDiffusionPipeline``."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synthgap.core.records import ClassEntry
from synthgap.lab.captions import caption
from synthgap.lab.loop import batch_indices
from synthgap.lab.tokenizer import CONTEXT_LENGTH

TRAIN_TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012
SCHEDULE = {
    "num_train_timesteps": TRAIN_TIMESTEPS, "beta_start": BETA_START, "beta_end": BETA_END, "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
}  # fmt: skip
SNR_CAP = 5.0
"""Min-SNR weighting (Hang et al. 2023): easy, nearly clean steps count no more than this."""


class Denoiser(nn.Module):
    """Text encoder and UNet as one module, so that they learn together."""

    def __init__(
        self, *, vocabulary: int, text_width: int, channels: tuple[int, int], latent_channels: int, latent_size: int
    ) -> None:
        super().__init__()
        from diffusers import UNet2DConditionModel
        from diffusers.models.attention_processor import AttnProcessor
        from transformers import CLIPTextConfig, CLIPTextModel

        end = vocabulary - 1
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary, hidden_size=text_width, intermediate_size=4 * text_width, projection_dim=text_width,
                num_hidden_layers=2, num_attention_heads=text_width // 32, max_position_embeddings=CONTEXT_LENGTH,
                bos_token_id=end - 1, eos_token_id=end, pad_token_id=end,
            )
        )  # fmt: skip
        self.unet = UNet2DConditionModel(
            sample_size=latent_size, in_channels=latent_channels, out_channels=latent_channels, block_out_channels=channels,
            layers_per_block=2, down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
            cross_attention_dim=text_width, attention_head_dim=4, norm_num_groups=32,
        )  # fmt: skip
        # Plain matrix products learn 1.7 times as fast on a CPU as the fused kernel, whose backward pass is slow there
        # (benchmarks/lab_attention.py). Nothing of it is saved.
        self.unet.set_attn_processor(AttnProcessor())

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """Predict v of noisy latents (b, c, h, w) at timesteps (b,) for token ids (b, CONTEXT_LENGTH)."""
        hidden = self.text_encoder(ids).last_hidden_state
        prediction: Tensor = self.unet(noisy, timesteps, encoder_hidden_states=hidden).sample
        return prediction


def signal_shares() -> Tensor:
    """``alpha_bar`` of each training timestep (TRAIN_TIMESTEPS,)."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_TIMESTEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


class DenoisingBatches:
    """Makes the loss of one step from cached latents (2, n, c, h, w: as they are, and mirrored)."""

    def __init__(
        self,
        latents: Tensor,
        labels: NDArray[np.int64],
        facts: NDArray[np.bool_],
        entries: Sequence[ClassEntry],
        tokenizer: Any,
    ) -> None:
        self.latents, self.labels, self.facts = latents, labels, facts
        self.entries, self.tokenizer = entries, tokenizer
        self.shares = signal_shares()

    def loss(self, model: Denoiser, batch_size: int, step: int, seed: int, drop: float = 0.12) -> Tensor:
        """Weighted mean squared error of v; a share ``drop`` of the captions is empty, so that guidance works."""
        index = batch_indices(self.latents.shape[1], batch_size, step, seed)
        rng, generator = random.Random(seed * 7_919 + step), torch.Generator().manual_seed(seed * 7_919 + step)
        texts = [
            "" if rng.random() < drop else caption(self.entries[self.labels[i]], self.facts[i], rng).text
            for i in index.tolist()
        ]
        ids = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=CONTEXT_LENGTH, return_tensors="pt"
        )["input_ids"]
        clean = self.latents[torch.randint(0, 2, (len(index),), generator=generator), index].float()
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(0, TRAIN_TIMESTEPS, (len(index),), generator=generator)
        share = self.shares[timesteps][:, None, None, None]
        signal, spread = share.sqrt(), (1 - share).sqrt()
        noisy = (signal * clean + spread * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            prediction = model(noisy, timesteps, ids)
        error = (prediction.float() - (signal * noise - spread * clean)).square().mean((1, 2, 3))
        ratio = (share / (1 - share)).flatten()
        weighted: Tensor = (error * ratio.clamp(max=SNR_CAP) / (ratio + 1)).mean()
        return weighted


def save_generator(model: Denoiser, autoencoder: Any, tokenizer: Any, folder: Path, steps: int) -> None:
    """Write a folder that ``StableDiffusionPipeline.from_pretrained`` opens: half-precision safetensors, no safety checker."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=autoencoder.half(), text_encoder=model.text_encoder.half(), tokenizer=tokenizer, unet=model.unet.half(),
        scheduler=DPMSolverMultistepScheduler(**SCHEDULE, timestep_spacing="trailing", steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder, safe_serialization=True)
    # transformers loads a model in the precision its configuration names; the plain call is to give one for all parts.
    settings = folder / "text_encoder" / "config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    # Nor is the folder where it was trained of any use to who opens it.
    trained = folder / "vae" / "config.json"
    kept = {key: value for key, value in json.loads(trained.read_text()).items() if key != "_name_or_path"}
    trained.write_text(json.dumps(kept, indent=2) + "\n")
    (folder / "synthgap.json").write_text(json.dumps({"num_inference_steps": steps}, indent=2) + "\n")
