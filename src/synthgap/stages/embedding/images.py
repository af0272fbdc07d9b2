"""Embedding images.

Reading, decoding and resizing run in threads, a bounded number of images ahead, while the encoder works. Batches are
filled across shards, and the last one is filled up: they all have one shape, because an embedding depends on the shape
of its batch, by rounding, and on nothing else in it (decision 2). So a run that was killed and repeated leaves the same
bytes as one that was not, and classes of a few images cost no more than large ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from synthgap.core.specs import EncoderSpec, Resources
from synthgap.execution import Check, Tell, Tick
from synthgap.execution.ahead import prefetch
from synthgap.models.encoder import Encoder
from synthgap.stages.embedding.folder import (
    BATCH_SIZE,
    Content,
    Place,
    Progress,
    check_embeddings,
    embed,
    encoder_errors,
)
from synthgap.store.embeddings import EmbeddingWriter
from synthgap.store.images import decoded_or_why
from synthgap.store.rows import ShardRange
from synthgap.store.sources import ImageRow, ImageSource, keep_apart, open_images

SHARD_ROWS = 1000
BATCHES_AHEAD = 3
"""Decoded batches that may wait for the encoder; bounds the memory."""
PIXELS_ON_A_CPU = 16 * 224 * 224
"""Of one batch; more make a CPU no faster, and the last batch is filled up."""


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
    keep_apart(out, images)
    ranges = {part.name: part for part in images.shards(SHARD_ROWS)}
    content = _content(images, {name: images.part_fingerprint(part) for name, part in ranges.items()})
    place = Place(out, spec, resources or Resources())
    return embed(content, place, progress, lambda ready: ImageJob(images, ranges, ready))


def check_image_embeddings(source: ImageSource, spec: EncoderSpec, out: Path) -> None:
    """Raise FingerprintError where ``out`` holds embeddings of other images or of another encoder; nothing is written."""
    check_embeddings(_content(source, {}), spec, out)


def _content(images: ImageSource, parts: dict[str, str]) -> Content:
    return Content("image", dict(images.classes), images.identity, parts)


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
        """Embed shards; images are read and decoded ahead, and encoded together, across shards."""
        place, ranges, images = self.job.place, self.job.ranges, self.job.images
        size = place.resources.batch_size or suitable_batch(self.encoder.image_size, self.encoder.device.type)
        batch, writer = _Batch(self.encoder, size), place.writer()
        unwritten: deque[_Shard] = deque()

        def move_on() -> None:
            while unwritten and unwritten[0].whole:
                unwritten.popleft().write(writer)
            tell(Tick(batch.count_through()))
            check()

        rows = (
            (name, row)
            for name in shards
            for row in images.rows(ranges[name].split, ranges[name].start, ranges[name].stop)
        )
        with ThreadPoolExecutor(place.resources.workers) as pool, encoder_errors():
            prepared = prefetch(pool, self._prepare, rows, BATCHES_AHEAD * size)
            for name, group in groupby(prepared, key=lambda pair: pair[0][0]):
                unwritten.append(shard := _Shard(name, self.encoder.dim))
                for (_, row), image in group:
                    if batch.add(shard, row, image):
                        move_on()
                shard.read = True
            batch.encode()
            move_on()

    def _prepare(self, named: tuple[str, ImageRow]) -> torch.Tensor | str:
        """A row's image as the encoder takes it, or why there is none; runs in a thread."""
        return decoded_or_why(named[1].read, self.encoder.prepare)


def suitable_batch(image_size: tuple[int, int], device: str) -> int:
    """Images per batch where the user does not say: of one size and device always the same.

    >>> suitable_batch((224, 224), "cpu"), suitable_batch((64, 64), "cpu"), suitable_batch((224, 224), "cuda")
    (16, 64, 64)
    """
    if device != "cpu":
        return BATCH_SIZE
    return max(1, min(BATCH_SIZE, PIXELS_ON_A_CPU // (image_size[0] * image_size[1])))


class _Shard:
    """One shard in the making."""

    def __init__(self, name: str, dim: int) -> None:
        self._name, self._dim = name, dim
        self._keys: list[str] = []
        self._classes: list[str] = []
        self._errors: list[str] = []
        self._vectors: dict[int, np.ndarray] = {}
        self._good = 0
        self.read = False
        """Whether all its rows were added."""

    @property
    def whole(self) -> bool:
        """Whether every row is embedded, or has an error."""
        return self.read and len(self._vectors) == self._good

    def add(self, row: ImageRow, error: str) -> int:
        """Take a row; returns its position."""
        self._keys.append(row.image_key)
        self._classes.append(row.class_key)
        self._errors.append(error)
        self._good += not error
        return len(self._keys) - 1

    def embed(self, position: int, vector: np.ndarray) -> None:
        """Set the embedding of a row."""
        self._vectors[position] = vector

    def write(self, writer: EmbeddingWriter) -> None:
        """Write it; a row with an error is NaN."""
        found = np.full((len(self._keys), self._dim), np.nan, dtype=np.float32)
        for position, vector in self._vectors.items():
            found[position] = vector
        writer.write_shard(
            self._name, image_keys=self._keys, class_keys=self._classes, embeddings=found, errors=self._errors
        )


class _Batch:
    """Images that wait for the encoder, of one shard or several."""

    def __init__(self, encoder: Encoder, size: int) -> None:
        self._encoder, self._size = encoder, size
        self._waiting: list[tuple[_Shard, int]] = []
        self._pixels = torch.zeros((size, 3, *encoder.image_size), dtype=torch.uint8)
        self._added = self._told = 0

    def add(self, shard: _Shard, row: ImageRow, image: torch.Tensor | str) -> bool:
        """Take an image, or why there is none; returns whether what waits was encoded."""
        position = shard.add(row, image if isinstance(image, str) else "")
        self._added += 1
        if isinstance(image, torch.Tensor):
            self._pixels[len(self._waiting)] = image
            self._waiting.append((shard, position))
        if len(self._waiting) < self._size:
            return False
        self.encode()
        return True

    def encode(self) -> None:
        """Encode what waits, in the shape of a full batch: the places left over hold images of before, or black."""
        if self._waiting:
            vectors = self._encoder.encode_prepared(self._pixels)
            for (shard, position), vector in zip(self._waiting, vectors, strict=False):
                shard.embed(position, vector)
            self._waiting.clear()

    def count_through(self) -> int:
        """Rows that are through since the last call."""
        through, self._told = self._added - self._told, self._added
        return through
