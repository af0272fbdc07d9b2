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
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from synthgap.core.errors import InputError, Interrupted, RunError
from synthgap.core.specs import GenerateSpec
from synthgap.models import prompt_cache
from synthgap.models.generator import Generator, load_generator
from synthgap.models.quiet import quiet
from synthgap.testing.generators import tiny_generator as write_tiny_generator

SEEDS = [11, 22, 33, 44]
PROMPTS = ["a cat", "a dog", "a cat", "a very small frog"]


def load(folder: Path, **settings: Any) -> Generator:
    return load_generator(GenerateSpec(generator=str(folder), **settings))


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
def generator(tiny_generator: Path) -> Generator:
    return load(tiny_generator)


@pytest.mark.parametrize("guidance_scale", [7.5, 1.0])
def test_draws_what_the_bare_pipeline_draws(tiny_generator: Path, guidance_scale: float) -> None:
    drawn = load(tiny_generator, guidance_scale=guidance_scale).draw(PROMPTS, SEEDS)
    expected = bare(tiny_generator, PROMPTS, SEEDS, num_inference_steps=4, guidance_scale=guidance_scale)
    assert drawn.shape == (4, 32, 32, 3) and drawn.dtype == np.uint8
    assert difference(drawn, expected) <= 1  # one prompt at a time through the text encoder rounds differently
    assert difference(drawn[0], drawn[2]) > 10  # one prompt, two seeds


def test_negative_prompt_steers_as_in_the_bare_pipeline(tiny_generator: Path, generator: Generator) -> None:
    drawn = load(tiny_generator, negative_prompt="a truck").draw(PROMPTS, SEEDS)
    expected = bare(tiny_generator, PROMPTS, SEEDS, num_inference_steps=4, negative_prompt=["a truck"] * 4)
    assert difference(drawn, expected) <= 1
    assert difference(drawn, generator.draw(PROMPTS, SEEDS)) > 1


def test_same_prompt_and_seed_give_the_same_image_whatever_the_batch(generator: Generator) -> None:
    prompts, seeds = PROMPTS * 2, [*SEEDS, 5, 6, 7, 8]
    together = generator.draw(prompts, seeds)
    order = [5, 0, 7, 2, 1, 6, 3, 4]
    shuffled = generator.draw([prompts[i] for i in order], [seeds[i] for i in order])
    alone = np.concatenate([generator.draw([prompt], [seed]) for prompt, seed in zip(prompts, seeds, strict=True)])
    assert np.array_equal(shuffled, together[order])  # bit for bit in a batch of the same size
    assert difference(alone, together) <= 1  # up to rounding in another one


def test_noise_is_the_same_in_every_precision(tiny_generator: Path, generator: Generator) -> None:
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
    monkeypatch.setattr(prompt_cache, "KEPT_PROMPTS", 3)
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


def test_a_batch_can_be_given_up_between_steps(generator: Generator) -> None:
    steps = []

    def stop_at_two() -> None:
        steps.append(1)
        if len(steps) == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        generator.sample(PROMPTS, SEEDS, on_step=stop_at_two)
    assert len(steps) == 2
    generator.draw(PROMPTS, SEEDS)  # the pipeline is whole afterwards


def test_safety_checker_is_not_loaded(tmp_path: Path, tiny_generator: Path) -> None:
    folder = shutil.copytree(tiny_generator, tmp_path / "copy")
    index = json.loads((folder / "model_index.json").read_text())
    # Its folder is missing, so that loading it would fail.
    index |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": True,
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load(folder).draw(["a cat"], [1]).shape == (1, 32, 32, 3)


def test_large_images_leave_the_vae_one_by_one(tiny_generator: Path) -> None:
    assert load(tiny_generator, height=256)._pipeline.vae.use_slicing
    assert not load(tiny_generator)._pipeline.vae.use_slicing


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


def test_seeds_must_match_prompts(generator: Generator) -> None:
    with pytest.raises(InputError, match="found 2 prompts and 1 seeds"):
        generator.sample(["a", "b"], [1])


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "damaged")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cannot load .* as a diffusers pipeline") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def _save_xl(source: Path, folder: Path) -> None:
    """A Stable Diffusion XL pipeline from the parts of the tiny one."""
    config = CLIPTextConfig.from_pretrained(str(source / "text_encoder"), projection_dim=16)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        parts = diffusers.StableDiffusionPipeline.from_pretrained(str(source))
        unet = diffusers.UNet2DConditionModel.from_config(
            dict(parts.unet.config)
            | {
                "cross_attention_dim": 64,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 6 * 8 + 16,
            }
        )
        pipeline = diffusers.StableDiffusionXLPipeline(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            text_encoder_2=CLIPTextModelWithProjection(config).eval(),
            tokenizer=parts.tokenizer,
            tokenizer_2=parts.tokenizer,
            unet=unet,
            scheduler=diffusers.EulerDiscreteScheduler.from_config(parts.scheduler.config),
            add_watermarker=False,
        )
        pipeline.save_pretrained(str(folder))


@pytest.mark.parametrize("settings", [{}, {"negative_prompt": "a truck"}, {"guidance_scale": 1.0}])
def test_stable_diffusion_xl_draws_what_the_bare_pipeline_draws(
    tmp_path: Path, tiny_generator: Path, settings: dict[str, Any]
) -> None:
    _save_xl(tiny_generator, tmp_path / "xl")
    generator = load(tmp_path / "xl", num_inference_steps=2, **settings)
    drawn = generator.draw(PROMPTS, SEEDS)
    assert generator._cache is not None and generator._cache.computed == 3
    expected = bare(
        tmp_path / "xl",
        PROMPTS,
        SEEDS,
        num_inference_steps=2,
        guidance_scale=settings.get("guidance_scale", 7.5),
        negative_prompt=[settings["negative_prompt"]] * 4 if "negative_prompt" in settings else None,
    )
    assert difference(drawn, expected) <= 1


def test_other_pipelines_are_given_their_prompts_as_text(tmp_path: Path, tiny_generator: Path) -> None:
    with quiet():
        parts = diffusers.StableDiffusionPipeline.from_pretrained(str(tiny_generator))
        unet = diffusers.UNet2DConditionModel.from_config(dict(parts.unet.config) | {"time_cond_proj_dim": 16})
        components = {**parts.components, "unet": unet, "scheduler": diffusers.LCMScheduler()}
        pipeline = diffusers.LatentConsistencyModelPipeline(**components, requires_safety_checker=False)
        pipeline.save_pretrained(str(tmp_path / "lcm"))
    generator = load(tmp_path / "lcm", num_inference_steps=2)
    drawn = generator.draw(PROMPTS, SEEDS)
    assert difference(drawn, bare(tmp_path / "lcm", PROMPTS, SEEDS, num_inference_steps=2, guidance_scale=7.5)) == 0
    assert difference(drawn[1:2], generator.draw(PROMPTS[1:2], SEEDS[1:2])) <= 1
    with pytest.raises(InputError, match="takes no negative_prompt"):
        load(tmp_path / "lcm", negative_prompt="a truck")
