"""From a classifier and an image set to figures, on the classes that both have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from synthgap.core.errors import InputError
from synthgap.core.specs import EvaluateSpec, LearningResources
from synthgap.models.classifiers import Classifier, load_classifier
from synthgap.models.devices import pick_device
from synthgap.stages.evaluation.predicting import Predictions, Progress, predict
from synthgap.stages.evaluation.scores import figures
from synthgap.store.atomic import write_json
from synthgap.store.keys import eval_split
from synthgap.store.match import align_classes
from synthgap.store.rows import ImageSource
from synthgap.store.tables import write_table

PREDICTIONS = pa.schema(
    [(name, pa.string()) for name in ("image_key", "class_key", "predicted")]
    + [(name, pa.float64()) for name in ("confidence", "probability")]
    + [("error", pa.string())]
)
"""A row per image: its class, what is seen, how surely, the probability of its own class; or why it was skipped."""


def evaluate(
    model: str | Path,
    images: ImageSource,
    spec: EvaluateSpec,
    resources: LearningResources | None = None,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a classifier on an image set.

    Classes are matched by key or name. Where one side has more, the logits are restricted to the common classes and
    images of other classes are left out, as S Table 2 scores models of 100 classes; ``notes`` say so.

    Returns:
        ``top_1``, ``top_5`` (from six common classes on) and ``expected_calibration_error``, each with ``overall`` and
        the first two with ``per_class``; the model's and set's names, the numbers of classes and skipped images, notes.

    Raises:
        InputError: no such model, no class in common, no such split, or no image that can be decoded.
        Interrupted: SIGINT or SIGTERM came.
    """
    resources = resources or LearningResources()
    classifier = load_classifier(str(model), pick_device(resources.device))
    split = spec.split or eval_split(images.splits)
    if split is not None and split not in images.splits:
        raise InputError(f"{images.path}: has no split {split!r}; it has {', '.join(map(repr, images.splits))}")
    splits = images.splits if split is None else (split,)
    present = {key: name for key, name in images.classes.items() if any(images.counts[one][key] for one in splits)}
    pairs, lacking, surplus = align_classes(present, classifier.classes)
    if len(pairs) < 2:
        raise InputError(
            f"{images.path}: has {len(pairs)} classes in common with {classifier.name}, two are needed; it has "
            f"{_some(present)}, the model {_some(classifier.classes)}"
        )
    position = {key: number for number, key in enumerate(classifier.classes)}
    found = predict(
        classifier,
        images.rows(split),
        {own: number for number, (own, _, _) in enumerate(pairs)},
        torch.tensor([position[other] for _, other, _ in pairs]),
        workers=resources.workers,
        total=sum(images.counts[one][own] for one in splits for own, _, _ in pairs),
        progress=progress,
    )
    left_out = sum(images.counts[one][key] for one in splits for key in lacking)
    result = {
        "model": classifier.name,
        "set": images.name,
        "split": split,
        **figures(
            found.logits,
            found.labels,
            _shown({own: name for own, _, name in pairs}),
            bins=spec.bins,
            resamples=spec.bootstrap,
            seed=spec.seed,
        ),
        "classes": {"scored": len(pairs), "only_in_set": len(lacking), "only_in_model": len(surplus)},
        "skipped": len(found.broken),
        "notes": _notes(len(pairs), classifier, lacking, surplus, left_out, found),
    }
    if out is not None:
        _write(out, result, found, [own for own, _, _ in pairs])
    return result


def _shown(names: Mapping[str, str]) -> dict[str, str]:
    """What each class goes by: its name, or its key where two have one name."""
    times = Counter(names.values())
    return {key: name if times[name] == 1 else key for key, name in names.items()}


def _some(names: Mapping[str, str]) -> str:
    shown = ", ".join(list(names.values())[:4])
    return f"{len(names)} ({shown}{', ...' if len(names) > 4 else ''})"


def _notes(
    common: int, classifier: Classifier, lacking: list[str], surplus: list[str], left_out: int, found: Predictions
) -> list[str]:
    notes = []
    if surplus:
        notes.append(
            f"scored on {common} of the model's {len(classifier.classes)} classes: the others are not in the set, and "
            "their logits do not count"
        )
    if lacking:
        notes.append(f"{left_out} images of {len(lacking)} classes that the model does not have were left out")
    notes += [f"{count} images skipped: {reason}" for reason, count in Counter(found.broken.values()).most_common(5)]
    return notes


def _write(out: Path, result: dict[str, Any], found: Predictions, keys: list[str]) -> None:
    probabilities = found.logits.double().softmax(1)
    confidence, predicted = probabilities.max(1)
    own = probabilities.gather(1, found.labels.view(-1, 1)).squeeze(1)
    rows: list[dict[str, Any]] = [
        {
            "image_key": key,
            "class_key": keys[label],
            "predicted": keys[seen],
            "confidence": sure,
            "probability": share,
        }
        for key, label, seen, sure, share in zip(
            found.keys, found.labels.tolist(), predicted.tolist(), confidence.tolist(), own.tolist(), strict=True
        )
    ]
    rows += [{"image_key": key, "error": reason} for key, reason in found.broken.items()]
    write_table(out / "predictions.parquet", rows, PREDICTIONS)
    write_json(out / "evaluation.json", result)
