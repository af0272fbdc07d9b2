"""Whole studies: draw, compare, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from synthgap import views
from synthgap.commands.options import How, Output, command_line
from synthgap.console import Progress, emit


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
    resources: How = None,
    output: Output = "human",
) -> None:
    """Run a study: draw its sets, compare each with the natural images, report.

    Parameters
    ----------
    study: str
        A YAML file, or the name of a shipped study (demo).
    out: Path
        Run folder; the same command continues.
    print_config: bool
        Print the resolved study and stop.
    """
    from synthgap.study import load_study, run_study

    spec = load_study(study, set_)
    if print_config:
        import yaml

        print(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False), end="")
        return
    summary = run_study(spec, out, resources, Progress(), command_line())
    emit(summary, output, lambda found: views.summary(found, out))


def report(run: Path) -> None:
    """Write the report of a run folder again, from its tables.

    Parameters
    ----------
    run: Path
        Run folder of compare, run or demo.
    """
    from synthgap.stages.report import write_report

    print(write_report(run))
