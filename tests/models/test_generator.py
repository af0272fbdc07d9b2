"""The generator against the bare diffusers pipeline, and its promises on noise, batches, prompts and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from synthgap.core.errors import GeneratorMemoryError, InputError, Interrupted, RunError
from synthgap.core.specs import GenerateSpec
from synthgap.models import prompt_cache
from synthgap.models.generator import PipelineGenerator, load_generator
from synthgap.models.quiet import quiet
from synthgap.testing.generators import tiny_generator as write_tiny_generator

SEEDS = [11, 22, 33, 44]
PROMPTS = ["a cat", "a dog", "a cat", "a very small frog"]


def load(folder: Path, **settings: Any) -> PipelineGenerator:
    generator = load_generator(GenerateSpec(generator=str(folder), **settings))
    assert isinstance(generator, PipelineGenerator)
    return generator


def bare(folder: Path, prompts: list[str], seeds: list[int], **settings: Any) -> np.ndarray:
    """What a user's own loop would get from diffusers, as uint8."""
    with quiet():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(str(folder))
        pipeline.set_progress_bar_config(disable=True)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        images = pipeline(prompts, generator=generators, output_type="np", **settings).images
    return np.round(images * 255).astype(np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> int:
    """Largest difference in grey levels."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.fixture(scope="module")
def generator(tiny_generator: Path) -> PipelineGenerator:
    return load(tiny_generator)


@pytest.mark.parametrize("guidance_scale", [7.5, 1.0])
def test_draws_what_the_bare_pipeline_draws(tiny_generator: Path, guidance_scale: float) -> None:
    drawn = load(tiny_generator, guidance_scale=guidance_scale).draw(PROMPTS, SEEDS)
    expected = bare(tiny_generator, PROMPTS, SEEDS, num_inference_steps=4, guidance_scale=guidance_scale)
    assert drawn.shape == (4, 32, 32, 3) and drawn.dtype == np.uint8
    assert difference(drawn, expected) <= 1  # one prompt at a time through the text encoder rounds differently
    assert difference(drawn[0], drawn[2]) > 10  # one prompt, two seeds


def test_negative_prompt_steers_as_in_the_bare_pipeline(tiny_generator: Path, generator: PipelineGenerator) -> None:
    drawn = load(tiny_generator, negative_prompt="a truck").draw(PROMPTS, SEEDS)
    expected = bare(tiny_generator, PROMPTS, SEEDS, num_inference_steps=4, negative_prompt=["a truck"] * 4)
    assert difference(drawn, expected) <= 1
    assert difference(drawn, generator.draw(PROMPTS, SEEDS)) > 1


def test_same_prompt_and_seed_give_the_same_image_whatever_the_batch(generator: PipelineGenerator) -> None:
    prompts, seeds = PROMPTS * 2, [*SEEDS, 5, 6, 7, 8]
    together = generator.draw(prompts, seeds)
    order = [5, 0, 7, 2, 1, 6, 3, 4]
    shuffled = generator.draw([prompts[i] for i in order], [seeds[i] for i in order])
    alone = np.concatenate([generator.draw([prompt], [seed]) for prompt, seed in zip(prompts, seeds, strict=True)])
    assert np.array_equal(shuffled, together[order])  # bit for bit in a batch of the same size
    assert difference(alone, together) <= 1  # up to rounding in another one


def test_noise_is_the_same_in_every_precision(tiny_generator: Path, generator: PipelineGenerator) -> None:
    coarse = load(tiny_generator, dtype="bfloat16").draw(PROMPTS, SEEDS)
    error = np.abs(coarse.astype(int) - generator.draw(PROMPTS, SEEDS)).mean()
    assert error < 3  # other noise would differ by some 50 levels


def test_each_distinct_prompt_is_embedded_once(tiny_generator: Path) -> None:
    generator, calls = load(tiny_generator), []
    generator._pipeline.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        generator.draw(PROMPTS, SEEDS)
    assert len(calls) == 3 + 2  # three prompts; the first again with the empty prompt, once


def test_prompt_cache_is_bounded(tiny_generator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_cache, "KEPT_BYTES", 3 * 64 * 32 * 4)
    cache = load(tiny_generator)._cache
    assert cache is not None
    cache.arguments(["a", "b", "c", "d"])
    assert list(cache._kept) == ["b", "c", "d"] and cache.computed == 4
    cache.arguments(["b", "e", "b"])  # what was used last stays
    assert list(cache._kept) == ["d", "e", "b"] and cache.computed == 5


def test_prompts_beyond_the_context_are_counted(tiny_generator: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = load(tiny_generator)
    generator.draw(["short", "long " * 40], [1, 2])
    assert generator.cut_prompts == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("guidance_scale", "rows"), [(7.5, 8), (1.0, 4), (0.0, 4)])
def test_guidance_of_one_or_less_runs_without_guidance(tiny_generator: Path, guidance_scale: float, rows: int) -> None:
    generator, seen, texts = load(tiny_generator, guidance_scale=guidance_scale), [], []
    generator._pipeline.unet.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    generator._pipeline.text_encoder.register_forward_hook(lambda *_: texts.append(1))
    generator.draw(PROMPTS, SEEDS)
    assert seen == [rows] * 4
    assert len(texts) == (5 if rows == 8 else 3)  # the empty prompt is not embedded for nothing


def test_any_scheduler_and_its_own_noise_come_from_the_seed(tiny_generator: Path) -> None:
    generator = load(tiny_generator, scheduler="EulerAncestralDiscreteScheduler")
    assert generator.scheduler == "EulerAncestralDiscreteScheduler"
    together = generator.draw(PROMPTS, SEEDS)
    assert difference(generator.draw(PROMPTS[1:3], SEEDS[1:3]), together[1:3]) <= 1
    assert difference(together, load(tiny_generator).draw(PROMPTS, SEEDS)) > 1


def test_size_and_steps_of_the_spec_win(tiny_generator: Path) -> None:
    generator = load(tiny_generator, height=16, width=48, num_inference_steps=2)
    assert generator.draw(["a cat"], [1]).shape == (1, 16, 48, 3)
    assert generator.resolved == {
        "guidance_scale": 7.5,
        "num_inference_steps": 2,
        "scheduler": "DPMSolverMultistepScheduler",
        "height": 16,
        "width": 48,
    }


def test_steps_default_to_the_folder_then_to_fifty(tmp_path: Path, tiny_generator: Path) -> None:
    folder = shutil.copytree(tiny_generator, tmp_path / "copy")
    assert load(folder).num_inference_steps == 4
    (folder / "synthgap.json").unlink()
    assert load(folder).num_inference_steps == 50
    (folder / "synthgap.json").write_text(json.dumps({"num_inference_steps": "many"}))
    with pytest.raises(InputError, match="'many', expected a whole number"):
        load(folder)


def test_nan_images_are_told_apart(tiny_generator: Path) -> None:
    generator = load(tiny_generator)

    def spoil(_: Any, __: Any, decoded: torch.Tensor) -> torch.Tensor:
        decoded[1, 0, 0, 0] = float("nan")
        return decoded

    generator._pipeline.vae.decoder.register_forward_hook(spoil)
    drawn = generator.sample(PROMPTS, SEEDS)
    assert drawn.finite.tolist() == [True, False, True, True]
    assert drawn.images.shape == (4, 32, 32, 3)
    with pytest.raises(RunError, match="NaN for 1 of 4 images"):
        generator.draw(PROMPTS, SEEDS)


def test_a_batch_can_be_given_up_between_steps(generator: PipelineGenerator) -> None:
    steps = []

    def stop_at_two() -> None:
        steps.append(1)
        if len(steps) == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        generator.sample(PROMPTS, SEEDS, on_step=stop_at_two)
    assert len(steps) == 2
    generator.draw(PROMPTS, SEEDS)  # the pipeline is whole afterwards


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": "DDIMShceduler"}, "did you mean 'DDIMScheduler'"),
        ({"scheduler": "StableDiffusionPipeline"}, "no scheduler 'StableDiffusionPipeline'"),
        ({"height": 36}, "height 36 and width 32 must be multiples of 8"),
        ({"dtype": "float16"}, "float16 needs a GPU"),
    ],
)
def test_settings_that_cannot_work_are_one_line(tiny_generator: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(tiny_generator, **settings)
    assert "\n" not in str(caught.value)


def test_seeds_must_match_prompts(generator: PipelineGenerator) -> None:
    with pytest.raises(InputError, match="found 2 prompts and 1 seeds"):
        generator.sample(["a", "b"], [1])


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "damaged")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cannot load .* as a diffusers pipeline") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_want_of_memory_is_told_apart(tiny_generator: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    generator = load(tiny_generator)

    def decode(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(generator._pipeline.vae, "decode", decode)
    with pytest.raises(GeneratorMemoryError, match="no memory for 4 images at once") as caught:
        generator.sample(PROMPTS, SEEDS)
    assert isinstance(caught.value, RunError) and "\n" not in str(caught.value)
    # Neither holds the first error, nor with it the tensors that are in the way of a smaller batch.
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_other_errors_of_a_pipeline_stay_what_they_are(tiny_generator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = load(tiny_generator)
    monkeypatch.setattr(generator._pipeline.vae, "decode", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generator.sample(PROMPTS, SEEDS)
