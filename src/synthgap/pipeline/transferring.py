"""Transfer: every network on every set, and the averages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthgap.core.errors import InputError
from synthgap.core.specs import LearningResources, TransferSpec
from synthgap.models.classifiers import Classifier, load_classifier
from synthgap.models.devices import pick_device
from synthgap.stages.transfer import TransferTask, averages, transfer
from synthgap.stages.transfer.known import recognise
from synthgap.store.atomic import write_json
from synthgap.store.rows import ImageSource
from synthgap.store.sources import open_images
from synthgap.store.tables import write_table

TABLE = pa.schema(
    [("model", pa.string()), ("set", pa.string()), ("solver", pa.string()), ("accuracy", pa.float64())]
    + [(name, pa.float64()) for name in ("ci_low", "ci_high", "mean_per_class")]
    + [(name, pa.int64()) for name in ("classes", "train", "validation", "test")]
)


@dataclass(frozen=True)
class TransferSet:
    """A set that the user names."""

    path: Path
    name: str | None = None
    """Its name; of one of S's sets where it is to be taken for that."""


def transfer_many(
    models: Sequence[str],
    sets: Sequence[TransferSet],
    spec: TransferSpec,
    out: Path,
    resources: LearningResources | None = None,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Score the features of every model on every set (S Table 3).

    Sets are opened and models loaded before anything is computed; what is finished is in ``out`` and is not done
    again. ``out/transfer.json`` and ``out/transfer.parquet`` hold the result.

    Returns:
        ``results`` (a block per model and set), ``average`` (per model, over all sets and over S's groups).

    Raises:
        InputError: no such model or set, two sets of one name, or what `transfer` cannot use.
        FingerprintError: ``out`` holds features or trials of something else.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    resources = resources or LearningResources()
    opened = [_opened(item) for item in sets]
    twice = [name for name, times in Counter(name for name, _, _ in opened).items() if times > 1]
    if twice:
        raise InputError(f"two sets are called {twice[0]!r}; name them: first={twice[0]} second=...")
    loaded = [load_classifier(name, pick_device(resources.device)) for name in models]
    results, average = [], {}
    for shown, classifier in zip(_distinct(loaded), loaded, strict=True):
        scored = [
            transfer(TransferTask(classifier, shown, images, name, known), spec, out, resources, progress)
            for name, images, known in opened
        ]
        results += [one.result for one in scored]
        average[shown] = averages(scored, resamples=spec.bootstrap, seed=spec.seed)
    found = {"results": results, "average": average, "spec": spec.model_dump(mode="json"), "out": str(out)}
    write_json(out / "transfer.json", found)
    write_table(out / "transfer.parquet", map(_row, results), TABLE)
    return found


def _opened(item: TransferSet) -> tuple[str, ImageSource, Any]:
    images = open_images(item.path)
    known = recognise(item.name, images.name, len(images.classes) - len(images.empty_classes))
    return item.name or (known.name if known else images.name), images, known


def _distinct(loaded: Sequence[Classifier]) -> list[str]:
    """What each model is called: its name, and a part of its fingerprint where two have one name."""
    times = Counter(one.name for one in loaded)
    return [one.name if times[one.name] == 1 else f"{one.name}-{one.fingerprint[:6]}" for one in loaded]


def _row(result: dict[str, Any]) -> dict[str, Any]:
    accuracy = result["accuracy"]
    return {
        **{name: result[name] for name in ("model", "set", "solver", "classes")},
        **result["images"],
        "accuracy": accuracy["value"],
        "ci_low": accuracy["ci_low"],
        "ci_high": accuracy["ci_high"],
        "mean_per_class": result["mean_per_class"]["value"],
    }
