"""A generator that is a text-to-image pipeline of diffusers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from packaging.version import Version

from synthgap.core.errors import GeneratorMemoryError, InputError, SynthgapError
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.devices import pick_device, pick_dtype
from synthgap.models.drawn import Drawn, as_drawn, finite_images, resolved_settings, with_memory_told
from synthgap.models.families import FAMILIES, starting_noise
from synthgap.models.folders import ModelFolder
from synthgap.models.pipeline_index import PipelineIndex, read_index
from synthgap.models.prompt_cache import PromptCache, longest_prompt
from synthgap.models.quiet import quiet
from synthgap.models.safety import SafetyChecker, load_safety_checker, names_checker
from synthgap.models.settings import Settings, pipeline_settings, scheduler_class
from synthgap.models.speed import quicken

_DTYPE_ARGUMENT = "dtype" if Version(diffusers.__version__) >= Version("0.42") else "torch_dtype"


class PipelineGenerator:
    """Draws images: one starting noise per seed, from a CPU generator of its own.

    The noise of an image depends on its seed alone, and is drawn in float32 whatever the precision of the model, for
    the families of ``FAMILIES``. The pixels are the same bytes for a batch of the same size, whatever else is in it; in
    a batch of another size they agree up to rounding of the matrix products.
    """

    def __init__(self, pipeline: Any, source: ModelFolder, settings: Settings, checker: SafetyChecker | None) -> None:
        spec = settings.spec
        self._pipeline, self._checker, self._dtype = pipeline, checker, pipeline.dtype
        self._negative_prompt = spec.negative_prompt
        self.name = source.name
        self.revision = source.revision
        self.fingerprint = source.fingerprint
        self.guidance_scale: float | None = spec.guidance_scale
        self.num_inference_steps: int | None = spec.num_inference_steps
        self.scheduler: str | None = spec.scheduler
        self.height: int | None = spec.height
        self.width: int | None = spec.width
        self.notes: tuple[str, ...] = settings.notes
        self._family = FAMILIES.get(type(pipeline).__name__)
        self._longest = longest_prompt(pipeline)
        self._cache = None
        if self._family is not None:
            self._cache = PromptCache(
                pipeline,
                self._family,
                negative_prompt=spec.negative_prompt,
                guided=settings.guided,
                longest=self._longest,
            )
        self._accepted = frozenset(inspect.signature(pipeline.__call__).parameters)

    @property
    def resolved(self) -> dict[str, Any]:
        """The settings that the spec left to the generator, as they are used; None where it has no such setting."""
        return resolved_settings(self)

    @property
    def cut_prompts(self) -> int:
        """How many distinct prompts so far were longer than the text encoder's context, and lost their end."""
        return 0 if self._cache is None else self._cache.cut

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Draw one image per prompt and seed, in one batch: (b, height, width, 3) uint8 RGB; RunError for NaN."""
        return finite_images(self.sample(prompts, seeds))

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], *, on_step: Callable[[], None] | None = None
    ) -> Drawn:
        """Draw one image per prompt and seed, in one batch, and say which are finite.

        ``on_step`` is called after every denoising step, where the pipeline allows; it may raise to give the batch up.

        Raises GeneratorMemoryError where the device has no memory for so many images at once.
        """
        if len(prompts) != len(seeds) or not prompts:
            raise InputError(
                f"expected one seed per prompt and at least one, found {len(prompts)} prompts and {len(seeds)} seeds"
            )
        try:
            return with_memory_told(lambda: self._sample(list(prompts), seeds, on_step), len(prompts))
        except GeneratorMemoryError:
            # SDXL decodes float16 in float32, and puts its VAE back only where that went well.
            if isinstance(vae := getattr(self._pipeline, "vae", None), torch.nn.Module):
                vae.to(self._dtype)
            raise

    def _sample(self, prompts: list[str], seeds: Sequence[int], on_step: Callable[[], None] | None) -> Drawn:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            arguments = self._arguments(prompts, generators) | self._callback(on_step)
            drawn = as_drawn(self._pipeline(**arguments, output_type="pt").images)
        if self._checker is None:
            return drawn
        scores, flags = self._checker.score(drawn.images)
        return Drawn(drawn.images, drawn.finite, scores, flags)

    def _arguments(self, prompts: list[str], generators: list[torch.Generator]) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "height": self.height,
            "width": self.width,
            "max_sequence_length": self._longest,
        }
        arguments = {name: value for name, value in arguments.items() if value is not None and name in self._accepted}
        if self._cache is None or self._family is None:
            arguments["prompt"] = prompts
            if self._negative_prompt:
                arguments["negative_prompt"] = [self._negative_prompt] * len(prompts)
        else:
            if "negative_prompt" in self._accepted:
                arguments["negative_prompt"] = None  # PixArt's default is "", which it will not take beside embeddings
            # The noise comes first; schedulers that add noise on the way go on with the same generators.
            sides = self.height or 0, self.width or 0
            latents, more = starting_noise(self._pipeline, self._family, generators, *sides)
            arguments |= {**self._cache.arguments(prompts), "latents": latents, **more}
        return {**arguments, "generator": generators}

    def _callback(self, on_step: Callable[[], None] | None) -> dict[str, Any]:
        """Arguments that make the pipeline call ``on_step`` after every step, in one of the two ways there are."""
        if on_step is None:
            return {}

        def step_end(*_: Any) -> dict[str, Any]:
            on_step()
            return {}

        if "callback_on_step_end" in self._accepted:
            return {"callback_on_step_end": step_end, "callback_on_step_end_tensor_inputs": []}
        return {"callback": step_end, "callback_steps": 1} if "callback" in self._accepted else {}


def load_pipeline(spec: GenerateSpec, resources: Resources, source: ModelFolder) -> PipelineGenerator:
    """Load a pipeline's folder, on the device of ``resources``.

    Weights come from safetensors only and no code of a model's repository is run. The safety checker is kept apart
    from the pipeline, so that no image is blackened.

    Raises InputError where the folder cannot be read, or a setting cannot work with it.
    """
    device = pick_device(resources.device)
    dtype = pick_dtype(spec.dtype, device)
    settings = pipeline_settings(spec, source)
    index = read_index(source.folder)
    try:
        with quiet():
            pipeline = _load(index, spec, dtype).to(device)
            quicken(pipeline, device, compiled=resources.compile)
            checker = load_safety_checker(index, spec.variant, device) if spec.safety_checker else None
        if spec.safety_checker and names_checker(index) and checker is None:
            settings = settings.with_note(
                "the safety checker that its index names is not in the folder: images are not scored"
            )
        return PipelineGenerator(pipeline, source, settings, checker)
    except SynthgapError:
        raise
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"cannot load {source.folder} as a diffusers pipeline ({first}); expected a text-to-image pipeline with safetensors weights"
        ) from error


def _load(index: PipelineIndex, spec: GenerateSpec, dtype: torch.dtype) -> Any:
    # Parts that the folder leaves empty, such as T5 in Stable Diffusion 3: diffusers wants to hear of some of them.
    options: dict[str, Any] = {name: None for name, entry in index.document.items() if entry == [None, None]}
    if "safety_checker" in index.document:
        options |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    # Named only where the pipeline has them: diffusers complains of others.
    options = {name: value for name, value in options.items() if name in index.init}
    if "add_watermarker" in index.init:
        options["add_watermarker"] = False  # it would change the pixels that are measured
    options |= {_DTYPE_ARGUMENT: dtype, "use_safetensors": True, "variant": spec.variant, "local_files_only": True}
    loader = AutoPipelineForText2Image if index.is_known_to_auto else DiffusionPipeline
    pipeline = loader.from_pretrained(str(index.folder), **options)
    if spec.scheduler is not None:
        pipeline.scheduler = scheduler_class(spec.scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
