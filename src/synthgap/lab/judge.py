"""The lab's judge: a small timm classifier of natural images, trained apart from the encoder, that says what a generated image shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from synthgap.core.records import ClassEntry
from synthgap.lab.autoencoder import pixels
from synthgap.lab.contrast import augment, enlarge
from synthgap.lab.loop import batch_indices


def new_judge(name: str, classes: int) -> Any:
    """Build the untrained classifier."""
    import timm

    return timm.create_model(name, num_classes=classes).to(memory_format=torch.channels_last)


def judge_loss(
    model: Any, images: Tensor, labels: Tensor, input_size: int, batch_size: int, step: int, seed: int
) -> Tensor:
    """Cross entropy with a little label smoothing on mirrored, shifted and cut images."""
    index = batch_indices(len(images), batch_size, step, seed)
    generator = torch.Generator().manual_seed(seed * 7_919 + step)
    inputs = enlarge(augment(pixels(images[index]), generator), input_size)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(inputs)
    return F.cross_entropy(logits.float(), labels[index], label_smoothing=0.1)


def save_judge(model: Any, name: str, entries: Sequence[ClassEntry], input_size: int, folder: Path) -> None:
    """Write a folder that ``timm.create_model("local-dir:…", pretrained=True)`` opens."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": name,
        "num_classes": len(entries),
        "label_names": [entry.class_key for entry in entries],
        "label_descriptions": {entry.class_key: entry.name for entry in entries},
        "pretrained_cfg": {
            "input_size": [3, input_size, input_size], "mean": [0.5] * 3, "std": [0.5] * 3,
            "interpolation": "bicubic", "crop_pct": 1.0, "num_classes": len(entries),
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    state = {
        key: (value.half() if value.is_floating_point() and "running" not in key else value).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@torch.inference_mode()
def judged(model: Any, images: Tensor, input_size: int) -> NDArray[np.int64]:
    """Class the judge sees in each uint8 image (n, h, w, 3): (n,)."""
    model.eval()
    parts = [model(enlarge(pixels(images[i : i + 250]), input_size)).argmax(1) for i in range(0, len(images), 250)]
    return torch.cat(parts).numpy()
