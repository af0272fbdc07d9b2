"""Whole studies: draw, compare, prove, report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from synthgap import views
from synthgap.commands.options import How, Output, command_line
from synthgap.console import Progress, emit, hint
from synthgap.core.config import load_spec
from synthgap.core.specs import LearningResources, Resources


def demo(
    *,
    out: Path = Path("runs/demo"),
    resources: How = None,
    output: Output = "human",
) -> None:
    """Run the main job on the shipped real images: how far, why, and what to change.

    Parameters
    ----------
    out: Path
        Run folder; the same command continues.
    """
    run("demo", out=out, resources=resources, output=output)


def run(
    study: str,
    *,
    out: Path,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", help="Override a key of the study: a.b=c.")] = (),
    print_config: bool = False,
    dry_run: bool = False,
    trial: bool = True,
    memory: float | None = None,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Run a study: draw its sets, compare each with the natural images, prove it with classifiers, report.

    Parameters
    ----------
    study: str
        A YAML file, or the name of a shipped study (demo, miniature, marwood2023, sariyildiz2022, sariyildiz2022-1k).
    out: Path
        Run folder; the same command continues.
    print_config: bool
        Print the resolved study and stop.
    dry_run: bool
        Tell how many sets, images, networks and steps, how much disk and how long where that can be known, and stop.
    trial: bool
        Draw two batches of each set for the time of a dry run.
    memory: float
        GiB of images that training keeps in memory.
    """
    from synthgap.study import load_study

    spec = load_study(study, set_)
    if print_config:
        import yaml

        print(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False), end="")
        return
    if dry_run:
        from synthgap.study.estimate import estimate_study

        emit(asdict(estimate_study(spec, out, resources, trial=trial)), output, views.study_estimate)
        return
    from synthgap.study.running import StudyOptions, run_study

    given = resources or Resources()
    options = StudyOptions(
        given, _learning(given, memory), Progress(), lambda text: hint(f"note: {text}"), command_line()
    )
    emit(run_study(spec, out, options), output, lambda found: views.study(found, out))


def _learning(resources: Resources, memory: float | None) -> LearningResources:
    """Training takes the first of the devices to draw on."""
    device = resources.device.split(",")[0].strip() if resources.device else None
    own = {} if memory is None else {"memory": memory}
    return load_spec(LearningResources, {"device": device, "workers": resources.workers} | own)


def report(run: Path) -> None:
    """Write the report of a run folder again, from its tables.

    Parameters
    ----------
    run: Path
        Run folder of compare, run or demo.
    """
    from synthgap.stages.report import write_report

    print(write_report(run))
