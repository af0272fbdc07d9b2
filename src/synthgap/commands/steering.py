"""Steering a generator: guidance and steps, prompts of one class, labels that draw something else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from synthgap import views
from synthgap.commands.options import Flat, How, Output, command_line, located, of_world
from synthgap.console import Progress, emit, hint
from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec, GenerateSpec, MeasureSpec, ProbeSpec, Resources, SweepSpec, TriageSpec

if TYPE_CHECKING:
    from synthgap.pipeline import CompareOptions, SetInput

Drawing = Annotated[GenerateSpec | None, Flat]
Measuring = Annotated[MeasureSpec | None, Parameter(name="measure")]
World = Annotated[
    str, Parameter(help="World that gives generator and encoder: lab, or a folder of `synthgap lab train`.")
]
EncoderName = Annotated[
    str | None, Parameter(help="'lab', or a folder or Hub id of an encoder; the world's by default.")
]


def sweep(
    *,
    out: Path,
    natural: str | None = None,
    spec: Drawing = None,
    varied: Annotated[SweepSpec | None, Flat] = None,
    world: World = "lab",
    encoder: EncoderName = None,
    measure: Measuring = None,
    dry_run: bool = False,
    trial: bool = True,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Draw the same classes and noise at several guidances, and find the one as diverse as natural images.

    Parameters
    ----------
    out: Path
        Folder for sets/, sweep.json, sweep.parquet, strip.png and sweep.svg; the same command continues.
    natural: str
        Natural images or embeddings, or 'lab:natural'; without them only absolute figures are known.
    dry_run: bool
        Tell how many images and how long, and stop.
    trial: bool
        Draw two batches of each speed for the time of a dry run.
    """
    from synthgap.pipeline.sweeps import sweep as run
    from synthgap.pipeline.sweeps import sweep_estimate

    wanted, options = _drawing(spec, world), _options(encoder, world, measure, resources)
    if dry_run:
        emit(sweep_estimate(wanted, out, varied, options, trial=trial), output, views.steering_estimate)
        return
    found = run(wanted, out, _set(natural), varied, options, _say)
    emit(found, output, views.swept)


def probe(
    class_: str,
    /,
    *,
    prompts: Annotated[list[str], Parameter(consume_multiple=True)],
    against: str,
    out: Path,
    natural: str | None = None,
    spec: Drawing = None,
    probed: Annotated[ProbeSpec | None, Flat] = None,
    world: World = "lab",
    encoder: EncoderName = None,
    measure: Measuring = None,
    dry_run: bool = False,
    trial: bool = True,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Draw one class by several prompts with the same noise, and tell what each wins and loses.

    Parameters
    ----------
    class_: str
        A name, synset or WordNet id.
    prompts: list[str]
        Prompts; the others are compared with the first.
    against: str
        Set whose class centroids are the references: images or embeddings, or 'lab:natural'.
    out: Path
        Folder for sets/, probe.json and strip.png; the same command continues.
    natural: str
        Natural images or embeddings, as further references.
    dry_run: bool
        Tell how many images and how long, and stop.
    trial: bool
        Draw two batches for the time of a dry run.
    """
    from synthgap.pipeline.probes import probe as run
    from synthgap.pipeline.probes import probe_estimate

    wanted = _drawing(spec, world).model_copy(update={"classes": class_})
    options = _options(encoder, world, measure, resources)
    if dry_run:
        found = probe_estimate(wanted, prompts, out, probed, options, trial=trial)
        emit(found, output, views.steering_estimate)
        return
    reference = _existing(against)
    emit(run(wanted, prompts, out, reference, _set(natural), probed, options, _say), output, views.probed)


def triage(
    set_or_classes: str,
    /,
    *,
    out: Path,
    natural: str | None = None,
    apply: Annotated[bool, Parameter(negative=())] = False,
    spec: Drawing = None,
    asked: Annotated[TriageSpec | None, Flat] = None,
    world: World = "lab",
    encoder: EncoderName = None,
    measure: Measuring = None,
    dry_run: bool = False,
    trial: bool = True,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Find the labels that draw something else than they mean, and put them up for review, worst first.

    Parameters
    ----------
    set_or_classes: str
        A set of images; or classes to draw: a shipped list, a file, or comma-separated names.
    out: Path
        Folder for triage.yaml, triage.html and triage.json; the same command continues and keeps your decisions.
    natural: str
        Natural images or embeddings, or 'lab:natural'.
    apply: bool
        Draw by the clarified prompts too, and measure what they win, in pairs on the same noise.
    dry_run: bool
        Tell how many images and how long, and stop.
    trial: bool
        Draw two batches for the time of a dry run.
    """
    from synthgap.pipeline.triaging import triage as run
    from synthgap.pipeline.triaging import triage_estimate

    wanted, options = _drawing(spec, world), _options(encoder, world, measure, resources)
    target = _target(set_or_classes)
    if target is None:
        wanted = wanted.model_copy(update={"classes": set_or_classes})
    if dry_run and target is not None:
        raise InputError(
            f"--dry-run tells what would be drawn, and {set_or_classes} is a set that is there; leave it out"
        )
    if dry_run:
        found = triage_estimate(wanted, out, asked, options, trial=trial)
        emit(found, output, views.steering_estimate)
        return
    found = run(wanted, out, target, _set(natural), asked, options, _say, apply=apply)
    emit(found, output, views.triaged)


def _say(text: str) -> None:
    hint(f"note: {text}")


def _drawing(spec: GenerateSpec | None, world: str) -> GenerateSpec:
    wanted = spec or GenerateSpec()
    if world != "lab" and wanted.generator == "lab":
        return wanted.model_copy(update={"generator": of_world(world, "generator")})
    return wanted


def _options(
    encoder: str | None, world: str, measure: MeasureSpec | None, resources: Resources | None
) -> CompareOptions:
    from synthgap.pipeline import CompareOptions

    own = encoder or of_world(world, "encoder")
    return CompareOptions(
        encoder=EncoderSpec(encoder=own),
        measure=measure or MeasureSpec(),
        resources=resources or Resources(),
        progress=Progress(),
        command=command_line(),
    )


def _set(name: str | None) -> SetInput | None:
    return None if name is None else _existing(name)


def _existing(name: str) -> SetInput:
    from synthgap.pipeline import SetInput
    from synthgap.study import LAB

    return SetInput(located(Path(name)), name.removeprefix(LAB) if name.startswith(LAB) else "")


def _target(text: str) -> SetInput | None:
    """The set that a text names; None for classes, such as those of a list in a file."""
    from synthgap.study import LAB

    path = Path(text).expanduser()
    is_set = path.is_dir() or (path.is_file() and path.suffix.lower() in {".parquet", ".npz", ".npy"})
    return _existing(text) if is_set or text.startswith(LAB) else None
