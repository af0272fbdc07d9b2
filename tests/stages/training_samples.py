"""Small image folders that a small network learns in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from synthgap.core.specs import LearningResources, TrainSpec

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
RESOURCES = LearningResources(device="cpu", workers=2)
SPEC = TrainSpec(
    model="test_resnet", epochs=3, batch_size=8, image_size=32, precision="float32", validation_share=0.25, seed=3
)


def image_folder(folder: Path, count: int, *, seed: int = 0, names: tuple[str, ...] = tuple(COLOURS)) -> Path:
    """A folder of noisy squares, ``count`` of each colour."""
    rng = np.random.default_rng(seed)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.array(COLOURS[name]) + rng.integers(-60, 60, (32, 32, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number:02d}.png")
    return folder
