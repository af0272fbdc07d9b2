"""The lab: train a miniature world, and evaluate it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from synthgap import views
from synthgap.commands.options import Flat, Output, located
from synthgap.console import Progress, emit
from synthgap.core.specs import LabSpec


def lab_train(
    images: Path,
    *,
    out: Path,
    spec: Annotated[LabSpec | None, Flat] = None,
    part: Literal["all", "tokenizer", "autoencoder", "denoiser", "encoder", "judge"] = "all",
    threads: int | None = None,
) -> None:
    """Train a world (generator, encoder, judge) on a labelled image set; the same command continues.

    Parameters
    ----------
    images: Path
        Image folder, set folder or Parquet of natural photographs.
    out: Path
        World folder.
    part: str
        Train this part only.
    threads: int
        Processor threads; all by default.
    """
    from synthgap.lab.train import train_world

    train_world(images, out, spec or LabSpec(), part, Progress(), threads)
    print(out)


def lab_evaluate(
    images: Path,
    *,
    out: Path,
    world: str = "lab",
    classes: str = "cifar-10",
    per_class: int = 50,
    output: Output = "human",
) -> None:
    """Evaluate a world on natural images it never saw: zero-shot, judged images at each guidance, a contact sheet.

    Parameters
    ----------
    images: Path
        Natural images that the world was not trained on; 'lab:natural' for the shipped ones.
    out: Path
        Folder for evaluation.json and contact_sheet.png.
    """
    from synthgap.lab.evaluate import evaluate_world
    from synthgap.models import lab_path
    from synthgap.store.atomic import write_json

    folder = lab_path("generator").parent if world == "lab" else Path(world)
    source = located(images)
    found = evaluate_world(folder, source, out, classes=classes, per_class=per_class, report=Progress()).as_dict()
    write_json(out / "evaluation.json", found)
    emit(found, output, views.evaluation)
