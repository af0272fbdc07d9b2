"""Making sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from synthgap import views
from synthgap.commands.options import Flat, How, Output, of_world
from synthgap.console import Progress, emit, hint
from synthgap.core.specs import GenerateSpec


def generate(
    *,
    out: Path,
    spec: Annotated[GenerateSpec | None, Flat] = None,
    preset: str | None = None,
    world: Annotated[
        str, Parameter(help="World that gives the generator: lab, or a folder of `synthgap lab train`.")
    ] = "lab",
    dry_run: bool = False,
    trial: bool = True,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Draw a synthetic set from names, synsets or a class list.

    Parameters
    ----------
    out: Path
        Set folder; the same command continues, and with more images or classes the set grows.
    preset: str
        Settings of a set of the papers; options beside it win. `synthgap presets` lists them.
    dry_run: bool
        Tell how many images, which prompts, how much disk and how long, and stop.
    trial: bool
        Draw two batches for the time of a dry run.
    """
    from synthgap.stages.generation import estimate
    from synthgap.stages.generation import generate as draw
    from synthgap.store.sets import ImageSet

    wanted = _with_preset(spec or GenerateSpec(), preset)
    if world != "lab" and wanted.generator == "lab":
        wanted = wanted.model_copy(update={"generator": of_world(world, "generator")})
    if dry_run:
        emit(vars(estimate(wanted, out, resources, trial=trial)), output, views.estimate)
        return
    draw(wanted, out, resources, Progress(), lambda text: hint(f"note: {text}"))
    done = ImageSet(out).done_shards(verify=False).values()
    flags = [d.flagged for d in done if d.flagged is not None]
    result = {
        "out": str(out),
        "images": sum(d.ok for d in done),
        "failed": sum(d.failed for d in done),
        "flagged": sum(flags) if flags else None,
        "shards": len(done),
    }
    emit(result, output, views.drawn)


def _with_preset(spec: GenerateSpec, preset: str | None) -> GenerateSpec:
    """The preset's settings, and over them what was written on the command line."""
    if preset is None:
        return spec
    from synthgap.core.config import load_spec
    from synthgap.stages.presets import load_preset

    written = {name: getattr(spec, name) for name in spec.model_fields_set}
    return load_spec(GenerateSpec, load_preset(preset) | written)


def presets(*, output: Output = "human") -> None:
    """List the papers' sets that `generate --preset` draws."""
    from synthgap.stages.presets import presets as known

    emit(known(), output, lambda found: "\n".join(f"{name:32} {what}" for name, what in found.items()))


def status(folder: Path, *, output: Output = "human") -> None:
    """Tell how far a set or a run is, how fast it goes and how long it will take; also while others draw it.

    Parameters
    ----------
    folder: Path
        Set, embedding or run folder.
    """
    from dataclasses import asdict

    from synthgap.store.status import status as read

    emit([asdict(one) | {"finished": one.finished} for one in read(folder)], output, views.status)
