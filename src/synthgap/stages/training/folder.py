"""The folder of a trained classifier: whose it is, its weights in timm's format, its history and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from synthgap.core.counting import counted
from synthgap.models.classifiers import CONFIG, WEIGHTS
from synthgap.stages.training.learner import write_tensors
from synthgap.store.atomic import write_json, write_text
from synthgap.store.manifest import Manifest


@dataclass(frozen=True)
class TrainedFolder:
    """Paths of a training's results."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """What the same command goes on from."""
        return self.path / "checkpoint" / "state.safetensors"

    @property
    def best(self) -> Path:
        """Folder of the weights of the epoch with the highest accuracy."""
        return self.path / "best"

    def write_weights(self, weights: dict[str, Tensor], config: Mapping[str, Any], *, best: bool = False) -> None:
        """Write weights and configuration as timm reads them, of the last epoch or of the best."""
        folder = self.best if best else self.path
        write_json(folder / CONFIG, config)
        write_tensors(folder / WEIGHTS, weights)

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write a JSON line per epoch."""
        write_text(self.path / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history))

    def write_card(self, manifest: Manifest, result: Mapping[str, Any]) -> None:
        """Write the model card."""
        write_text(self.path / "README.md", card(manifest, result))


def card(manifest: Manifest, result: Mapping[str, Any]) -> str:
    """A short model card: what it learned from, how, how well it does, and how to open it."""
    spec, recipe = manifest.spec, manifest.spec["recipe"]
    shares = [("" if one["share"] is None else f", share {one['share']:g}") for one in spec["sets"].values()]
    sets = "\n".join(f"* {one['name']}{share}" for one, share in zip(spec["sets"].values(), shares, strict=True))
    score = _score(result["accuracy"], result["validation"])
    names = ", ".join(list(manifest.classes.values())[:20])
    return f"""---
library_name: timm
pipeline_tag: image-classification
---

# {recipe["model"]}, {counted(len(manifest.classes), "class")}

Trained from random weights by synthgap {manifest.version} on {counted(result["images"], "image")}:

{sets}

Recipe `{spec["name"]}`: {result["steps"]:,} steps of {recipe["batch_size"]} images at {recipe["image_size"]} pixels, augmentation
{recipe["augmentation"]}, learning rate {recipe["learning_rate"]:g}, seed {spec["seed"]}. All settings are in `manifest.json`, each epoch in `history.jsonl`.

{score}

```python
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True)
```

`model.safetensors` holds the last epoch, `best/` that of the highest accuracy, where images were kept apart.
Classes: {names}{", ..." if len(manifest.classes) > 20 else ""}.
"""


def _score(accuracy: Mapping[str, Any], validation: str) -> str:
    if accuracy["value"] is None:
        return "No images were kept apart, so there is no accuracy here; `synthgap evaluate` scores it on any set."
    ends = [accuracy["ci_low"], accuracy["ci_high"]]
    interval = "" if None in ends else f"95 % interval {ends[0]:.3f} to {ends[1]:.3f}, "
    return f"Top-1 accuracy {accuracy['value']:.3f} ({interval}{counted(accuracy['n'], 'image')}: {validation})."
