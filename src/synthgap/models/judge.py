"""The judge: any timm classifier of natural images, asked what generated images show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthgap.core.errors import InputError
from synthgap.models.preprocessing import INTERPOLATIONS, Preprocessing
from synthgap.models.quiet import quiet

BATCH = 256


class Judge:
    """A classifier with its own preprocessing and class keys."""

    def __init__(self, model: Any, preprocessing: Preprocessing, class_keys: tuple[str, ...]) -> None:
        self._model, self._preprocessing = model, preprocessing
        self.class_keys = class_keys
        """Key of each output, in order."""

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Softmax over the classes for uint8 RGB images (b, h, w, 3): (b, classes) float32."""
        parts = []
        for start in range(0, len(images), BATCH):
            pixels = self._preprocessing.prepare(images[start : start + BATCH])
            parts.append(self._model(self._preprocessing.normalise(pixels, torch.float32)).softmax(-1))
        return torch.cat(parts).numpy()

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Index of the most probable class for uint8 RGB images (b, h, w, 3): (b,)."""
        best: np.ndarray = self.probabilities(images).argmax(1)
        return best


def load_judge(folder: Path) -> Judge:
    """Load a classifier saved in timm's ``local-dir:`` form (``config.json`` and ``model.safetensors``).

    Raises InputError where the folder does not hold one.
    """
    import timm

    path = folder / "config.json"
    if not path.is_file() or not (folder / "model.safetensors").is_file():
        raise InputError(
            f"{folder} is not a timm folder: expected config.json and model.safetensors (timm's save_for_hf)"
        )
    config = json.loads(path.read_text(encoding="utf-8"))
    with quiet():
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval().float()
    settings = config["pretrained_cfg"]
    height, width = settings["input_size"][1:]
    preprocessing = Preprocessing(
        size=(height, width),
        crop=None,
        interpolation=INTERPOLATIONS[settings["interpolation"]],
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )
    return Judge(model, preprocessing, tuple(config["label_names"]))
