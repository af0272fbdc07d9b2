"""What every generator is, and what it gives: the interface between models and the stages that draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from synthgap.core.errors import GeneratorMemoryError, RunError

_MEMORY_SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
"""How torch's CPU, MPS, cuDNN and cuBLAS say it, which have no error class for it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one batch gave."""

    images: np.ndarray
    """(b, h, w, 3) uint8 RGB."""
    finite: np.ndarray
    """(b,) bool: False where the generator gave NaN, and the image is worthless."""
    safety_scores: np.ndarray | None = None
    """(b,) float32, above 0 where the safety checker flags the image; None where there is no checker."""
    safety_flags: np.ndarray | None = None
    """(b,) bool; None where there is no checker."""


class Generator(Protocol):
    """Draws images: one per prompt and seed. Either a pipeline of diffusers or a user's own function."""

    name: str
    """What people call it: ``lab``, a Hub id, a folder's last name, or a function's name."""
    revision: str
    fingerprint: str
    guidance_scale: float | None
    num_inference_steps: int | None
    scheduler: str | None
    height: int | None
    width: int | None
    notes: tuple[str, ...]
    """What was assumed about the generator, a line each, with how to override it."""

    @property
    def resolved(self) -> dict[str, Any]:
        """The settings that the spec left to the generator, as they are used; None where it has no such setting."""

    @property
    def cut_prompts(self) -> int:
        """How many distinct prompts so far were longer than the text encoder's context, and lost their end."""

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], *, on_step: Callable[[], None] | None = None
    ) -> Drawn:
        """Draw one image per prompt and seed, in one batch, and say which are finite.

        ``on_step`` is called after every denoising step, where the generator allows; it may raise to give the batch up.

        Raises GeneratorMemoryError where the device has no memory for so many images at once.
        """

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Draw one image per prompt and seed, in one batch: (b, height, width, 3) uint8 RGB.

        Raises RunError where the model gives NaN; ``sample`` tells which images instead.
        """


def resolved_settings(generator: Generator) -> dict[str, Any]:
    """The settings of a generator that a spec may leave open."""
    names = ("guidance_scale", "num_inference_steps", "scheduler", "height", "width")
    return {name: getattr(generator, name) for name in names}


def finite_images(drawn: Drawn) -> np.ndarray:
    """The images of a batch; raises RunError where one of them is not finite."""
    if not drawn.finite.all():
        raise RunError(
            f"the generator gave NaN for {int((~drawn.finite).sum())} of {len(drawn.finite)} images; try dtype float32"
        )
    return drawn.images


def as_drawn(pixels: torch.Tensor) -> Drawn:
    """Make a batch of (b, 3, h, w) pixels in [0, 1], rounded to 256 levels on the device they are on."""
    finite = pixels.isfinite().flatten(1).all(dim=1)
    # float32 first: bfloat16 cannot tell 256 levels apart near 1.
    levels = pixels.float().nan_to_num(0).mul(255).round().clamp(0, 255).to(torch.uint8)
    return Drawn(np.ascontiguousarray(levels.movedim(1, -1).cpu().numpy()), finite.cpu().numpy())


def with_memory_told(draw: Callable[[], Drawn], count: int) -> Drawn:
    """Draw ``count`` images; raises GeneratorMemoryError where the device has no memory for them."""
    try:
        return draw()
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        told = " ".join(str(error).split())[:200] or type(error).__name__
    # Outside the handler: the first error's traceback holds the very tensors that are in the way.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise GeneratorMemoryError(f"no memory for {count} images at once ({told})")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _MEMORY_SIGNS)
