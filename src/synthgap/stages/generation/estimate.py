"""What a set will take, before it is drawn: images, prompts, disk, and time by a batch that is drawn on trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from synthgap.core.counting import counted
from synthgap.core.errors import InputError, RunError
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.devices import pick_devices
from synthgap.models.folders import ModelFolder, locate_generator
from synthgap.models.generator import load_generator, resolve_settings, settings_notes
from synthgap.stages.generation.artist import Artist
from synthgap.stages.generation.drawing import plan_for
from synthgap.store.plan import layout, read_shards, summary
from synthgap.store.sets import PlannedImage

EXAMPLES = 5


@dataclass(frozen=True)
class Estimate:
    """What a set will take."""

    images: int
    images_there: int
    """Of these, in shards of an earlier run that stay as they are."""
    classes: int
    images_by_split: dict[str, int]
    smallest_class: int
    largest_class: int
    """Train images of a class."""
    prompts: int
    """Different ones."""
    examples: list[str]
    settings: dict[str, object]
    """Guidance, steps, scheduler, size, as they will be."""
    notes: list[str]
    """How ambiguous names were read, and the like."""
    devices: list[str]
    seconds_per_image: float | None
    """On one device, measured; None without a trial."""
    seconds: float | None
    bytes_per_image: float | None
    bytes: float | None


def estimate(spec: GenerateSpec, out: Path, resources: Resources | None = None, *, trial: bool = True) -> Estimate:
    """Estimate a set; nothing is written. ``trial`` loads the generator and draws two batches, the first to warm up.

    Raises as ``generate``, before it would have begun.
    """
    resources = resources or Resources()
    resolved, notes, source = _settings(spec, trial)
    plan = plan_for(spec, out)
    planned = {shard.shard: shard.fingerprint for shard in summary(plan)}
    before = read_shards(out) if layout(out) else []
    there = sum(shard.rows for shard in before if planned.get(shard.shard) == shard.fingerprint)
    prompts: set[str] = set()
    examples: list[str] = []
    by_split: dict[str, int] = {}
    for image in plan:
        by_split[image.split] = by_split.get(image.split, 0) + 1
        if image.prompt not in prompts:
            prompts.add(image.prompt)
            if len(examples) < EXAMPLES:
                examples.append(image.prompt)
    train = [count for (split, _), count in plan.counts.items() if split == "train"]
    devices = pick_devices(resources.device)
    seconds = size = None
    if trial:
        generator = load_generator(spec, resources.model_copy(update={"device": devices[0]}), source)
        artist = Artist(generator, spec, resources.model_copy(update={"device": devices[0]}))
        seconds, size = _measure(artist, list(islice(plan, artist.batch_size)))
    left = len(plan) - there
    return Estimate(
        images=len(plan),
        images_there=there,
        classes=len(plan.classes),
        images_by_split=by_split,
        smallest_class=min(train, default=0),
        largest_class=max(train, default=0),
        prompts=len(prompts),
        examples=examples,
        settings={
            name: getattr(resolved, name)
            for name in ("guidance_scale", "num_inference_steps", "scheduler", "height", "width")
        },
        notes=[*plan.notes, *notes],
        devices=devices,
        seconds_per_image=seconds,
        seconds=None if seconds is None else seconds * left / len(devices),
        bytes_per_image=size,
        bytes=None if size is None else size * left,
    )


def _settings(spec: GenerateSpec, trial: bool) -> tuple[GenerateSpec, tuple[str, ...], ModelFolder | None]:
    """Settings as the generator fills them in; without a trial it need not be at hand, and what it would fill in is None."""
    try:
        source = locate_generator(spec)
    except InputError as error:
        if trial:
            raise InputError(f"{error}; or count without it: --no-trial") from None
        return spec, (str(error),), None
    return resolve_settings(spec, source), settings_notes(spec, source), source


def _measure(artist: Artist, images: list[PlannedImage]) -> tuple[float, float]:
    """Seconds and bytes of an image: a batch, after one that warms up."""
    artist.draw(images, lambda: None)
    begun = time.perf_counter()
    drawn = artist.draw(images, lambda: None)
    seconds = (time.perf_counter() - begun) / artist.batch_size
    files = [artist.file(outcome.pixels) for outcome in drawn if outcome.pixels is not None]
    if not files:
        raise RunError(f"none of {counted(len(images), 'image')} on trial came out; the first: {drawn[0].error}")
    return seconds, sum(map(len, files)) / len(files)
