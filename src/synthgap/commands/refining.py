"""Acting on what a comparison found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from synthgap import views
from synthgap.commands.options import Flat, How, Output, located
from synthgap.console import Progress, emit, hint
from synthgap.core.specs import RefineSpec


def refine(
    run: Path,
    *,
    out: Path | None = None,
    spec: Annotated[RefineSpec | None, Flat] = None,
    dry_run: bool = False,
    natural: Path | None = None,
    synthetic: Path | None = None,
    generator: str | None = None,
    classes: str | None = None,
    overrides: Path | None = None,
    captions: Path | None = None,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Act on what a comparison found: draw the classes at fault otherwise, with the same noise, and tell what it brought.

    Half of the natural images steers, the other half is reported on. A class that got worse is brought back.

    Parameters
    ----------
    run: Path
        Run folder of compare or run.
    out: Path
        Folder for adjustments.yaml, the refined set and refine.json; RUN/refined by default. The same command continues.
    dry_run: bool
        Write adjustments.yaml, tell what would be drawn, and stop. Edit the file before you go on.
    natural: Path
        Where the run's natural images are, if they have moved.
    synthetic: Path
        Where the set to refine is, if it has moved.
    generator: str
        Folder of the generator that drew the set, where its name alone does not find it.
    classes: str
        Class list that the set was drawn from, where it was a file.
    overrides: Path
        Clarified prompts that the set was drawn with.
    captions: Path
        Captions that the set was drawn with.
    """
    from synthgap.pipeline.refine_origin import Where
    from synthgap.pipeline.refining import refine as act

    moved = None if natural is None else located(natural)
    where = Where(moved, synthetic, generator, classes, overrides, captions)
    found = act(
        run,
        out,
        spec,
        where,
        resources,
        dry_run=dry_run,
        progress=Progress(),
        note=lambda text: hint(f"note: {text}"),
    )
    emit(found, output, views.refined)
