"""Training classifiers and scoring them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from synthgap import views
from synthgap.commands.options import Flat, Output, located, open_set, with_share
from synthgap.console import Progress, emit, hint
from synthgap.core.errors import InputError
from synthgap.core.specs import EvaluateSpec, LearningResources, TrainSpec

Learning = Annotated[LearningResources | None, Flat]


def train(
    *sets: str,
    out: Path,
    validation: str | None = None,
    spec: Annotated[TrainSpec | None, Flat] = None,
    resources: Learning = None,
    output: Output = "human",
) -> None:
    """Train a classifier from random weights on an image set, or on a mixture of several.

    Parameters
    ----------
    sets: str
        Image folders, set folders, Parquet or 'lab:NAME'; SET@SHARE for its share of a mixture: real@0.5 drawn@0.5.
    out: Path
        Folder for the model, in timm's format; the same command continues.
    validation: str
        Images for the accuracy after each epoch; by default a share of the training images is kept apart.
    """
    from synthgap.execution.ranks import find_rank
    from synthgap.stages.training import ImageShare
    from synthgap.stages.training import train as learn

    if not sets:
        raise InputError("no image set; expected synthgap train SET --out FOLDER")
    shares = [ImageShare(open_set(path), share) for path, share in map(with_share, sets)]
    result = learn(
        shares,
        spec or TrainSpec(),
        out,
        resources,
        validation=None if validation is None else open_set(validation),
        progress=Progress(),
        note=lambda text: hint(f"note: {text}"),
    )
    if find_rank(os.environ).rank == 0:
        emit(result, output, views.trained)


def evaluate(
    model: str,
    *sets: str,
    out: Path | None = None,
    spec: Annotated[EvaluateSpec | None, Flat] = None,
    resources: Learning = None,
    output: Output = "human",
) -> None:
    """Score a classifier on image sets: top-1, top-5, calibration, per class, on the classes that both have.

    Parameters
    ----------
    model: str
        Folder of `synthgap train`, local-dir:FOLDER, hf-hub:ID or a timm model with weights.
    sets: str
        Image folders, set folders, Parquet, 'lab:NAME' or 'timm:READER/NAME[@ROOT]'; ImageNet's test sets also by name:
        val=PATH v2-matched-frequency=PATH sketch=PATH r=PATH a=PATH. Several give one table.
    out: Path
        Folder for predictions.parquet and evaluation.json; with several sets a folder for each.
    """
    from synthgap.stages.evaluation import evaluate as score
    from synthgap.stages.evaluation import evaluate_sets, open_scored, with_name

    if not sets:
        raise InputError("no image set; expected synthgap evaluate MODEL SET")
    spec = spec or EvaluateSpec()
    named = [with_name(text) for text in sets]
    opened = [open_scored(_place(place), name=name, split=spec.split) for name, place in named]
    if len(opened) == 1:
        found = score(model, opened[0], spec, resources, out=out, progress=Progress())
    else:
        found = evaluate_sets(model, opened, spec, resources, out=out, progress=Progress())
    emit(found, output, views.scored)


def _place(text: str) -> str:
    """A set's place as text: readers of timm keep their slashes."""
    return text if text.startswith("timm:") else str(located(Path(text)))
