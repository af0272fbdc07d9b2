"""Embedding images.

Reading, decoding and resizing run in threads, a bounded number of images ahead, while the encoder works. A shard is
encoded in batches that depend on its rows and the batch size only, so a run that was killed and repeated leaves the
same bytes as one that was not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from synthgap.core.specs import EncoderSpec, Resources
from synthgap.execution import Check, Tell, Tick
from synthgap.models.encoder import Encoder
from synthgap.stages.embedding.folder import Content, Place, Progress, embed, encoder_errors
from synthgap.store.images import BrokenImage, decode_image
from synthgap.store.rows import ShardRange
from synthgap.store.sources import ImageRow, ImageSource, open_images

SHARD_ROWS = 1000
BATCHES_AHEAD = 3
"""Decoded batches that may wait for the encoder; bounds the memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def embed_images(
    source: ImageSource | Path,
    spec: EncoderSpec,
    out: Path,
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> Path:
    """Embed every image of a source into the folder ``out``, or go on with what is there; returns ``out``.

    An image that cannot be read or decoded, or that the encoder has no number for, is a skipped row with its reason.
    Of a set that has grown or changed since, only what is new is embedded.

    Raises:
        InputError: no such source or encoder, or a folder that holds something else.
        FingerprintError: the folder holds embeddings of other images or of another encoder.
        RunError: the disk is full, or the encoder failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    images = source if isinstance(source, ImageSource) else open_images(source)
    ranges = {part.name: part for part in images.shards(SHARD_ROWS)}
    parts = {name: images.part_fingerprint(part) for name, part in ranges.items()}
    content = Content("image", dict(images.classes), images.identity, parts)
    place = Place(out, spec, resources or Resources())
    return embed(content, place, progress, lambda ready: ImageJob(images, ranges, ready))


@dataclass(frozen=True)
class ImageJob:
    """Images to embed, for any process that sees them."""

    images: ImageSource
    ranges: dict[str, ShardRange]
    place: Place

    def shards(self) -> dict[str, int]:
        """All shards and their rows."""
        return {name: part.stop - part.start for name, part in self.ranges.items()}

    def pending(self, shards: Iterable[str]) -> list[str]:
        """Shards that are not embedded yet."""
        writer = self.place.writer()
        return [shard for shard in shards if not writer.is_done(shard)]

    def worker(self, device: str | None) -> ImageWorker:
        """Load the encoder on a device."""
        return ImageWorker(self, self.place.load(device))


@dataclass(frozen=True)
class ImageWorker:
    """Embeds shards of images with one encoder."""

    job: ImageJob
    encoder: Encoder

    def work(self, shards: Sequence[str], check: Check, tell: Tell) -> None:
        """Embed shards; images are read and decoded ahead, across shards."""
        place, ranges, images = self.job.place, self.job.ranges, self.job.images
        writer = place.writer()
        rows = (
            (name, row)
            for name in shards
            for row in images.rows(ranges[name].split, ranges[name].start, ranges[name].stop)
        )
        with ThreadPoolExecutor(place.resources.workers) as pool, encoder_errors():
            prepared = prefetch(pool, self._prepare, rows, BATCHES_AHEAD * place.batch_size)
            for name, group in groupby(prepared, key=lambda pair: pair[0][0]):
                shard = _Shard(self.encoder, place.batch_size)
                for (_, row), image in group:
                    if told := shard.add(row, image):
                        tell(Tick(told))
                        check()
                tell(Tick(shard.flush()))
                writer.write_shard(
                    name,
                    image_keys=shard.keys,
                    class_keys=shard.classes,
                    embeddings=shard.embeddings(),
                    errors=shard.errors,
                )
                check()

    def _prepare(self, named: tuple[str, ImageRow]) -> torch.Tensor | str:
        """A row's image as the encoder takes it, or why there is none; runs in a thread."""
        try:
            return self.encoder.prepare(decode_image(named[1].read()))
        except BrokenImage as broken:
            return broken.reason


class _Shard:
    """One shard in the making: batches of the images that could be decoded."""

    def __init__(self, encoder: Encoder, batch_size: int) -> None:
        self._encoder, self._batch_size = encoder, batch_size
        self.keys: list[str] = []
        self.classes: list[str] = []
        self.errors: list[str] = []
        self._waiting: list[torch.Tensor] = []
        self._vectors: list[np.ndarray] = []
        self._told = 0

    def add(self, row: ImageRow, image: torch.Tensor | str) -> int:
        """Take an image, or why there is none; returns how many rows are through, each counted once."""
        self.keys.append(row.image_key)
        self.classes.append(row.class_key)
        self.errors.append(image if isinstance(image, str) else "")
        if isinstance(image, torch.Tensor):
            self._waiting.append(image)
        return self.flush() if len(self._waiting) == self._batch_size else 0

    def flush(self) -> int:
        """Encode what waits; returns how many rows are through, each counted once."""
        if self._waiting:
            self._vectors.append(self._encoder.encode_prepared(torch.stack(self._waiting)))
            self._waiting.clear()
        through, self._told = len(self.keys) - self._told, len(self.keys)
        return through

    def embeddings(self) -> np.ndarray:
        """(n, dim) float32; a row with an error is NaN."""
        found = np.full((len(self.keys), self._encoder.dim), np.nan, dtype=np.float32)
        if self._vectors:
            found[[not error for error in self.errors]] = np.concatenate(self._vectors)
        return found


def prefetch(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Result]]:
    """Map in a pool, in order, at most ``ahead`` items before the one that is asked for."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    iterator = iter(items)
    try:
        while True:
            waiting.extend((item, pool.submit(function, item)) for item in islice(iterator, ahead - len(waiting)))
            if not waiting:
                return
            item, future = waiting.popleft()
            yield item, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
