"""The artist: draws planned images in batches of one shape, and makes files of them.

Batches always have ``batch_size`` rows (the last is filled up), because the pixels of an image depend on the shape of
its batch, by rounding, and on nothing else in it. So image k of class c is the same bytes on one device whatever is
drawn beside it, in which order, by how many workers and after which restart.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgap.core.errors import GeneratorMemoryError, RunError, SynthgapError
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.execution import Check
from synthgap.models.devices import pick_device
from synthgap.models.generator import Generator
from synthgap.store.images import encode_jpeg, encode_png
from synthgap.store.marks import Mark
from synthgap.store.sets import PlannedImage

log = logging.getLogger(__name__)

PIXELS_AT_ONCE = {"cpu": 32 * 32 * 32, "cuda": 32 * 512 * 512, "mps": 4 * 512 * 512}
"""Pixels of one batch that keep a device busy: 32 images of the lab, or one of 512x512, on a CPU; 32 of these on a GPU."""


def suitable_batch(height: int | None, width: int | None, device: str | None) -> int:
    """Images per batch where the user does not say: at least 1, at most 64.

    It follows from the size and the device alone, and not from how many images there are to draw, so that a set grows
    by the very images that a larger one would have had.

    >>> suitable_batch(32, 32, "cpu"), suitable_batch(512, 512, "cpu"), suitable_batch(1024, 1024, "cuda:1")
    (32, 1, 8)
    """
    room = PIXELS_AT_ONCE.get((device or str(pick_device(None))).split(":")[0], PIXELS_AT_ONCE["cpu"])
    return max(1, min(64, room // ((height or 512) * (width or 512))))


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    pixels: np.ndarray | None = None
    """(h, w, 3) uint8; None where it failed."""
    error: str = ""
    safety_score: float | None = None
    safety_flag: bool | None = None


class Artist:
    """Draws images in batches of one shape, whatever goes wrong with one of them, and makes files of them."""

    def __init__(self, generator: Generator, spec: GenerateSpec, resources: Resources) -> None:
        self._generator, self._spec = generator, spec
        self.batch_size = resources.batch_size or suitable_batch(generator.height, generator.width, resources.device)
        self._cut = 0

    def draw(self, images: Sequence[PlannedImage], check: Check) -> list[Outcome]:
        """Draw at most a batch; where it fails as a whole, its halves, so that one bad image costs no other."""
        if len(images) > self.batch_size:  # memory was short, and batches are smaller now
            return self._halves(images, check)
        filled = [*images, *[images[-1]] * (self.batch_size - len(images))]
        try:
            drawn = self._generator.sample(
                [image.prompt for image in filled], [image.seed for image in filled], on_step=check
            )
        except GeneratorMemoryError as error:
            if self.batch_size == 1:
                raise RunError(
                    f"{error}; one image at a time is the least: draw smaller ones or in bfloat16"
                ) from error
            self.batch_size = -(-self.batch_size // 2)
            log.warning("no memory for %d images at a time; going on with %d", len(filled), self.batch_size)
            return self.draw(images, check)
        except SynthgapError:
            raise
        except Exception as error:
            if len(images) > 1:
                return self._halves(images, check)
            return [Outcome(error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")]
        return [_outcome(drawn, number) for number in range(len(images))]

    def _halves(self, images: Sequence[PlannedImage], check: Check) -> list[Outcome]:
        middle = len(images) // 2
        return self.draw(images[:middle], check) + self.draw(images[middle:], check)

    def row(self, image: PlannedImage, outcome: Outcome) -> dict[str, Any]:
        """One row of a shard, the image encoded; runs in a thread."""
        generator, pixels = self._generator, outcome.pixels
        return {
            "image": None if pixels is None else self.file(pixels),
            "class_key": image.class_key,
            "image_key": image.image_key,
            "prompt": image.prompt,
            "recipe": image.recipe,
            "negative_prompt": self._spec.negative_prompt,
            "seed": image.seed,
            "guidance_scale": generator.guidance_scale,
            "num_inference_steps": generator.num_inference_steps,
            "scheduler": generator.scheduler,
            "generator": generator.name,
            "generator_revision": generator.revision,
            "width": generator.width if pixels is None else pixels.shape[1],
            "height": generator.height if pixels is None else pixels.shape[0],
            "safety_score": outcome.safety_score,
            "safety_flag": outcome.safety_flag,
            "error": outcome.error,
        }

    def file(self, pixels: np.ndarray) -> bytes:
        """The image file of (h, w, 3) uint8 pixels, marked as drawn by a model."""
        spec, mark = self._spec, Mark(generator=self._generator.name)
        if spec.image_format == "png":
            return encode_png(pixels, mark=mark)
        return encode_jpeg(pixels, quality=spec.jpeg_quality, subsampling=spec.jpeg_subsampling, mark=mark)

    def warn_of_cut_prompts(self) -> None:
        """Say how many prompts were longer than the generator reads, once."""
        if self._generator.cut_prompts > self._cut:
            self._cut = self._generator.cut_prompts
            log.warning("%d prompts are longer than the generator reads, and were cut; shorten them", self._cut)


def _outcome(drawn: Any, number: int) -> Outcome:
    if not drawn.finite[number]:
        return Outcome(error="the generator gave NaN")
    scores, flags = drawn.safety_scores, drawn.safety_flags
    score = None if scores is None else float(scores[number])
    return Outcome(drawn.images[number], "", score, None if flags is None else bool(flags[number]))
