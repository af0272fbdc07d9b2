"""Making sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from synthgap.commands.options import Flat, How, Output
from synthgap.console import Progress, emit, hint
from synthgap.core.specs import GenerateSpec


def generate(
    *,
    out: Path,
    spec: Annotated[GenerateSpec | None, Flat] = None,
    world: Annotated[
        str, Parameter(help="World that gives the generator: lab, or a folder of `synthgap lab train`.")
    ] = "lab",
    resources: How = None,
    output: Output = "human",
) -> None:
    """Draw a synthetic set from names, synsets or a class list.

    Parameters
    ----------
    out: Path
        Set folder; the same command continues.
    """
    from synthgap.stages.generation import generate as draw
    from synthgap.store.sets import ImageSet
    from synthgap.vocabulary.lists import resolve

    wanted = spec or GenerateSpec()
    if world != "lab" and wanted.generator == "lab":
        wanted = wanted.model_copy(update={"generator": str(Path(world) / "generator")})
    for note in resolve(wanted.classes).notes:
        hint(f"note: {note}")
    draw(wanted, out, resources, Progress())
    done = ImageSet(out).done_shards().values()
    result = {
        "out": str(out),
        "images": sum(d.ok for d in done),
        "failed": sum(d.failed for d in done),
        "shards": len(done),
    }
    emit(
        result,
        output,
        lambda r: f"{r['images']} images in {r['out']}" + (f", {r['failed']} failed" if r["failed"] else ""),
    )
