"""The settings that a spec leaves to the generator, read from its folder without its weights.

In this order: the spec, ``synthgap.json`` beside ``model_index.json``, what the configuration or else the name says of a
few-step model, the defaults of the pipeline's own call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers

from synthgap.core.errors import InputError, nearest
from synthgap.core.specs import GenerateSpec
from synthgap.models.families import FAMILIES, embeds_guidance, native_size, side_multiple
from synthgap.models.folders import ModelFolder
from synthgap.models.pipeline_index import PipelineIndex, read_index, read_json

DEFAULT_STEPS = 50
"""As in diffusers, for a pipeline whose call has no default."""
FEW_STEPS = 4
"""For models distilled to few steps, where nothing says how many; within the one to eight that they are made for."""
HINTS = "synthgap.json"
"""Optional file beside ``model_index.json`` with what the generator works best with: ``{"num_inference_steps": 20}``."""
_HINTED = ("num_inference_steps", "guidance_scale")
_GUIDANCE_BY_NAME = {"turbo": 0.0, "lightning": 0.0, "hyper": 0.0, "schnell": 0.0, "lcm": 1.0}
"""Words in a model's name that mean few steps, and the guidance they are distilled for; 0 and 1 both mean none."""
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a generator will draw with."""

    spec: GenerateSpec
    """The spec with every setting filled in that the generator has."""
    guided: bool
    """Whether there is an unconditional branch, and a negative prompt has an effect."""
    notes: tuple[str, ...] = ()
    """What was assumed, a line each, with how to override it."""

    def with_note(self, note: str) -> Settings:
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))


@dataclass(frozen=True, slots=True)
class _FewSteps:
    """A model that was distilled to draw in few steps."""

    because: str
    guidance_scale: float | None
    """None where the pipeline's own default holds."""
    takes_guidance: bool = False


def pipeline_settings(spec: GenerateSpec, source: ModelFolder) -> Settings:
    """Fill in what a spec leaves open, from a pipeline's folder.

    Raises InputError where the folder is no pipeline that can be drawn with, or a setting cannot work with it.
    """
    index = read_index(source.folder)
    call, hints, distilled = index.call, _hints(source.folder), _few_steps(index, source.name)
    defaults: dict[str, Any] = {
        "num_inference_steps": _default(index, "num_inference_steps") or DEFAULT_STEPS,
        "guidance_scale": _floating(_default(index, "guidance_scale")),
        "scheduler": index.components.get("scheduler"),
    }
    defaults["height"], defaults["width"] = native_size(index)
    if distilled is not None:
        defaults["num_inference_steps"] = FEW_STEPS
        if distilled.guidance_scale is not None:
            defaults["guidance_scale"] = distilled.guidance_scale
    given = {name: value for name in defaults if (value := getattr(spec, name)) is not None}
    if "guidance_scale" in given and "guidance_scale" not in call:
        raise InputError(f"{index.class_name} takes no guidance_scale; leave it out")
    if spec.scheduler is not None:
        scheduler_class(spec.scheduler)
    filled = spec.model_copy(update=defaults | hints | given)
    _check_size(index, filled)
    guided = (filled.guidance_scale or 0) > 1 and not embeds_guidance(index)
    notes = [*_assumptions(distilled, filled, given, hints), *_without_effect(index, filled, distilled, guided)]
    return Settings(filled, guided, tuple(notes))


def scheduler_class(name: str) -> Any:
    """The diffusers scheduler class of that name; raises InputError where there is none."""
    found = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if not isinstance(found, type):
        known = [other for other in dir(diffusers) if other.endswith("Scheduler") and not other.startswith("Flax")]
        raise InputError(f"diffusers has no scheduler {name!r}{nearest(name, known)}")
    return found


def _default(index: PipelineIndex, name: str) -> Any:
    """A number that is the default of the pipeline's call, or None."""
    default = index.call[name].default if name in index.call else None
    return default if isinstance(default, (int, float)) else None


def _floating(value: Any) -> float | None:
    """5 and 5.0 are one setting, and one fingerprint."""
    return None if value is None else float(value)


def _few_steps(index: PipelineIndex, name: str) -> _FewSteps | None:
    """Whether a model draws in few steps: by its configuration where that tells, else by its name."""
    if index.class_name == "LatentConsistencyModelPipeline":
        return None  # its call has defaults of its own
    if index.class_name == "FluxPipeline" and not index.config("transformer").get("guidance_embeds", False):
        return _FewSteps("guidance_embeds is false in its transformer, as in FLUX.1 schnell", 0.0)
    if index.config("unet").get("time_cond_proj_dim") is not None:
        return _FewSteps("time_cond_proj_dim is set in its unet, as in latent consistency models", None, True)
    if index.components.get("scheduler") == "LCMScheduler":
        return _FewSteps("its scheduler is LCMScheduler", 1.0)
    words = [word.lower() for word in _WORDS.findall(name.rsplit("/", maxsplit=1)[-1])]
    for word, guidance_scale in _GUIDANCE_BY_NAME.items():
        if word in words:
            takes_guidance = embeds_guidance(index)
            return _FewSteps(f"{word!r} in its name", None if takes_guidance else guidance_scale, takes_guidance)
    return None


def _hints(folder: Path) -> dict[str, Any]:
    path = folder / HINTS
    if not path.is_file():
        return {}
    hints = read_json(path)
    for name in hints:
        if name not in _HINTED:
            raise InputError(f"{path}: unknown key {name!r}, expected {' or '.join(_HINTED)}{nearest(name, _HINTED)}")
    steps, guidance = hints.get("num_inference_steps", 1), hints.get("guidance_scale", 0)
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"{path}: num_inference_steps is {steps!r}, expected a whole number of at least 1")
    if not isinstance(guidance, (int, float)) or guidance < 0:
        raise InputError(f"{path}: guidance_scale is {guidance!r}, expected a number of at least 0")
    return {name: float(value) if name == "guidance_scale" else value for name, value in hints.items()}


def _check_size(index: PipelineIndex, spec: GenerateSpec) -> None:
    multiple = side_multiple(index)
    if any(side is not None and side % multiple for side in (spec.height, spec.width)):
        raise InputError(f"height {spec.height} and width {spec.width} must be multiples of {multiple}")


def _assumptions(
    distilled: _FewSteps | None, spec: GenerateSpec, given: Mapping[str, Any], hints: Mapping[str, Any]
) -> list[str]:
    """What was taken from the look of the model."""
    if distilled is None:
        return []
    assumed = {} if "num_inference_steps" in {*given, *hints} else {"num_inference_steps": spec.num_inference_steps}
    if distilled.guidance_scale is not None and "guidance_scale" not in {*given, *hints}:
        assumed["guidance_scale"] = spec.guidance_scale  # type: ignore[assignment]
    if not assumed:
        return []
    told = " and ".join(f"{name} {value:g}" for name, value in assumed.items())
    return [
        f"a few-step model ({distilled.because}): {told} assumed; say them yourself, or in a {HINTS} beside model_index.json"
    ]


def _without_effect(index: PipelineIndex, spec: GenerateSpec, distilled: _FewSteps | None, guided: bool) -> list[str]:
    """What was asked for in vain. Raises InputError for a negative prompt that the pipeline does not take at all."""
    notes = []
    if spec.negative_prompt and "negative_prompt" not in index.call:
        raise InputError(f"{index.class_name} takes no negative_prompt; leave it empty")
    if spec.negative_prompt and not guided and index.class_name in FAMILIES:
        why = "guidance is built into the model" if embeds_guidance(index) else "guidance above 1 steers away from it"
        notes.append(f"negative_prompt has no effect at guidance_scale {spec.guidance_scale or 0:g} here: {why}")
    if distilled is not None and not distilled.takes_guidance and (spec.guidance_scale or 0) > 1:
        notes.append(
            f"guidance_scale {spec.guidance_scale:g} on a model distilled to draw without ({distilled.because}); "
            f"0 is what it was made for"
        )
    return notes
