"""The tiny models that ship for tests: plain calls load them, and the same seed writes the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import open_clip
import pytest
import torch
from transformers import CLIPModel, T5TokenizerFast

from synthgap import testing
from synthgap.core.fingerprint import folder_fingerprint
from synthgap.testing.tokens import tiny_t5_tokenizer

WRITERS = [getattr(testing, name) for name in testing.__all__]


@pytest.mark.parametrize("write", WRITERS)
def test_same_seed_same_bytes_and_the_global_generator_is_left_alone(tmp_path: Path, write: Any) -> None:
    state = torch.random.get_rng_state()
    folders = [write(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    prints = [folder_fingerprint(folder) for folder in folders]
    assert prints[0] == prints[1] != prints[2]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sum(path.stat().st_size for path in folders[0].rglob("*") if path.is_file()) < 2_000_000


def test_plain_calls_load_them(tiny_generator: Path, tiny_clip: Path, tiny_open_clip: Path) -> None:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(str(tiny_generator))
    assert (pipeline.unet.config.sample_size, pipeline.unet.config.in_channels, pipeline.vae_scale_factor) == (8, 12, 4)
    assert pipeline.tokenizer.model_max_length == 64
    assert pipeline("a cat", num_inference_steps=1).images[0].size == (32, 32)
    assert CLIPModel.from_pretrained(str(tiny_clip)).config.projection_dim == 24
    assert open_clip.create_model(f"local-dir:{tiny_open_clip}", require_pretrained=True).visual.image_size == (32, 32)


def test_the_tokenizer_can_write_anything(tiny_generator: Path) -> None:
    tokenizer = diffusers.StableDiffusionPipeline.from_pretrained(str(tiny_generator)).tokenizer
    text = "crane, naïve 鶴 🙂!"
    ids = tokenizer(text).input_ids
    assert (ids[0], ids[-1]) == (512, 513) and max(ids[1:-1]) < 512
    assert tokenizer.decode(ids[1:-1]).replace(" ", "") == text.replace(" ", "")


def test_the_t5_tokenizer_writes_ascii_and_ends_with_its_mark(tmp_path: Path) -> None:
    tiny_t5_tokenizer(tmp_path)
    tokenizer = T5TokenizerFast.from_pretrained(str(tmp_path))
    ids = tokenizer("a small, red crane!").input_ids
    assert ids[-1] == 1 and 2 not in ids and len(ids) == 1 + len("▁a▁small,▁red▁crane!")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a small, red crane!"
    assert tokenizer("鶴").input_ids[1:] == [2, 1]
