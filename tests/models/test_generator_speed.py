"""What makes a pipeline quick changes no image: chunks of the VAE, compiled parts, memory formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models import speed
from synthgap.models.generator import load_generator
from synthgap.models.speed import images_at_once, quicken

PROMPTS, SEEDS = ["a cat", "a dog", "a frog", "a ship"], [1, 2, 3, 4]


def load(folder: Path, resources: Resources | None = None) -> Any:
    return load_generator(GenerateSpec(generator=str(folder), num_inference_steps=2), resources)


def test_images_leave_the_vae_in_equal_chunks_that_fit(tiny_generator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(tiny_generator).draw(PROMPTS, SEEDS)
    monkeypatch.setattr(speed, "PIXELS_AT_ONCE", 3 * 32 * 32)
    generator, sizes = load(tiny_generator), []
    generator._pipeline.vae.decoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    drawn = generator.draw(PROMPTS, SEEDS)
    assert sizes == [2, 2]
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_a_chunk_is_never_empty_and_never_too_large() -> None:
    for count in range(1, 40):
        for pixels in (32 * 32, 512 * 512, 768 * 512, 4096 * 4096):
            size = images_at_once(count, pixels)
            assert count % size == 0
            assert size == 1 or size * pixels <= speed.PIXELS_AT_ONCE


def test_denoiser_and_decoder_are_compiled_when_asked(tiny_generator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **options: compiled.append((type(self).__name__, options))
    )
    load(tiny_generator)
    assert compiled == []
    load(tiny_generator, Resources(compile=True))
    assert compiled == [("UNet2DConditionModel", {"dynamic": False}), ("Decoder", {"dynamic": False})]


def test_convolutions_are_laid_out_for_a_gpu_only(tiny_generator: Path) -> None:
    pipeline = load(tiny_generator)._pipeline
    weights = [part.weight for part in (pipeline.unet.conv_in, pipeline.vae.decoder.conv_in)]
    assert not any(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    before = load(tiny_generator).draw(PROMPTS, SEEDS)
    quicken(pipeline, torch.device("cuda"), compiled=False)
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    generator = load(tiny_generator)
    quicken(generator._pipeline, torch.device("cuda"), compiled=False)
    assert np.abs(generator.draw(PROMPTS, SEEDS).astype(int) - before).max() <= 1
