"""The generator: any text-to-image pipeline of diffusers, one image per prompt and seed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from packaging.version import Version

from synthgap.core.errors import InputError, RunError, SynthgapError, nearest
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.devices import pick_device, pick_dtype
from synthgap.models.folders import ModelFolder, locate_generator
from synthgap.models.prompt_cache import PromptCache
from synthgap.models.quiet import quiet

DEFAULT_STEPS = 50
"""As in diffusers."""
SLICED_SIDE = 256
"""Images this large leave the VAE one by one."""
HINTS = "synthgap.json"
"""Optional file beside ``model_index.json`` with what the generator works best with: ``{"num_inference_steps": 20}``."""
_DTYPE_ARGUMENT = "dtype" if Version(diffusers.__version__) >= Version("0.42") else "torch_dtype"


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one batch gave."""

    images: np.ndarray
    """(b, h, w, 3) uint8 RGB."""
    finite: np.ndarray
    """(b,) bool: False where the generator gave NaN, and the image is worthless."""


class Generator:
    """Draws images: one starting noise per seed, from a CPU generator of its own.

    The noise of an image depends on its seed alone, and is drawn in float32 whatever the precision of the model. The
    pixels are the same bytes for the same batch; in another batch they agree up to rounding of the matrix products.
    """

    def __init__(self, pipeline: Any, source: ModelFolder, spec: GenerateSpec, device: torch.device) -> None:
        self._pipeline, self._device = pipeline, device
        self._negative_prompt = spec.negative_prompt
        self.name = source.name
        self.revision = source.revision
        self.fingerprint = source.fingerprint
        self.guidance_scale = 7.5 if spec.guidance_scale is None else spec.guidance_scale
        self.num_inference_steps = spec.num_inference_steps or _hinted_steps(source.folder)
        self.scheduler = type(pipeline.scheduler).__name__
        self.height, self.width = _image_size(pipeline, spec)
        self._cache = _prompt_cache(pipeline, spec.negative_prompt, self.guidance_scale)
        self._accepted = frozenset(inspect.signature(pipeline.__call__).parameters)
        if self._negative_prompt and "negative_prompt" not in self._accepted:
            raise InputError(f"{type(pipeline).__name__} takes no negative_prompt; leave it empty")

    @property
    def resolved(self) -> dict[str, Any]:
        """The settings that the spec left to the generator, as they are used."""
        names = ("num_inference_steps", "scheduler", "height", "width")
        return {name: getattr(self, name) for name in names}

    @property
    def cut_prompts(self) -> int:
        """How many distinct prompts so far were longer than the text encoder's context, and lost their end."""
        return 0 if self._cache is None else self._cache.cut

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Draw one image per prompt and seed, in one batch: (b, height, width, 3) uint8 RGB.

        Raises RunError where the model gives NaN; ``sample`` tells which images instead.
        """
        drawn = self.sample(prompts, seeds)
        if not drawn.finite.all():
            raise RunError(
                f"the generator gave NaN for {int((~drawn.finite).sum())} of {len(seeds)} images; try dtype float32"
            )
        return drawn.images

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], *, on_step: Callable[[], None] | None = None
    ) -> Drawn:
        """Draw one image per prompt and seed, in one batch, and say which are finite.

        ``on_step`` is called after every denoising step, where the pipeline allows; it may raise to give the batch up.
        """
        if len(prompts) != len(seeds) or not prompts:
            raise InputError(
                f"expected one seed per prompt and at least one, found {len(prompts)} prompts and {len(seeds)} seeds"
            )
        arguments = self._arguments(list(prompts), [_noise(seed) for seed in seeds])
        if on_step is not None and "callback_on_step_end" in self._accepted:

            def step_end(*_: Any) -> dict[str, Any]:
                on_step()
                return {}

            arguments |= {"callback_on_step_end": step_end, "callback_on_step_end_tensor_inputs": []}
        with torch.inference_mode():
            pixels = self._pipeline(**arguments, output_type="pt").images
            finite = pixels.isfinite().flatten(1).all(dim=1)
            # float32 first: bfloat16 cannot tell 256 levels apart near 1.
            levels = pixels.float().nan_to_num(0).mul(255).round().clamp(0, 255).to(torch.uint8)
        return Drawn(np.ascontiguousarray(levels.movedim(1, -1).cpu().numpy()), finite.cpu().numpy())

    def _arguments(self, prompts: list[str], generators: list[torch.Generator]) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
        }
        sides = {"height": self.height, "width": self.width}
        arguments |= {name: side for name, side in sides.items() if side is not None}
        if self._cache is None:
            arguments["prompt"] = prompts
            if self._negative_prompt:
                arguments["negative_prompt"] = [self._negative_prompt] * len(prompts)
        else:
            # The noise comes first; schedulers that add noise on the way go on with the same generators.
            arguments |= {**self._cache.arguments(prompts), "latents": self._latents(generators)}
        return {**arguments, "generator": generators}

    def _latents(self, generators: list[torch.Generator]) -> torch.Tensor:
        """Starting noise of Stable Diffusion: (b, channels, height / scale, width / scale)."""
        sides = (self.height, self.width)
        latent_sides = [side // self._pipeline.vae_scale_factor for side in sides if side is not None]
        shape = (self._pipeline.unet.config.in_channels, *latent_sides)
        noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        return noise.to(self._device, self._pipeline.unet.dtype)


def load_generator(
    spec: GenerateSpec, resources: Resources | None = None, source: ModelFolder | None = None
) -> Generator:
    """Load the generator of a spec, on the device of ``resources``; ``source`` where it was located before.

    Weights come from safetensors only and no code of a model's repository is run. A safety checker is not loaded, so
    no image is blackened.

    Raises InputError where there is no such generator, it cannot be read, or the Hub cannot be reached for it.
    """
    resources = resources or Resources()
    device = pick_device(resources.device)
    dtype = pick_dtype(spec.dtype, device)
    source = source or locate_generator(spec)
    try:
        with quiet():
            pipeline = _load(source.folder, spec, device, dtype)
            return Generator(pipeline, source, spec, device)
    except SynthgapError:
        raise
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"cannot load {source.folder} as a diffusers pipeline ({first}); expected a text-to-image pipeline with safetensors weights"
        ) from error


def _load(folder: Path, spec: GenerateSpec, device: torch.device, dtype: torch.dtype) -> Any:
    parts = _read(folder / "model_index.json")
    # Named only where the pipeline has them: diffusers complains of others.
    unwanted: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    options: dict[str, Any] = {
        name: value for name, value in unwanted.items() if name in parts and "safety_checker" in parts
    }
    options |= {_DTYPE_ARGUMENT: dtype, "use_safetensors": True, "variant": spec.variant, "local_files_only": True}
    pipeline = DiffusionPipeline.from_pretrained(str(folder), **options)
    if spec.scheduler is not None:
        pipeline.scheduler = _scheduler(spec.scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    if isinstance(vae := getattr(pipeline, "vae", None), diffusers.AutoencoderKL):
        # One image after the other: no slower together, and large ones take memory by the GB.
        vae.use_slicing = max(vae.config.sample_size, spec.height or 0, spec.width or 0) >= SLICED_SIDE
    return pipeline.to(device)


def _scheduler(name: str) -> Any:
    """The diffusers scheduler class of that name."""
    found = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if not isinstance(found, type):
        known = [other for other in dir(diffusers) if other.endswith("Scheduler") and not other.startswith("Flax")]
        raise InputError(f"diffusers has no scheduler {name!r}{nearest(name, known)}")
    return found


def _is_stable_diffusion(pipeline: Any) -> bool:
    """Whether it is Stable Diffusion 1, 2 or XL, whose text embeddings and noise are made here.

    Other pipelines are given their prompts as text and make their noise themselves, from the same CPU generators.
    """
    return isinstance(pipeline, (StableDiffusionPipeline, StableDiffusionXLPipeline))


def _prompt_cache(pipeline: Any, negative_prompt: str, guidance_scale: float) -> PromptCache | None:
    if not _is_stable_diffusion(pipeline):
        return None
    # As the pipelines themselves decide it.
    guided = guidance_scale > 1 and pipeline.unet.config.time_cond_proj_dim is None
    return PromptCache(pipeline, negative_prompt, guided)


def _image_size(pipeline: Any, spec: GenerateSpec) -> tuple[int | None, int | None]:
    """(height, width) in pixels: of the spec, else what the pipeline was made for; None where only it knows."""
    height, width = spec.height, spec.width
    if _is_stable_diffusion(pipeline):
        native = pipeline.unet.config.sample_size
        rows, columns = (native, native) if isinstance(native, int) else native
        height = height or rows * pipeline.vae_scale_factor
        width = width or columns * pipeline.vae_scale_factor
    if any(side is not None and side % 8 for side in (height, width)):
        raise InputError(f"height {height} and width {width} must be multiples of 8")
    return height, width


def _hinted_steps(folder: Path) -> int:
    path = folder / HINTS
    if not path.is_file():
        return DEFAULT_STEPS
    steps = _read(path).get("num_inference_steps", DEFAULT_STEPS)
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"{path}: num_inference_steps is {steps!r}, expected a whole number of at least 1")
    return steps


def _noise(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
