"""A small frozen network, and folders of images with splits, that transfer takes seconds for."""

from __future__ import annotations

from pathlib import Path

from training_samples import image_folder

from synthgap.models.classifiers import new_classifier, timm_config
from synthgap.store.atomic import write_json


def model_folder(folder: Path, *, seed: int = 1) -> Path:
    """A network with random weights, in timm's format."""
    from safetensors.torch import save_file

    classes = {"cat": "cat", "dog": "dog"}
    model = new_classifier("test_resnet", len(classes), {}, seed=seed)
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    write_json(folder / "config.json", timm_config("test_resnet", classes, {}, 32, 1.0))
    return folder


def split_folder(folder: Path, counts: dict[str, int]) -> Path:
    """Noisy squares of three colours, so many of each in each split."""
    for number, (split, count) in enumerate(counts.items()):
        image_folder(folder / split, count, seed=number)
    return folder
