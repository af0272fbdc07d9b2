"""From a classifier and an image set to figures, on the classes that both have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.specs import EvaluateSpec, LearningResources
from synthgap.models.classifiers import Classifier, load_classifier
from synthgap.models.devices import pick_device
from synthgap.stages.evaluation.matching import Matched, match
from synthgap.stages.evaluation.opening import ScoredSet, scored_set
from synthgap.stages.evaluation.predicting import Predictions, Progress, predict
from synthgap.stages.evaluation.scores import Hits, figures, hits, mean_over_sets
from synthgap.store.atomic import write_json
from synthgap.store.keys import eval_split, safe_key
from synthgap.store.rows import ImageSource
from synthgap.store.sources import keep_apart
from synthgap.store.tables import write_table

PREDICTIONS = pa.schema(
    [(name, pa.string()) for name in ("image_key", "class_key", "predicted")]
    + [(name, pa.float64()) for name in ("confidence", "probability")]
    + [("error", pa.string())]
)
"""A row per image: its class, what is seen, how surely, the probability of its own class; or why it was skipped."""


def evaluate(
    model: str | Path,
    images: ImageSource | ScoredSet,
    spec: EvaluateSpec,
    resources: LearningResources | None = None,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a classifier on an image set.

    Classes are matched by WordNet id where they are ImageNet's, else by key or name. Where one side has more, the
    logits are restricted to the common classes and images of other classes are left out, as S Table 2 scores models of
    100 classes; ``notes`` say so.

    Returns:
        ``top_1``, ``top_5`` (from six common classes on) and ``expected_calibration_error``, each with ``overall`` and
        the first two with ``per_class``; the model's and set's names, which of ImageNet's test sets it is
        (``benchmark`` and ``variant``, or None), the numbers of classes and skipped images, notes.

    Raises:
        InputError: no such model, no class in common, no such split, or no image that can be decoded.
        Interrupted: SIGINT or SIGTERM came.
    """
    resources = resources or LearningResources()
    classifier = load_classifier(str(model), pick_device(resources.device))
    chosen = images if isinstance(images, ScoredSet) else scored_set(images)
    result, _ = _score(classifier, chosen, spec, resources, out=out, progress=progress)
    return result


def evaluate_sets(
    model: str | Path,
    sets: Sequence[ScoredSet],
    spec: EvaluateSpec,
    resources: LearningResources | None = None,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a classifier on several image sets, as a row of S Table 2.

    Returns:
        ``sets``, what `evaluate` finds for each with its ``label``; and ``mean`` with top-1 and top-5 over the sets, in
        which each test set counts once, the variants of ImageNet-v2 together. ``out`` gets a folder for each set.

    Raises:
        InputError: as `evaluate`, or two sets of one label.
        Interrupted: SIGINT or SIGTERM came.
    """
    resources = resources or LearningResources()
    twice = [label for label, times in Counter(one.label for one in sets).items() if times > 1]
    if twice:
        raise InputError(
            f"two sets are called {twice[0]!r}; name which of ImageNet's test sets each is, or leave one out"
        )
    classifier = load_classifier(str(model), pick_device(resources.device))
    results, right = [], []
    for one in sets:
        place = None if out is None else out / safe_key(one.label)
        result, hits = _score(classifier, one, spec, resources, out=place, progress=progress)
        results.append({"label": one.label, **result})
        right.append(hits)
    groups = [one.benchmark.name if one.benchmark else one.label for one in sets]
    means = mean_over_sets(right, groups, resamples=spec.bootstrap, seed=spec.seed)
    found = {"model": classifier.name, "sets": results, "mean": means}
    if out is not None:
        write_json(out / "evaluation.json", found)
    return found


def _score(
    classifier: Classifier,
    chosen: ScoredSet,
    spec: EvaluateSpec,
    resources: LearningResources,
    *,
    out: Path | None,
    progress: Progress | None,
) -> tuple[dict[str, Any], Hits]:
    """The result of one set, and whether each image was right."""
    images = chosen.images
    if out is not None:
        keep_apart(out, images)
    split = spec.split or eval_split(images.splits)
    if split is not None and split not in images.splits:
        raise InputError(f"{images.path}: has no split {split!r}; it has {', '.join(map(repr, images.splits))}")
    splits = images.splits if split is None else (split,)
    present = {key: name for key, name in images.classes.items() if any(images.counts[one][key] for one in splits)}
    matched = match(present, classifier.classes, chosen.wnids)
    if len(matched.pairs) < 2:
        raise InputError(
            f"{images.path}: has {counted(len(matched.pairs), 'class')} in common with {classifier.name}, two are needed; it has "
            f"{_some(present)}, the model {_some(classifier.classes)}{matched.advice}"
        )
    found = predict(
        classifier,
        images.rows(split),
        {own: number for number, (own, _, _) in enumerate(matched.pairs)},
        torch.tensor([output for _, output, _ in matched.pairs]),
        workers=resources.workers,
        total=sum(images.counts[one][own] for one in splits for own, _, _ in matched.pairs),
        progress=progress,
    )
    left_out = sum(images.counts[one][key] for one in splits for key in matched.lacking)
    benchmark = chosen.benchmark
    result = {
        "model": classifier.name,
        "set": images.name,
        "benchmark": benchmark.name if benchmark else None,
        "variant": benchmark.variant if benchmark else None,
        "split": split,
        **figures(
            found.logits,
            found.labels,
            _shown({own: name for own, _, name in matched.pairs}),
            bins=spec.bins,
            resamples=spec.bootstrap,
            seed=spec.seed,
        ),
        "classes": {
            "scored": len(matched.pairs),
            "only_in_set": len(matched.lacking),
            "only_in_model": len(matched.surplus),
        },
        "skipped": len(found.broken),
        "notes": [*chosen.notes, *_notes(classifier, matched, left_out, found)],
    }
    if out is not None:
        _write(out, result, found, [matched.keys[own] for own, _, _ in matched.pairs])
    return result, hits(found.logits, found.labels)


def _shown(names: Mapping[str, str]) -> dict[str, str]:
    """What each class goes by: its name, or its key where two have one name."""
    times = Counter(names.values())
    return {key: name if times[name] == 1 else key for key, name in names.items()}


def _some(names: Mapping[str, str]) -> str:
    shown = ", ".join(list(names.values())[:4])
    return f"{len(names)} ({shown}{', ...' if len(names) > 4 else ''})"


def _notes(classifier: Classifier, matched: Matched, left_out: int, found: Predictions) -> list[str]:
    notes = []
    if matched.surplus:
        notes.append(
            f"scored on {len(matched.pairs)} of the model's {counted(len(classifier.classes), 'class')}: the others are not in the "
            "set, and their logits do not count"
        )
    if matched.lacking:
        notes.append(
            f"left out: {counted(left_out, 'image')} of {counted(len(matched.lacking), 'class')} that the model does not have"
        )
    notes += [
        f"{counted(count, 'image')} skipped: {reason}"
        for reason, count in Counter(found.broken.values()).most_common(5)
    ]
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
