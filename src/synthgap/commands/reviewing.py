"""Reviewing a run by eye: the local web app."""

from __future__ import annotations

import sys
from pathlib import Path

from synthgap.commands.options import How, located
from synthgap.console import hint


def review(
    run: Path,
    *,
    target: str | None = None,
    out: Path | None = None,
    port: int = 0,
    browser: bool = True,
    natural: Path | None = None,
    synthetic: Path | None = None,
    generator: str | None = None,
    classes: str | None = None,
    overrides: Path | None = None,
    captions: Path | None = None,
    resources: How = None,
) -> None:
    """Look at the worst classes in the browser, clarify a prompt, redraw it, keep or undo.

    The decisions are RUN/refined/adjustments.yaml, which `synthgap refine RUN` acts on. Ctrl-C ends it.

    Parameters
    ----------
    run: Path
        Run folder of compare or run.
    target: str
        Set of the run to review, by its name; the main one by default.
    out: Path
        Folder for adjustments.yaml and the refined set; RUN/refined by default.
    port: int
        Port of this machine to listen at; a free one by default.
    browser: bool
        Open the page in the browser.
    natural: Path
        Where the run's natural images are, if they have moved.
    synthetic: Path
        Where the set is, if it has moved.
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
    from synthgap.review.serving import check_extra, serve

    check_extra()
    from synthgap.review.desk import Desk

    moved = None if natural is None else located(natural)
    desk = Desk(run, out, target, Where(moved, synthetic, generator, classes, overrides, captions), resources)

    def ready(address: str) -> None:
        print(address, flush=True)
        hint(f"decisions go into {desk.decisions.path}; Ctrl-C ends the review")
        if browser and sys.stdout.isatty():
            import webbrowser

            webbrowser.open(address)

    serve(desk, port, ready)
