"""Training classifiers and scoring them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from synthgap import views
from synthgap.commands.options import Flat, Output, located
from synthgap.console import Progress, emit, hint
from synthgap.core.errors import InputError
from synthgap.core.specs import EvaluateSpec, LearningResources, TrainSpec

if TYPE_CHECKING:
    from synthgap.store.rows import ImageSource

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
    shares = [ImageShare(_open(path), share) for path, share in map(_with_share, sets)]
    result = learn(
        shares,
        spec or TrainSpec(),
        out,
        resources,
        validation=None if validation is None else _open(validation),
        progress=Progress(),
        note=lambda text: hint(f"note: {text}"),
    )
    if find_rank(os.environ).rank == 0:
        emit(result, output, views.trained)


def evaluate(
    model: str,
    images: str,
    *,
    out: Path | None = None,
    spec: Annotated[EvaluateSpec | None, Flat] = None,
    resources: Learning = None,
    output: Output = "human",
) -> None:
    """Score a classifier on an image set: top-1, top-5, calibration, per class, on the classes that both have.

    Parameters
    ----------
    model: str
        Folder of `synthgap train`, local-dir:FOLDER, hf-hub:ID or a timm model with weights.
    images: str
        Image folder, set folder, Parquet or 'lab:NAME'.
    out: Path
        Folder for predictions.parquet and evaluation.json.
    """
    from synthgap.stages.evaluation import evaluate as score

    found = score(model, _open(images), spec or EvaluateSpec(), resources, out=out, progress=Progress())
    emit(found, output, views.scored)


def _with_share(text: str) -> tuple[str, float | None]:
    """``SET@0.5`` as set and share; a path that exists is never cut."""
    path, at, share = text.rpartition("@")
    if not at or Path(text).expanduser().exists():
        return text, None
    try:
        number = float(share)
    except ValueError:
        return text, None
    if not 0 < number < float("inf"):
        raise InputError(f"{text}: its share is {share}; expected a number above 0, such as {path}@0.5")
    return path, number


def _open(name: str) -> ImageSource:
    from synthgap.store.sources import open_images

    return open_images(located(Path(name)))
