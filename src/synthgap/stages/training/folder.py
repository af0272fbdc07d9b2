"""The folder of a trained classifier: whose it is, its weights in timm's format, its history and its card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from synthgap.core.errors import FingerprintError, InputError
from synthgap.models.classifiers import CONFIG, WEIGHTS
from synthgap.stages.training.learner import write_tensors
from synthgap.store.atomic import read_json, write_json, write_text
from synthgap.store.manifest import MANIFEST

KIND = "classifier"


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

    def claim(self, manifest: Mapping[str, Any]) -> None:
        """Begin the folder with a manifest, or go on with one that was begun with the same fingerprint.

        Raises:
            FingerprintError: it holds another training; the message says in what it differs.
            InputError: it holds something that is not synthgap's, or is a file.
        """
        file = self.path / MANIFEST
        if file.exists():
            there = read_json(file)
            if not isinstance(there, dict) or there.get("kind") != KIND:
                kind = there.get("kind") if isinstance(there, dict) else None
                raise FingerprintError(
                    f"{self.path}: holds {kind or 'something else'}, not {KIND}; give another folder"
                )
            if there.get("fingerprint") != manifest["fingerprint"]:
                raise FingerprintError(_difference(self.path, there, manifest))
            return
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; expected a new or empty folder for the result")
        if self.path.exists() and any(not one.name.startswith(".") for one in self.path.iterdir()):
            raise InputError(f"{self.path}: holds files that are not synthgap's; give a new or empty folder")
        write_json(file, manifest)

    def write_weights(self, weights: dict[str, Tensor], config: Mapping[str, Any], *, best: bool = False) -> None:
        """Write weights and configuration as timm reads them, of the last epoch or of the best."""
        folder = self.best if best else self.path
        write_json(folder / CONFIG, config)
        write_tensors(folder / WEIGHTS, weights)

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write a JSON line per epoch."""
        write_text(self.path / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history))

    def write_card(self, manifest: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Write the model card."""
        write_text(self.path / "README.md", card(manifest, result))


def new_manifest(
    fingerprint: str, spec: Mapping[str, Any], classes: Mapping[str, str], parents: Mapping[str, str]
) -> dict[str, Any]:
    """What the folder holds; no folder and no time, so that the same training twice gives the same bytes."""
    return {
        "kind": KIND,
        "fingerprint": fingerprint,
        "spec": dict(spec),
        "classes": dict(classes),
        "parents": dict(parents),
        "version": version("synthgap"),
    }


def _difference(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    old, new = (dict(_leaves({key: one.get(key) for key in ("spec", "classes", "parents")})) for one in (there, here))
    changes = [
        f"{name.removeprefix('spec.')} is {old.get(name, 'absent')!r} there and {new.get(name, 'absent')!r} here"
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    ]
    more = f" (and {len(changes) - 6} more)" if len(changes) > 6 else ""
    return f"{folder}: holds another training: {', '.join(changes[:6])}{more}; give another folder, or its settings"


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def card(manifest: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """A short model card: what it learned from, how, how well it does, and how to open it."""
    spec, recipe = manifest["spec"], manifest["spec"]["recipe"]
    shares = [("" if one["share"] is None else f", share {one['share']:g}") for one in spec["sets"].values()]
    sets = "\n".join(f"* {one['name']}{share}" for one, share in zip(spec["sets"].values(), shares, strict=True))
    score = _score(result["accuracy"], result["validation"])
    names = ", ".join(list(manifest["classes"].values())[:20])
    return f"""---
library_name: timm
pipeline_tag: image-classification
---

# {recipe["model"]}, {len(manifest["classes"])} classes

Trained from random weights by synthgap {manifest["version"]} on {result["images"]:,} images:

{sets}

Recipe `{spec["name"]}`: {result["steps"]:,} steps of {recipe["batch_size"]} images at {recipe["image_size"]} pixels, augmentation
{recipe["augmentation"]}, learning rate {recipe["learning_rate"]:g}, seed {spec["seed"]}. All settings are in `manifest.json`, each epoch in `history.jsonl`.

{score}

```python
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True)
```

`model.safetensors` holds the last epoch, `best/` that of the highest accuracy, where images were kept apart.
Classes: {names}{", ..." if len(manifest["classes"]) > 20 else ""}.
"""


def _score(accuracy: Mapping[str, Any], validation: str) -> str:
    if accuracy["value"] is None:
        return "No images were kept apart, so there is no accuracy here; `synthgap evaluate` scores it on any set."
    ends = [accuracy["ci_low"], accuracy["ci_high"]]
    interval = "" if None in ends else f"95 % interval {ends[0]:.3f} to {ends[1]:.3f}, "
    return f"Top-1 accuracy {accuracy['value']:.3f} ({interval}{accuracy['n']} images: {validation})."
