"""Presets: every key is one of a spec, every figure is the papers', and every set of the papers is there."""

from __future__ import annotations

import pytest

from synthgap.core.config import load_spec
from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import PromptWriter
from synthgap.stages.presets import find_preset, load_preset, presets
from synthgap.vocabulary import class_list

M = {
    # M 3: 1200 + 50 images of 1000 classes, SD v1.5; recipe and guidance of each set
    "m-synset": ("name", 7.5),
    "m-disamb": ("disambiguated", 7.5),
    "m-disamb2.5": ("disambiguated", 2.5),
    "m-cgs1.0": ("disambiguated", 1.0),
    "m-promptaug": ("augmented", 2.5),
}
S = {
    # S 5: SD v1.4, 50 steps, 512x384; class list, recipe, guidance, mean number of images of a class
    "s-100-name": ("imagenet-100", "name", 7.5, 1267),
    "s-100-hypernym": ("imagenet-100", "hypernym", 7.5, 1267),
    "s-100-definition": ("imagenet-100", "definition", 7.5, 1267),
    "s-100-multiple": ("imagenet-100", "multiple", 7.5, 1267),
    "s-100-multiple-different": ("imagenet-100", "multiple-different", 7.5, 1267),
    "s-100-background": ("imagenet-100", "background", 7.5, 1267),
    "s-100-all-six-10x": ("imagenet-100", "all-six", 7.5, 12669),
    "s-100-definition-2.0": ("imagenet-100", "definition", 2.0, 1267),
    "s-1k-definition": ("imagenet-1k", "definition", 7.5, 1280),
    "s-1k-background": ("imagenet-1k", "background", 7.5, 1280),
    "s-1k-definition-2.0": ("imagenet-1k", "definition", 2.0, 1280),
}


def test_all_sets_of_the_papers_are_there() -> None:
    assert set(presets()) == {*M, *S}
    assert all("\n" not in about and len(about) < 100 for about in presets().values())


@pytest.mark.parametrize("name", M)
def test_settings_of_m(name: str) -> None:
    spec = load_spec(GenerateSpec, load_preset(name))
    assert (spec.recipe, spec.guidance_scale) == M[name]
    assert (spec.classes, spec.per_class, spec.eval_per_class) == ("imagenet-1k", 1200, 50)
    assert "stable-diffusion-v1-5" in spec.generator
    # M prints none of these
    assert (spec.num_inference_steps, spec.scheduler, spec.width, spec.height) == (None, None, None, None)


def test_m_drew_1_250_000_images_per_set() -> None:
    spec = load_spec(GenerateSpec, load_preset("m-synset"))
    assert len(class_list(spec.classes)) * (spec.per_class + spec.eval_per_class) == 1_250_000


@pytest.mark.parametrize("name", S)
def test_settings_of_s(name: str) -> None:
    spec = load_spec(GenerateSpec, load_preset(name))
    assert (spec.classes, spec.recipe, spec.guidance_scale, spec.per_class) == S[name]
    assert (spec.generator, spec.num_inference_steps) == ("CompVis/stable-diffusion-v1-4", 50)
    assert (spec.width, spec.height, spec.scheduler, spec.eval_per_class) == (512, 384, None, 0)


@pytest.mark.parametrize(("classes", "printed"), [("imagenet-100", 126_689), ("imagenet-1k", 1_280_000)])
def test_counts_of_s_are_the_mean_of_the_printed_totals(classes: str, printed: int) -> None:
    for name, (listed, _, _, per_class) in S.items():
        if listed == classes:
            total = printed * (10 if name.endswith("10x") else 1)
            assert per_class == round(total / len(class_list(classes)))


@pytest.mark.parametrize("name", [*M, *S])
def test_every_preset_can_write_and_says_where_it_is_from(name: str) -> None:
    preset = find_preset(name)
    assert preset.name == name
    assert preset.source.startswith(name[0].upper())
    assert preset.silent
    entries = class_list("imagenet-100")
    assert PromptWriter.of(GenerateSpec(**preset.settings), entries).write(entries[0], 0).text


def test_a_caller_cannot_change_a_preset() -> None:
    load_preset("m-synset")["recipe"] = "definition"
    assert load_preset("m-synset")["recipe"] == "name"


@pytest.mark.parametrize(
    ("name", "message"),
    [("m-sinset", "did you mean 'm-synset'"), ("", "the presets are m-synset, "), ("x" * 999, "the presets are")],
)
def test_an_unknown_preset_is_answered(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_preset(name)
    assert "\n" not in str(error.value)
