"""Drawing: a plan becomes image shards (design section 3).

A shard is drawn in batches that depend on the plan and the batch size only, never on where an earlier run stopped; so
a run that was killed and repeated leaves the same bytes as one that was not.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from synthgap.core.errors import Interrupted, RunError, SynthgapError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.interruption import how_to_continue, interruptible
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.folders import ModelFolder, locate_generator
from synthgap.models.generator import Generator, load_generator
from synthgap.stages.generation.planning import Plan, plan_set
from synthgap.store.images import encode_jpeg, encode_png
from synthgap.store.manifest import Manifest
from synthgap.store.sets import ImageSet, PlannedImage

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
"""Called with images done, images in all, and what is being done."""

BUDGET_ROWS = 20
"""The failure budget is not looked at before this many images."""
SHARDS_IN_FLIGHT = 2
"""Finished shards that may wait to be written while the next is drawn; bounds the memory."""

Outcome = tuple[np.ndarray | None, str]
"""An image (h, w, 3) uint8, or None and why it failed."""


def generate(
    spec: GenerateSpec, out: Path, resources: Resources | None = None, progress: Progress | None = None
) -> Path:
    """Draw the set of a spec into the folder ``out``, or go on with what is there; returns ``out``.

    Shards that are whole stay as they are, apart from those with failed images: these are tried again.

    Raises:
        InputError: a class, recipe or generator that cannot be used, or a folder that holds something else.
        FingerprintError: the folder holds a set of another spec.
        RunError: the disk is full, or more than the failure budget of the images failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    resources = resources or Resources()
    plan = plan_set(spec)
    source = locate_generator(spec)
    image_set = ImageSet(out, set_manifest(plan, source))
    image_set.write_plan(plan.images())
    tally = _Tally(spec.failure_budget, image_set.planned_shards(), progress)
    done = image_set.done_shards()
    whole = {shard for shard, marker in done.items() if not marker.failed}
    pending = [shard for shard in tally.planned if shard not in whole]
    tally.skip(shard for shard in tally.planned if shard in whole)
    if not pending:
        return out
    generator = load_generator(spec, resources, source)
    with interruptible() as check:
        try:
            _draw(image_set, pending, _Artist(generator, spec, resources, tally, check))
        except Interrupted as stop:
            kept = sum(shard.rows for shard in image_set.done_shards().values())
            raise Interrupted(f"{stop}: {kept} of {len(plan)} images are in {out}; {how_to_continue()}") from None
    tally.close()
    if generator.cut_prompts:
        log.warning("%d prompts are longer than the generator reads, and were cut; shorten them", generator.cut_prompts)
    return out


def set_manifest(plan: Plan, source: ModelFolder) -> Manifest:
    """What identifies a set: the spec, its classes and prompts, and the generator's files."""
    # Files count by what they hold, and a failure budget changes no image.
    spec = plan.spec.model_dump(mode="json", exclude={"failure_budget"})
    spec |= {"generator": source.name, "classes": Path(plan.spec.classes).name}
    spec["overrides"] = plan.spec.overrides.name if plan.spec.overrides else None
    parents = {"generator": source.fingerprint, "prompts": plan.fingerprint}
    libraries = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    return Manifest(
        kind="image-set",
        fingerprint=fingerprint("image-set", spec, plan.class_names, parents),
        spec=spec,
        classes=plan.class_names,
        parents=parents,
        info={"images": len(plan), "notes": list(plan.notes), "libraries": libraries},
    )


class _Tally:
    """How far the run is, and whether too much of it failed."""

    def __init__(self, budget: float, planned: dict[str, int], progress: Progress | None) -> None:
        self.planned = planned
        self._budget, self._progress = budget, progress
        self._skipped = self._drawn = self._failed = 0
        self._error = ""

    def skip(self, shards: Iterable[str]) -> None:
        """Count shards that an earlier run finished."""
        self._skipped += sum(self.planned[shard] for shard in shards)
        self._report()

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Count images; raises RunError once more than the budget of at least ``BUDGET_ROWS`` images failed."""
        failures = [error for image, error in outcomes if image is None]
        self._drawn += len(outcomes)
        self._failed += len(failures)
        self._error = self._error or next(iter(failures), "")
        if self._drawn >= BUDGET_ROWS and self._failed > self._budget * self._drawn:
            self._stop()
        self._report()

    def close(self) -> None:
        """Raise RunError where no image at all came out, however few there were to draw."""
        if self._drawn and self._failed == self._drawn:
            self._stop()

    def _stop(self) -> None:
        raise RunError(
            f"{self._failed} of {self._drawn} images failed, more than failure_budget {self._budget:g} allows; "
            f"the first: {self._error}; mend the cause and run the same command again"
        )

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._skipped + self._drawn, sum(self.planned.values()), "images drawn")


@dataclass(frozen=True)
class _Artist:
    """What draws one batch after the other, whatever goes wrong."""

    generator: Generator
    spec: GenerateSpec
    resources: Resources
    tally: _Tally
    check: Callable[[], None]
    """Raises Interrupted when the run is to stop."""

    def draw(self, images: Sequence[PlannedImage]) -> list[Outcome]:
        """Draw images as one batch; where the batch as a whole fails, one by one."""
        prompts, seeds = [image.prompt for image in images], [image.seed for image in images]
        try:
            drawn = self.generator.sample(prompts, seeds, on_step=self.check)
        except SynthgapError:
            raise
        except Exception as error:
            if len(images) > 1:
                return [outcome for image in images for outcome in self.draw([image])]
            outcomes: list[Outcome] = [(None, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")]
        else:
            outcomes = [
                (image, "") if finite else (None, "the generator gave NaN")
                for image, finite in zip(drawn.images, drawn.finite, strict=True)
            ]
        self.tally.count(outcomes)
        return outcomes

    def row(self, image: PlannedImage, outcome: Outcome) -> dict[str, Any]:
        """One row of a shard, the image encoded; runs in a thread."""
        pixels, error = outcome
        generator = self.generator
        return {
            "image": None if pixels is None else _file_bytes(pixels, self.spec),
            "class_key": image.class_key,
            "image_key": image.image_key,
            "prompt": image.prompt,
            "recipe": image.recipe,
            "negative_prompt": self.spec.negative_prompt,
            "seed": image.seed,
            "guidance_scale": generator.guidance_scale,
            "num_inference_steps": generator.num_inference_steps,
            "scheduler": generator.scheduler,
            "generator": generator.name,
            "generator_revision": generator.revision,
            "width": generator.width if pixels is None else pixels.shape[1],
            "height": generator.height if pixels is None else pixels.shape[0],
            "error": error,
        }


def _draw(image_set: ImageSet, pending: Sequence[str], artist: _Artist) -> None:
    """Draw shards; images are encoded and shards written in threads while the next batch is drawn.

    However it ends, shards that were drawn to their end are written before this returns.
    """
    writes: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(artist.resources.workers) as encoders, ThreadPoolExecutor(1) as writer:
        for shard in pending:
            rows: list[Future[dict[str, Any]]] = []
            for batch in even_batches(list(image_set.read_plan(shard)), artist.resources.batch_size):
                artist.check()
                outcomes = artist.draw(batch)
                rows += [encoders.submit(artist.row, *pair) for pair in zip(batch, outcomes, strict=True)]
            writes.append(writer.submit(image_set.write_shard, shard, (row.result() for row in rows)))
            while len(writes) > SHARDS_IN_FLIGHT:
                writes.popleft().result()
        for write in writes:
            write.result()


def even_batches(images: Sequence[PlannedImage], batch_size: int) -> Iterator[Sequence[PlannedImage]]:
    """Cut a shard into as few batches as ``batch_size`` allows, of sizes that differ by at most one.

    80 images in batches of at most 64 are 40 and 40, not 64 and 16: small batches waste the machine.
    """
    count = -(-len(images) // batch_size)
    edges = [len(images) * number // count for number in range(count + 1)] if count else []
    for start, stop in pairwise(edges):
        yield images[start:stop]


def _file_bytes(pixels: np.ndarray, spec: GenerateSpec) -> bytes:
    if spec.image_format == "png":
        return encode_png(pixels)
    return encode_jpeg(pixels, quality=spec.jpeg_quality, subsampling=spec.jpeg_subsampling)
