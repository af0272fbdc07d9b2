"""The worker of a set: draws shards, whatever was drawn before, and writes them while the next batch is drawn.

Batches are filled across shards (see ``artist``). A batch has one guidance and number of steps: shards whose class has
its own come after the others, one such setting after the other, each with a generator loaded for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from synthgap.core.specs import GenerateSpec, Resources
from synthgap.execution import Check, Tell, Tick
from synthgap.models.generator import load_generator
from synthgap.stages.generation.artist import Artist
from synthgap.store.sets import ImageSet, PlannedImage, Settings

SHARDS_IN_FLIGHT = 2
"""Finished shards that may wait to be written while the next is drawn; bounds the memory."""


@dataclass(frozen=True)
class DrawJob:
    """A set to draw, for any process that sees its folder."""

    spec: GenerateSpec
    out: Path
    resources: Resources

    def shards(self) -> dict[str, int]:
        """All shards and their rows."""
        return ImageSet(self.out).planned_shards()

    def pending(self, shards: Iterable[str]) -> list[str]:
        """Shards to draw: not there, or with failed images; those that were set aside for this plan come back."""
        image_set = ImageSet(self.out)
        return [shard for shard in shards if not self._is_whole(image_set, shard)]

    def _is_whole(self, image_set: ImageSet, shard: str) -> bool:
        done = image_set.done(shard)
        if done is None and image_set.restore(shard):
            done = image_set.done(shard)
        return done is not None and not done.failed

    def worker(self, device: str | None) -> DrawWorker:
        """Load the generator on a device."""
        resources = self.resources.model_copy(update={"device": device})

        def artist(settings: Settings) -> Artist:
            guidance, steps = settings
            own = {} if guidance is None else {"guidance_scale": guidance}
            own |= {} if steps is None else {"num_inference_steps": steps}
            spec = self.spec.model_copy(update=own)
            return Artist(load_generator(spec, resources), spec, resources)

        return DrawWorker(ImageSet(self.out), artist, resources.workers)


@dataclass
class _Sheet:
    """A shard in the making: its rows in the plan's order, as far as they are there."""

    shard: str
    rows: list[Future[dict[str, Any]] | dict[str, Any] | None]
    missing: int

    def finished_rows(self) -> Iterator[dict[str, Any]]:
        """The rows, each as soon as its image is encoded."""
        for position, row in enumerate(self.rows):
            assert row is not None, "a sheet is written when nothing is missing"
            self.rows[position] = None  # its bytes are not needed twice
            yield row.result() if isinstance(row, Future) else row


_Item = tuple[_Sheet, int, PlannedImage]
"""An image to draw, with its place."""


class DrawWorker:
    """Draws shards of one set, with the artist of each setting that they need."""

    def __init__(self, image_set: ImageSet, artist_for: Callable[[Settings], Artist], threads: int) -> None:
        self._set, self._artist_for, self._threads = image_set, artist_for, threads
        self._artist: tuple[Settings, Artist] | None = None
        self._writes: deque[Future[Any]] = deque()
        self.seconds_waiting = 0.0
        """How long drawing waited for the writer so far."""

    def work(self, shards: Sequence[str], check: Check, tell: Tell) -> None:
        """Draw shards; images are encoded and shards written in threads while the next batch is drawn.

        However it ends, shards that were drawn to their end are written before this returns.
        """
        own = self._set.settings()
        groups: dict[Settings, list[str]] = {}
        for shard in shards:
            groups.setdefault(own.get(shard, (None, None)), []).append(shard)
        for settings in sorted(groups, key=lambda one: one != (None, None)):
            self._draw_shards(self._load(settings), groups[settings], check, tell)

    def _draw_shards(self, artist: Artist, shards: Sequence[str], check: Check, tell: Tell) -> None:
        """Draw shards of one setting."""
        with ThreadPoolExecutor(self._threads) as encoders, ThreadPoolExecutor(1) as writer:
            draw = partial(self._draw, artist, encoders, writer, check, tell)
            waiting: list[_Item] = []
            for item in self._to_draw(shards, writer, tell):
                waiting.append(item)
                while len(waiting) >= artist.batch_size:
                    batch, waiting = waiting[: artist.batch_size], waiting[artist.batch_size :]
                    draw(batch)
            while waiting:
                batch, waiting = waiting[: artist.batch_size], waiting[artist.batch_size :]
                draw(batch)
            self._wait(0)
        artist.warn_of_cut_prompts()

    def _load(self, settings: Settings) -> Artist:
        """The artist of a setting; the last one is kept, and goes before another is loaded into the same memory."""
        if self._artist is None or self._artist[0] != settings:
            self._artist = None
            self._artist = settings, self._artist_for(settings)
        return self._artist[1]

    def _to_draw(self, shards: Sequence[str], writer: ThreadPoolExecutor, tell: Tell) -> Iterator[_Item]:
        """The images that are not there yet, shard after shard."""
        for shard in shards:
            kept, planned = self._set.kept_rows(shard), list(self._set.read_plan(shard))
            rows: list[Any] = [kept.get(image.image_key) for image in planned]
            sheet = _Sheet(shard, rows, rows.count(None))
            if kept:
                tell(Tick(len(kept), found=True))
            if not sheet.missing:
                self._write(sheet, writer)
            for position, image in enumerate(planned):
                if image.image_key not in kept:
                    yield sheet, position, image

    def _draw(
        self,
        artist: Artist,
        encoders: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
        check: Check,
        tell: Tell,
        batch: Sequence[_Item],
    ) -> None:
        check()
        outcomes = artist.draw([image for _, _, image in batch], check)
        for (sheet, position, image), outcome in zip(batch, outcomes, strict=True):
            sheet.rows[position] = encoders.submit(artist.row, image, outcome)
            sheet.missing -= 1
            if not sheet.missing:
                self._write(sheet, writer)
        errors = [outcome.error for outcome in outcomes if outcome.pixels is None]
        tell(Tick(len(batch), len(errors), next(iter(errors), "")))

    def _write(self, sheet: _Sheet, writer: ThreadPoolExecutor) -> None:
        self._writes.append(writer.submit(self._set.write_shard, sheet.shard, sheet.finished_rows()))
        self._wait(SHARDS_IN_FLIGHT)

    def _wait(self, at_most: int) -> None:
        """Wait until at most so many shards are being written."""
        begun = time.perf_counter()
        while len(self._writes) > at_most:
            self._writes.popleft().result()
        self.seconds_waiting += time.perf_counter() - begun
