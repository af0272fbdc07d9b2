"""What a spec leaves open is read from the folder alone; folders that bring code are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgap import testing
from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec
from synthgap.models.folders import ModelFolder
from synthgap.models.generator import load_generator, locate_generator, resolve_settings
from synthgap.models.settings import Settings, pipeline_settings

Edit = Callable[..., Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Copies a folder without its weights and changes its JSON files: ``edited(folder, unet={...})``."""

    def edit(folder: Path, name: str = "copy", **changes: dict[str, Any]) -> Path:
        target = shutil.copytree(
            folder, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "synthgap.json")
        )
        for part, update in changes.items():
            path = target / "model_index.json" if part == "index" else next((target / part).glob("*config.json"))
            path.write_text(json.dumps(json.loads(path.read_text()) | update))
        return target

    return edit


def settings(folder: Path, name: str | None = None, **given: Any) -> Settings:
    source = ModelFolder(name or folder.name, folder, "fingerprint", "revision")
    return pipeline_settings(GenerateSpec(generator=str(folder), **given), source)


def test_no_weights_are_read_and_filling_in_twice_changes_nothing(tiny_generator: Path, edited: Edit) -> None:
    folder = edited(tiny_generator)
    assert not list(folder.rglob("*.safetensors"))
    spec = GenerateSpec(generator=str(folder), seed=7)
    source = locate_generator(spec)
    filled = resolve_settings(spec, source)
    assert filled.model_dump(exclude_defaults=True) == {
        "generator": str(folder),
        "seed": 7,
        "guidance_scale": 7.5,
        "num_inference_steps": 50,
        "scheduler": "DPMSolverMultistepScheduler",
        "height": 32,
        "width": 32,
    }
    assert resolve_settings(filled, source) == filled


def test_what_is_resolved_is_what_is_drawn_with(tiny_generator: Path) -> None:
    spec = GenerateSpec(generator=str(tiny_generator), scheduler="EulerDiscreteScheduler", width=48)
    resolved = load_generator(spec).resolved
    assert resolved == resolve_settings(spec, locate_generator(spec)).model_dump(include=set(resolved))
    assert (resolved["scheduler"], resolved["width"]) == ("EulerDiscreteScheduler", 48)


def test_the_folder_asks_for_steps_and_guidance(tiny_generator: Path, edited: Edit) -> None:
    folder = edited(tiny_generator)
    (folder / "synthgap.json").write_text('{"num_inference_steps": 20, "guidance_scale": 3}')
    assert (settings(folder).spec.num_inference_steps, settings(folder).spec.guidance_scale) == (20, 3.0)
    given = settings(folder, num_inference_steps=7, guidance_scale=2.0).spec
    assert (given.num_inference_steps, given.guidance_scale) == (7, 2.0)


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ('{"num_inference_steps": "many"}', "'many', expected a whole number"),
        ('{"guidance_scale": -1}', "-1, expected a number"),
        ('{"guidence_scale": 1}', "unknown key 'guidence_scale'.*did you mean 'guidance_scale'"),
        ("[1]", "holds a list, expected a JSON object"),
        ("{", "expected JSON as diffusers saves it"),
    ],
)
def test_a_folder_that_asks_for_nonsense(tiny_generator: Path, edited: Edit, hints: str, message: str) -> None:
    folder = edited(tiny_generator)
    (folder / "synthgap.json").write_text(hints)
    with pytest.raises(InputError, match=message) as caught:
        settings(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "guidance"),
    [
        ("stabilityai/sdxl-turbo", 0.0),
        ("dreamshaperXL_v21TurboDPMSDE", 0.0),
        ("SDXL-Lightning", 0.0),
        ("Hyper-SD", 0.0),
        ("some-lcm", 1.0),
    ],
)
def test_few_step_models_are_known_by_name(tiny_generator: Path, edited: Edit, name: str, guidance: float) -> None:
    found = settings(edited(tiny_generator), name)
    assert (found.spec.num_inference_steps, found.spec.guidance_scale, found.guided) == (4, guidance, False)
    assert len(found.notes) == 1 and "in its name" in found.notes[0] and "say them yourself" in found.notes[0]
    said = settings(edited(tiny_generator, "again"), name, num_inference_steps=8, guidance_scale=1.0)
    assert (said.spec.num_inference_steps, said.spec.guidance_scale, said.notes) == (8, 1.0, ())


@pytest.mark.parametrize("name", ["lightning-ai/model", "turbofan", "hyperrealistic-v2", "plain"])
def test_other_names_mean_nothing(tiny_generator: Path, edited: Edit, name: str) -> None:
    found = settings(edited(tiny_generator), name)
    assert (found.spec.num_inference_steps, found.spec.guidance_scale, found.notes) == (50, 7.5, ())


def test_few_step_models_are_known_by_configuration_before_their_name(tiny_generator: Path, edited: Edit) -> None:
    consistent = settings(edited(tiny_generator, "a", unet={"time_cond_proj_dim": 16}), "sd-turbo")
    assert (consistent.spec.num_inference_steps, consistent.spec.guidance_scale, consistent.guided) == (4, 7.5, False)
    assert "time_cond_proj_dim" in consistent.notes[0] and "guidance_scale" not in consistent.notes[0]
    scheduled = settings(edited(tiny_generator, "b", index={"scheduler": ["diffusers", "LCMScheduler"]}))
    assert (scheduled.spec.num_inference_steps, scheduled.spec.guidance_scale) == (4, 1.0)
    assert "LCMScheduler" in scheduled.notes[0]


def test_flux_takes_guidance_whatever_its_name(tmp_path: Path) -> None:
    folder = testing.tiny_flux(tmp_path / "flux")
    hyper = settings(folder, "hyper-flux")
    assert (hyper.spec.num_inference_steps, hyper.spec.guidance_scale, len(hyper.notes)) == (4, 3.5, 1)
    assert settings(folder, "FLUX.1-dev").notes == ()


def test_what_has_no_effect_is_said(tmp_path: Path, tiny_generator: Path, edited: Edit) -> None:
    flux = testing.tiny_flux(tmp_path / "flux")
    assert "guidance is built into the model" in settings(flux, negative_prompt="a truck").notes[0]
    unguided = settings(tiny_generator, negative_prompt="a truck", guidance_scale=1.0)
    assert unguided.notes[0].startswith("negative_prompt has no effect at guidance_scale 1")
    assert settings(tiny_generator, negative_prompt="a truck").notes == ()
    turbo = settings(edited(tiny_generator), "sd-turbo", guidance_scale=7.5, num_inference_steps=1)
    assert turbo.guided and "0 is what it was made for" in turbo.notes[0]
    schnell = settings(testing.tiny_flux(tmp_path / "schnell", guidance_embeds=False), guidance_scale=3.5)
    assert any("guidance_scale 3.5" in note for note in schnell.notes)


def test_sizes_follow_from_the_configuration(tmp_path: Path, tiny_generator: Path, edited: Edit) -> None:
    wide = settings(edited(tiny_generator, "a", unet={"sample_size": [8, 12]})).spec
    assert (wide.height, wide.width) == (32, 48)
    # The first folders of Stable Diffusion say 32 and mean 64; diffusers reads them so.
    old = settings(edited(tiny_generator, "b", unet={"sample_size": 32, "_diffusers_version": "0.2.2"})).spec
    assert (old.height, old.width) == (256, 256)
    flux = testing.tiny_flux(tmp_path / "flux")
    with pytest.raises(InputError, match="height 36 and width 512 must be multiples of 8"):
        settings(flux, height=36)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"unet": ["my_code", "Net"]}, "unet is made by 'my_code'; only parts of diffusers and transformers"),
        ({"unet": ["os", "system"]}, "unet is made by 'os'"),
        ({"unet": ["../pipeline", "Net"]}, "unet is made by"),
        ({"unet": ["diffusers"]}, r"unet is \['diffusers'\], expected a library and a class"),
        ({"_class_name": ["pipeline", "Mine"]}, r"names the pipeline \['pipeline', 'Mine'\].*never run"),
        ({"_class_name": "StableDifusionPipeline"}, "did you mean 'StableDiffusionPipeline'"),
        ({"_class_name": "UNet2DModel"}, "names the pipeline 'UNet2DModel', which diffusers .* does not have"),
        ({"_class_name": "DDPMPipeline"}, "DDPMPipeline, which takes no prompt"),
    ],
)
def test_folders_that_bring_code_are_refused_before_anything_is_loaded(
    tiny_generator: Path, edited: Edit, index: dict[str, Any], message: str
) -> None:
    folder = edited(tiny_generator, index=index)
    ran = folder / "ran"
    for place in (folder / "my_code.py", folder / "unet" / "my_code.py", folder / "pipeline.py"):
        place.write_text(f"open({str(ran)!r}, 'w')\nclass Net: pass\nclass Mine: pass\n")
    spec = GenerateSpec(generator=str(folder))
    for attempt in (lambda: load_generator(spec), lambda: resolve_settings(spec, locate_generator(spec))):
        with pytest.raises(InputError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert not ran.exists()


def test_code_of_a_part_and_of_a_pipeline_within_is_refused(tiny_generator: Path, edited: Edit) -> None:
    folder = edited(tiny_generator, index={"tokenizer": ["transformers", "AutoTokenizer"]})
    path = folder / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": "mine.Tokenizer"}}))
    with pytest.raises(InputError, match="tokenizer asks for code of its own"):
        settings(folder)
    folder = edited(tiny_generator, "nested")
    (folder / "unet" / "model_index.json").write_text('{"_class_name": ["pipeline", "Mine"]}')
    with pytest.raises(InputError, match=r"unet.model_index.json names the pipeline"):
        settings(folder)


def test_a_safety_checker_of_diffusers_is_no_foreign_code(tiny_generator: Path, edited: Edit) -> None:
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    assert settings(edited(tiny_generator, index={"safety_checker": checker})).spec.guidance_scale == 7.5
