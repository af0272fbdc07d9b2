"""The safety checker's verdicts are its own, and no image is blackened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec
from synthgap.models.generator import load_generator
from synthgap.models.pipeline_index import read_index
from synthgap.models.quiet import quiet
from synthgap.models.safety import SafetyChecker, load_safety_checker
from synthgap.testing import tiny_generator as write_tiny_generator

PROMPTS, SEEDS = ["a cat", "a dog", "a frog", "a ship"], [1, 2, 3, 4]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_generator(tmp_path_factory.mktemp("checked") / "checked", safety_checker=True)


def pictures(n: int) -> np.ndarray:
    """Random images that differ in more than noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def place_thresholds(model: Any, embedding: torch.Tensor) -> None:
    """Thresholds at which about half of the images are near a special-care concept, and half are flagged."""
    for concepts, share in (("special_care_embeds", 0.8), ("concept_embeds", 0.96)):
        directions = torch.nn.functional.normalize(getattr(model, concepts))
        cosine = torch.nn.functional.normalize(embedding) @ directions.T
        getattr(model, f"{concepts}_weights").data = cosine.quantile(share, dim=0)


def test_flags_are_what_the_checker_itself_says(checked: Path) -> None:
    checker = load_safety_checker(read_index(checked), None, CPU)
    assert checker is not None
    model, images = checker._model, pictures(200)
    with torch.no_grad():
        pixels = checker._processor([Image.fromarray(image) for image in images], return_tensors="pt").pixel_values
        place_thresholds(model, model.visual_projection(model.vision_model(pixels)[1]))
        with quiet():
            _, expected = model(clip_input=pixels, images=np.zeros((200, 2, 2, 3)))
    before = images.copy()
    scores, flags = checker.score(images)
    assert flags.tolist() == expected and 40 < sum(expected) < 160
    assert scores.dtype == np.float32 and np.array_equal(flags, scores > 0)
    assert np.array_equal(images, before)
    # The special-care concepts decide some of them.
    model.special_care_embeds_weights.data.fill_(2)
    assert 0 < (flags & ~checker.score(images)[1]).sum() < flags.sum()


def test_the_score_is_the_largest_excess_over_a_threshold() -> None:
    """By hand: two images along the axes, two concepts, one special-care concept near the first image only."""

    class Model(torch.nn.Module):
        concept_embeds = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        concept_embeds_weights = torch.tensor([0.4, 0.305])
        special_care_embeds = torch.tensor([[2.0, 0.0]])
        special_care_embeds_weights = torch.tensor([0.5])

        def vision_model(self, pixels: torch.Tensor) -> tuple[None, torch.Tensor]:
            return None, pixels

        def visual_projection(self, pooled: torch.Tensor) -> torch.Tensor:
            return pooled

    class Pixels:
        pixel_values = torch.tensor([[5.0, 0.0], [4.0, 3.0], [-1.0, 0.0]]) / 5

    checker = SafetyChecker(Model(), lambda *_, **__: Pixels(), CPU)
    scores, flags = checker.score(np.zeros((3, 2, 2, 3), np.uint8))
    # 1 - 0.4 + 0.01; 0.8 - 0.4 + 0.01, as 0.8 is over 0.5 too; 0 - 0.305 without special care
    assert scores == pytest.approx([0.61, 0.41, -0.305], abs=1e-6)
    assert flags.tolist() == [True, True, False]


def test_images_are_scored_and_stay_as_they_are(checked: Path) -> None:
    spec = GenerateSpec(generator=str(checked), num_inference_steps=2)
    generator = load_generator(spec)
    with_checker, without = (
        load_generator(spec.model_copy(update={"safety_checker": on})).sample(PROMPTS, SEEDS) for on in (True, False)
    )
    assert with_checker.safety_scores is not None and with_checker.safety_scores.shape == (4,)
    assert with_checker.safety_flags is not None and with_checker.safety_flags.any()
    assert without.safety_scores is None and without.safety_flags is None
    assert np.array_equal(with_checker.images, without.images) and generator.notes == ()
    with quiet():
        own = StableDiffusionPipeline.from_pretrained(str(checked))
        own.set_progress_bar_config(disable=True)
        generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
        told = own(PROMPTS, generator=generators, num_inference_steps=2).nsfw_content_detected
    assert with_checker.safety_flags.tolist() == told


def test_a_pipeline_without_checker_scores_nothing(tiny_generator: Path) -> None:
    drawn = load_generator(GenerateSpec(generator=str(tiny_generator))).sample(PROMPTS, SEEDS)
    assert drawn.safety_scores is None and drawn.safety_flags is None


def test_a_checker_that_is_named_and_not_there_is_said(checked: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checked, tmp_path / "copy")
    shutil.rmtree(folder / "safety_checker")
    generator = load_generator(GenerateSpec(generator=str(folder)))
    assert generator.sample(["a cat"], [1]).safety_flags is None
    assert len(generator.notes) == 1 and "images are not scored" in generator.notes[0]
    assert load_generator(GenerateSpec(generator=str(folder), safety_checker=False)).notes == ()


def test_a_damaged_checker_is_one_line(checked: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checked, tmp_path / "copy")
    (folder / "safety_checker" / "config.json").write_text(json.dumps({"projection_dim": 9}))
    with pytest.raises(InputError, match=r"cannot load the safety checker .* draw with safety_checker off") as caught:
        load_generator(GenerateSpec(generator=str(folder)))
    assert "\n" not in str(caught.value)
