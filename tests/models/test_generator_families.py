"""Every family of pipelines, by configuration alone: drawn as diffusers draws it, embedded once, whatever the batch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from synthgap import testing
from synthgap.core.specs import GenerateSpec
from synthgap.models.generator import PipelineGenerator, load_generator
from synthgap.models.quiet import quiet

PROMPTS = ["a cat", "a dog", "a cat", "a very small frog"]
SEEDS = [11, 22, 33, 44]
SIZE = {"height": 32, "width": 32}

Write = Callable[[Path], Path]
FAMILIES: dict[str, tuple[Write, float, int, dict[str, Any]]] = {
    "sd1": (testing.tiny_generator, 7.5, 50, {}),
    "sd2": (testing.tiny_stable_diffusion_2, 7.5, 50, {}),
    "sdxl": (testing.tiny_stable_diffusion_xl, 5.0, 50, {}),
    "sd3": (testing.tiny_stable_diffusion_3, 7.0, 28, {}),
    "sd3-no-t5": (lambda folder: testing.tiny_stable_diffusion_3(folder, t5=False), 7.0, 28, {}),
    "flux-dev": (testing.tiny_flux, 3.5, 28, {}),
    "flux-schnell": (
        lambda folder: testing.tiny_flux(folder, guidance_embeds=False),
        0.0,
        4,
        {"max_sequence_length": 256},
    ),
    "pixart-alpha": (testing.tiny_pixart, 4.5, 20, {"use_resolution_binning": False}),
    "pixart-sigma": (
        lambda folder: testing.tiny_pixart(folder, sigma=True),
        4.5,
        20,
        {"use_resolution_binning": False},
    ),
    "lcm": (testing.tiny_lcm, 8.5, 4, {}),
}
"""Name -> writer, the pipeline's own guidance and steps, and what a bare call needs at this size."""


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name = request.param
    folder = FAMILIES[name][0](tmp_path_factory.mktemp("families") / name)
    (folder / "synthgap.json").unlink(missing_ok=True)
    return name, folder


def load(folder: Path, **settings: Any) -> PipelineGenerator:
    given = {"num_inference_steps": 2, **SIZE} | settings
    generator = load_generator(GenerateSpec(generator=str(folder), **given))
    assert isinstance(generator, PipelineGenerator)
    return generator


def bare(folder: Path, prompts: list[str], seeds: list[int], **settings: Any) -> np.ndarray:
    """What a user's own loop would get from diffusers, as uint8."""
    index = json.loads((folder / "model_index.json").read_text())
    empty = {name: None for name, entry in index.items() if entry == [None, None]}
    with quiet():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(str(folder), **empty)
        pipeline.set_progress_bar_config(disable=True)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        images = pipeline(prompts, generator=generators, output_type="np", **settings).images
    return np.round(images * 255).astype(np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> int:
    """Largest difference in grey levels."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_draws_what_the_bare_pipeline_draws(family: tuple[str, Path]) -> None:
    name, folder = family
    drawn = load(folder).draw(PROMPTS, SEEDS)
    expected = bare(folder, PROMPTS, SEEDS, num_inference_steps=2, **SIZE, **FAMILIES[name][3])
    assert drawn.shape == (4, 32, 32, 3)
    assert difference(drawn, expected) <= 1  # one prompt at a time through the text encoder rounds differently
    assert difference(drawn[0], drawn[2]) > 10  # one prompt, two seeds


def test_prompts_and_seeds_matter_and_neighbours_do_not(family: tuple[str, Path]) -> None:
    generator = load(family[1])
    drawn = generator.draw(PROMPTS, SEEDS)
    order = [2, 0, 3, 1]
    shuffled = generator.draw([PROMPTS[i] for i in order], [SEEDS[i] for i in order])
    assert np.array_equal(shuffled, drawn[order])  # bit for bit in a batch of the same size
    others = generator.draw(["a house", "a ship", PROMPTS[1], "a truck"], [5, 6, SEEDS[1], 7])
    assert np.array_equal(others[2], drawn[1])
    alone = np.concatenate([generator.draw([prompt], [seed]) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)])
    assert difference(alone, drawn) <= 2  # up to rounding in another one
    assert difference(generator.draw(["a house"] * 4, SEEDS)[1], drawn[1]) > 2  # the prompt is heard


def test_each_distinct_prompt_is_embedded_once(family: tuple[str, Path]) -> None:
    generator, calls = load(family[1]), dict.fromkeys(("text_encoder", "text_encoder_2", "text_encoder_3"), 0)
    encoders = {name: getattr(generator._pipeline, name, None) for name in calls}
    for name, encoder in encoders.items():
        if encoder is not None:
            encoder.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    for _ in range(2):
        generator.draw(PROMPTS, SEEDS)
    guided = not family[0].startswith(("flux", "lcm"))
    # Three prompts; the first again with the empty prompt, once, where guidance needs it. SDXL takes zeros for it.
    expected = 3 + (2 if guided and family[0] != "sdxl" else 1 if guided else 0)
    assert {name: calls[name] for name, encoder in encoders.items() if encoder is not None} == {
        name: expected for name, encoder in encoders.items() if encoder is not None
    }


def test_the_pipelines_own_settings_are_the_defaults(family: tuple[str, Path]) -> None:
    name, folder = family
    generator = load(folder, num_inference_steps=None, height=None, width=None)
    own_scheduler = json.loads((folder / "model_index.json").read_text())["scheduler"][1]
    side = 512 if name.startswith("flux") else 32
    assert generator.resolved == {
        "guidance_scale": FAMILIES[name][1],
        "num_inference_steps": FAMILIES[name][2],
        "scheduler": own_scheduler,
        "height": side,
        "width": side,
    }
    assert len(generator.notes) == (name == "flux-schnell")


@pytest.mark.parametrize("name", ["sdxl", "sd3", "pixart-alpha"])
def test_a_negative_prompt_steers_as_in_the_bare_pipeline(tmp_path: Path, name: str) -> None:
    folder = FAMILIES[name][0](tmp_path / name)
    drawn = load(folder, negative_prompt="a truck").draw(PROMPTS, SEEDS)
    expected = bare(
        folder,
        PROMPTS,
        SEEDS,
        num_inference_steps=2,
        negative_prompt=["a truck"] * 4,
        **SIZE,
        **FAMILIES[name][3],
    )
    assert difference(drawn, expected) <= 1
    assert difference(drawn, load(folder).draw(PROMPTS, SEEDS)) > 1


@pytest.mark.parametrize("name", ["sdxl", "sd3", "pixart-sigma"])
def test_without_guidance_there_is_no_second_branch(tmp_path: Path, name: str) -> None:
    folder = FAMILIES[name][0](tmp_path / name)
    generator, rows = load(folder, guidance_scale=1.0), []
    denoiser = getattr(generator._pipeline, "transformer", None) or generator._pipeline.unet
    denoiser.register_forward_pre_hook(
        lambda _, inputs, options: rows.append(len(inputs[0] if inputs else options["hidden_states"])), with_kwargs=True
    )
    drawn = generator.draw(PROMPTS, SEEDS)
    assert rows == [4, 4]
    expected = bare(folder, PROMPTS, SEEDS, num_inference_steps=2, guidance_scale=1.0, **SIZE, **FAMILIES[name][3])
    assert difference(drawn, expected) <= 1


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux-dev", "pixart-sigma", "lcm"])
def test_noise_is_the_same_in_every_precision(tmp_path: Path, name: str) -> None:
    folder = FAMILIES[name][0](tmp_path / name)
    fine, coarse = (load(folder, dtype=dtype).draw(PROMPTS, SEEDS) for dtype in ("float32", "bfloat16"))
    assert np.abs(coarse.astype(int) - fine).mean() < 5  # other noise would differ by some 40 levels


def test_a_batch_can_be_given_up_in_every_family(family: tuple[str, Path]) -> None:
    steps: list[int] = []
    load(family[1]).sample(PROMPTS, SEEDS, on_step=lambda: steps.append(1))
    assert len(steps) == 2


def test_pixart_draws_in_the_shapes_it_was_made_for(tmp_path: Path) -> None:
    folder = testing.tiny_pixart(tmp_path / "pixart")
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sample_size": 32}))
    generator = load(folder, height=128, width=96)
    latents: list[torch.Size] = []
    generator._pipeline.transformer.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0].shape))
    drawn = generator.draw(["a cat"], [1])
    assert drawn.shape == (1, 128, 96, 3) and latents[0][-2:] == (288 // 4, 224 // 4)
    assert difference(drawn, bare(folder, ["a cat"], [1], num_inference_steps=2, height=128, width=96)) <= 1


def test_prompts_that_only_some_encoders_cut_are_whole(tmp_path: Path) -> None:
    generator = load(testing.tiny_stable_diffusion_3(tmp_path / "sd3"))
    generator.draw(["word " * 30, "word " * 90], [1, 2])  # CLIP reads 64 tokens, T5 256
    assert generator.cut_prompts == 1


def test_a_pipeline_saved_for_another_task_draws_from_text(tmp_path: Path, tiny_generator: Path) -> None:
    folder = shutil.copytree(tiny_generator, tmp_path / "copy")
    path = folder / "model_index.json"
    path.write_text(path.read_text().replace('"StableDiffusionPipeline"', '"StableDiffusionImg2ImgPipeline"'))
    saved, plain = (load(path, height=None, width=None) for path in (folder, tiny_generator))
    assert saved.resolved == plain.resolved
    assert np.array_equal(saved.draw(["a cat"], [1]), plain.draw(["a cat"], [1]))


def test_other_pipelines_are_given_their_prompts_as_text(tmp_path: Path, tiny_generator: Path) -> None:
    folder = shutil.copytree(tiny_generator, tmp_path / "copy")
    path = folder / "model_index.json"
    path.write_text(path.read_text().replace('"StableDiffusionPipeline"', '"StableDiffusionPAGPipeline"'))
    generator = load(folder, negative_prompt="a truck")
    assert generator._cache is None and generator.cut_prompts == 0
    drawn = generator.draw(PROMPTS, SEEDS)
    expected = bare(folder, PROMPTS, SEEDS, num_inference_steps=2, negative_prompt=["a truck"] * 4, **SIZE)
    assert difference(drawn, expected) == 0
    assert difference(drawn[1:2], generator.draw(PROMPTS[1:2], SEEDS[1:2])) <= 1
