"""Photographs of classes that differ a little in colour and texture, as a folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def photographs(root: Path, classes: Sequence[str], count: int) -> Path:
    rng = np.random.default_rng(5)
    for kind, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 90, (32, 32, 3))
            pixels[:: kind + 2] += 100
            pixels[..., kind % 3] += 60
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{number}.png")
    return root
