"""Batches for the device: threads decode and cut a few batches ahead, the device mirrors, colours and normalises."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from synthgap.core.seeds import derived_seed
from synthgap.models.preprocessing import Preprocessing
from synthgap.stages.training.augmentation import (
    BOX_DRAWS,
    COLOUR_DRAWS,
    SHIFT_DRAWS,
    View,
    cut,
    mirrored,
    shifted,
)
from synthgap.stages.training.colour import recoloured
from synthgap.stages.training.draws import chosen, uniforms
from synthgap.stages.training.examples import Examples
from synthgap.store.images import Pixels

AHEAD = 4
"""Batches that may wait for the device; bounds the memory."""


@dataclass(frozen=True)
class Portion:
    """Which images of each global batch this process takes."""

    batch_size: int
    """Of all processes."""
    rank: int
    world: int

    @property
    def rows(self) -> slice:
        """Of the global batch."""
        each = self.batch_size // self.world
        return slice(self.rank * each, (self.rank + 1) * each)


@dataclass(frozen=True)
class Batch:
    """One process's part of a step, on the CPU."""

    views: tuple[Tensor, ...]
    """(b * count, 3, side, side) uint8 for each kind of view; all views of an image stand together."""
    draws: tuple[Tensor, ...]
    """(b * count, COLOUR_DRAWS) float32 in [0, 1) for each kind of view."""
    labels: Tensor
    """(b,)"""


class Loader:
    """Batches of the steps asked for, in order."""

    def __init__(
        self,
        examples: Examples,
        views: tuple[View, ...],
        preprocessing: Preprocessing,
        portion: Portion,
        *,
        seed: int,
        workers: int,
    ) -> None:
        self._examples, self._views, self._preprocessing = examples, views, preprocessing
        self._portion, self._seed, self._workers = portion, seed, workers
        self._labels = examples.labels
        self._ends = tuple(accumulate((view.count * view.draws for view in views), initial=0))
        self.waited = 0.0
        """Seconds in which the caller waited for images."""

    def batches(self, first: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps from ``first`` to before ``stop``."""
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[Future[Batch]] = deque()
            step = first
            try:
                while step < stop or waiting:
                    while step < stop and len(waiting) < AHEAD:
                        waiting.append(pool.submit(self._batch, step))
                        step += 1
                    begun = time.perf_counter()
                    batch = waiting.popleft().result()
                    self.waited += time.perf_counter() - begun
                    yield batch
            finally:
                for future in waiting:
                    future.cancel()

    def _batch(self, step: int) -> Batch:
        rows = self._portion.rows
        images, passes = (part[rows] for part in chosen(self._seed, step, self._portion.batch_size, len(self._labels)))
        draws = uniforms(derived_seed(self._seed, "augmentation"), passes, images, self._draws)
        made = [self._views_of(int(image), row) for image, row in zip(images, draws, strict=True)]
        kinds = range(max(1, len(self._views)))
        pixels = tuple(torch.from_numpy(np.stack([view for one, _ in made for view in one[kind]])) for kind in kinds)
        colours = tuple(torch.from_numpy(self._colour_draws(draws, kind)).float() for kind in kinds)
        return Batch(pixels, colours, torch.tensor([label for _, label in made]))

    @property
    def _draws(self) -> int:
        return self._ends[-1] if self._views else SHIFT_DRAWS + COLOUR_DRAWS

    def _of_kind(self, draws: np.ndarray, kind: int) -> np.ndarray:
        """Random numbers of each image's views of one kind, (b, count, ``view.draws``)."""
        view = self._views[kind]
        return draws[:, self._ends[kind] : self._ends[kind + 1]].reshape(len(draws), view.count, view.draws)

    def _colour_draws(self, draws: np.ndarray, kind: int) -> np.ndarray:
        if not self._views:
            return draws[:, SHIFT_DRAWS:]
        colours = self._of_kind(draws, kind)[:, :, BOX_DRAWS : BOX_DRAWS + COLOUR_DRAWS]
        return np.ascontiguousarray(colours.reshape(-1, COLOUR_DRAWS))

    def _views_of(self, image: int, draws: np.ndarray) -> tuple[list[list[np.ndarray]], int]:
        """Every kind's views of one image, and its label."""
        examples = self._examples
        if not self._views:
            if examples.held is not None:
                square, label = examples.held[image], int(self._labels[image])
            else:
                pixels, label = examples.decoded(image)
                square = self._preprocessing.prepare(pixels).numpy()
            return [[shifted(square, draws)]], label
        pixels, label = self._pixels(image)
        rows = [self._of_kind(draws[None], kind)[0] for kind in range(len(self._views))]
        return [[cut(pixels, view, row) for row in own] for view, own in zip(self._views, rows, strict=True)], label

    def _pixels(self, image: int) -> tuple[Pixels, int]:
        if self._examples.held is None:
            return self._examples.decoded(image)
        return np.ascontiguousarray(np.moveaxis(self._examples.held[image], 0, -1)), int(self._labels[image])


def on_device(
    batch: Batch, views: tuple[View, ...], preprocessing: Preprocessing, device: torch.device
) -> list[Tensor]:
    """The batch's views as the model takes them: mirrored, coloured, normalised float32."""
    ready = []
    for kind, (pixels, draws) in enumerate(zip(batch.views, batch.draws, strict=True)):
        images, numbers = pixels.to(device, non_blocking=True), draws.to(device, non_blocking=True)
        images = mirrored(images, numbers[:, 0])
        if views and views[kind].colour:
            coloured = recoloured(images.float() / 255, numbers[:, 1:], views[kind].blur)
            images = coloured * 255
        ready.append(preprocessing.normalise(images, torch.float32).contiguous(memory_format=torch.channels_last))
    return ready
