"""The command line: one subcommand per public function. No logic, no defaults of its own; heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from synthgap import __version__
from synthgap.commands import (
    linting,
    making,
    measuring,
    proving,
    refining,
    reviewing,
    sharing,
    steering,
    studies,
    training,
    transferring,
    words,
    worlds,
)
from synthgap.console import guarded
from synthgap.core.errors import InputError


def _one_line(error: CycloptsError) -> str:
    """A usage error as one line with the next step, such as pydantic's own, which takes five."""
    from pydantic import ValidationError

    cause = error.__cause__
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        option = "--" + ".".join(part for part in first["loc"] if isinstance(part, str)).replace("_", "-")
        return f"{option}: {first['msg'].lower()}, found {first['input']!r}"
    command = " ".join(["synthgap", *(error.command_chain or ())])
    if isinstance(error, UnusedCliTokensError):
        return f"{command} takes no {' '.join(map(repr, error.unused_tokens or ()))}; see {command} --help"
    return " ".join(str(error).split()).removesuffix(".") + f"; see {command} --help"


app = App(
    name="synthgap",
    version=__version__,
    help="Make labelled image sets from text-to-image models, measure how far they are from natural images, and learn why, class by class, and what to change.",
    default_parameter=Parameter(negative_iterable=()),  # no --empty-x beside a list --x
)
lab = App(name="lab", help="The miniature world: train one on any labelled image set, and evaluate it.")
classes = App(name="classes", help="Class lists and the senses of a word.")
app.command(lab)
app.command(classes)


for command in (
    studies.demo,
    studies.run,
    measuring.compare,
    measuring.measure,
    measuring.trials,
    making.generate,
    making.presets,
    making.status,
    steering.sweep,
    steering.probe,
    steering.triage,
    sharing.export,
    sharing.push,
    measuring.embed,
    training.train,
    training.evaluate,
    transferring.transfer,
    proving.matrix,
    proving.scaling,
    studies.report,
    words.prompts,
    linting.lint,
    refining.refine,
    reviewing.review,
):
    app.command(command)
classes.command(words.classes_show, name="show")
classes.command(words.classes_list, name="list")
lab.command(worlds.lab_train, name="train")
lab.command(worlds.lab_evaluate, name="evaluate")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0, 1 (ran, failed), 2 (wrong input) or 130 (interrupted)."""
    sys.exit(guarded(lambda: _dispatch(arguments)))


LISTS = ("--knn", "--guidance", "--steps", "--sizes")


def _lists_apart(tokens: list[str]) -> list[str]:
    """Turn ``--knn 1,5`` into ``--knn 1 --knn 5``, as the parser takes lists."""
    apart: list[str] = []
    for token in tokens:
        name = apart[-1] if apart else ""
        if name in LISTS and "," in token:
            apart += [item for value in token.split(",") for item in (value, name)][:-1]
        else:
            apart.append(token)
    return apart


def _dispatch(arguments: Sequence[str] | None) -> None:
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(_lists_apart(tokens), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise InputError(_one_line(error)) from error
