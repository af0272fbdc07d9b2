"""The generator of a spec: a text-to-image pipeline of diffusers, or a user's own function."""

from __future__ import annotations

from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.devices import pick_device
from synthgap.models.drawn import Drawn, Generator
from synthgap.models.folders import ModelFolder, locate_generator
from synthgap.models.pipelines import PipelineGenerator, load_pipeline
from synthgap.models.plug_generator import PlugGenerator
from synthgap.models.plugs import find_plug, plug_settings, register_generator
from synthgap.models.settings import pipeline_settings

__all__ = [
    "Drawn",
    "Generator",
    "PipelineGenerator",
    "PlugGenerator",
    "load_generator",
    "locate_generator",
    "register_generator",
    "resolve_settings",
    "settings_notes",
]


def load_generator(
    spec: GenerateSpec, resources: Resources | None = None, source: ModelFolder | None = None
) -> Generator:
    """Load the generator of a spec, on the device of ``resources``; ``source`` where it was located before.

    Weights come from safetensors only and no code of a model's repository is run. A safety checker scores images where
    the folder has one and the spec asks for it; none is blackened.

    Raises InputError where there is no such generator, it cannot be read, or the Hub cannot be reached for it.
    """
    resources = resources or Resources()
    if (plug := find_plug(spec.generator)) is not None:
        return PlugGenerator(plug, spec, pick_device(resources.device))
    return load_pipeline(spec, resources, source or locate_generator(spec))


def resolve_settings(spec: GenerateSpec, source: ModelFolder) -> GenerateSpec:
    """Fill in what a spec leaves to its generator (guidance, steps, scheduler, height, width), without its weights.

    A function of the spec and the files in ``source.folder`` alone; what only the pipeline itself knows stays None.
    Filled again, a spec stays as it is.

    Raises InputError where the folder is no pipeline that can be drawn with, or a setting cannot work with it.
    """
    if (plug := find_plug(spec.generator)) is not None:
        return plug_settings(plug, spec)
    return pipeline_settings(spec, source).spec


def settings_notes(spec: GenerateSpec, source: ModelFolder) -> tuple[str, ...]:
    """What is assumed about a generator, a line each, with how to override it; without its weights."""
    return () if find_plug(spec.generator) is not None else pipeline_settings(spec, source).notes
