"""A generator that is a user's own function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec
from synthgap.models.drawn import Drawn, as_drawn, finite_images, resolved_settings, with_memory_told
from synthgap.models.plugs import SETTINGS, Plug, plug_settings


class PlugGenerator:
    """Draws by calling ``function(prompts, seeds)``; that one seed gives one image is up to the function."""

    def __init__(self, plug: Plug, spec: GenerateSpec, device: torch.device) -> None:
        filled = plug_settings(plug, spec)
        self._plug = plug
        self.name = plug.name
        self.revision = plug.revision
        self.fingerprint = plug.fingerprint
        self.guidance_scale: float | None = filled.guidance_scale
        self.num_inference_steps: int | None = filled.num_inference_steps
        self.scheduler: str | None = filled.scheduler
        self.height: int | None = filled.height
        self.width: int | None = filled.width
        self.notes: tuple[str, ...] = ()
        wanted = {name: getattr(filled, name) for name in SETTINGS} | {"device": device}
        arguments = plug.arguments
        self._options = {name: value for name, value in wanted.items() if name in arguments and value is not None}
        try:
            inspect.signature(plug.function).bind([], [], **self._options)
        except TypeError as error:
            raise InputError(
                f"generator {plug.name} takes {inspect.signature(plug.function)} ({error}); expected (prompts, seeds)"
            ) from error

    @property
    def resolved(self) -> dict[str, Any]:
        """The settings that the spec left to the function; None where it has no such argument."""
        return resolved_settings(self)

    @property
    def cut_prompts(self) -> int:
        """Not known: 0."""
        return 0

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Draw one image per prompt and seed: (b, height, width, 3) uint8 RGB; raises RunError for NaN."""
        return finite_images(self.sample(prompts, seeds))

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], *, on_step: Callable[[], None] | None = None
    ) -> Drawn:
        """Draw one image per prompt and seed, in one call of the function; ``on_step`` is called before it.

        Raises InputError where the function returns anything but images, GeneratorMemoryError where memory is short.
        """
        if on_step is not None:
            on_step()

        def call() -> Drawn:
            return _as_drawn(self._plug.function(list(prompts), list(seeds), **self._options), len(prompts), self.name)

        return with_memory_told(call, len(prompts))


def _as_drawn(output: Any, count: int, name: str) -> Drawn:
    """Take what a function returned as ``count`` images."""
    if isinstance(output, torch.Tensor):
        output = output.detach()
    if isinstance(output, torch.Tensor) and output.is_floating_point():
        if output.ndim == 4 and output.shape[:2] == (count, 3) and _within_unit(output):
            return as_drawn(output)
    elif (images := _levels(output)) is not None and len(images) == count:
        return Drawn(np.ascontiguousarray(images), np.ones(count, dtype=bool))
    raise InputError(
        f"generator {name} returned {_told(output)}; expected for {count} prompts a uint8 array ({count}, height, width, 3), "
        f"a list of {count} PIL images of one size, or a float tensor ({count}, 3, height, width) in [0, 1]"
    )


def _levels(output: Any) -> np.ndarray | None:
    """(b, h, w, 3) uint8, or None where it is no such thing."""
    if isinstance(output, (list, tuple)):
        if not output or not all(isinstance(image, Image.Image) for image in output):
            return None
        if len({image.size for image in output}) > 1:
            return None
        return np.stack([np.asarray(image.convert("RGB")) for image in output])
    array = output.cpu().numpy() if isinstance(output, torch.Tensor) else output
    is_image = isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3
    return array if is_image else None


def _within_unit(pixels: torch.Tensor) -> bool:
    """Whether all numbers are in [0, 1]; NaN is not counted, as it marks a failed image."""
    known = pixels[~pixels.isnan()]
    return not len(known) or (float(known.min()) >= 0 and float(known.max()) <= 1)


def _told(output: Any) -> str:
    """What was found, in words."""
    if isinstance(output, (torch.Tensor, np.ndarray)):
        kind = str(output.dtype).removeprefix("torch.")
        numbers = 0 not in output.shape and kind.startswith(("float", "bfloat", "int", "uint"))
        extent = f" from {float(output.min()):g} to {float(output.max()):g}" if numbers else ""
        return f"{kind} of shape {tuple(output.shape)}{extent}"
    if isinstance(output, (list, tuple)):
        kinds = sorted({f"{i.width}x{i.height}" if isinstance(i, Image.Image) else type(i).__name__ for i in output})
        return f"{len(output)} things ({', '.join(kinds[:3])})"
    return f"a {type(output).__name__}"
