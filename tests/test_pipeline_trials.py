"""Trials of image folders: which images could not be read is told, and the others are measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from synthgap.core.specs import EncoderSpec, MeasureSpec, Resources, TrialSpec
from synthgap.pipeline import CompareOptions, SetInput, cross_trials
from synthgap.testing.encoders import tiny_clip

CLASSES = ("cat", "crane")


def image_folder(root: Path, seed: int) -> Path:
    """Six pictures per class, of a colour each."""
    generator = np.random.default_rng(seed)
    for kind, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(6):
            values = generator.integers(0, 90, (32, 32, 3))
            values[..., kind] += 120
            Image.fromarray(values.astype(np.uint8)).save(root / name / f"{number}.jpg")
    return root


def test_images_that_cannot_be_read_are_told_by_set(tmp_path: Path) -> None:
    natural, synthetic = (image_folder(tmp_path / name, seed) for seed, name in enumerate(("photos", "drawn")))
    broken = natural / "crane" / "5.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    encoder = EncoderSpec(encoder=str(tiny_clip(tmp_path / "clip")))
    options = CompareOptions(encoder, MeasureSpec(bootstrap=0, knn=(1,)), Resources(device="cpu"))
    trials = TrialSpec(classifiers=())
    found = cross_trials(SetInput(natural), [SetInput(synthetic)], tmp_path / "out", trials, options)
    told = [warning for warning in found["warnings"] if "left out" in warning]
    assert len(told) == 1 and told[0].startswith("photos: 1 image was left out: "), told
    assert json.loads((tmp_path / "out" / "trials.json").read_text())["warnings"] == found["warnings"]
    sizes = {one["name"]: one["references"] + one["queries"] for one in found["sets"] if one["modality"] == "image"}
    assert sizes == {"photos": 11, "drawn": 12}
