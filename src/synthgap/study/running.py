"""A study from beginning to end: draw, compare, trials, classifiers, scaling, transfer, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synthgap.core.specs import LearningResources, Resources, StudyClassifiers, StudySpec, StudyTransfer
from synthgap.pipeline import CompareOptions, SetInput, compare_many, cross_trials
from synthgap.pipeline.proving import TrainingSet, matrix, network_folder, scaling
from synthgap.pipeline.transferring import transfer_many
from synthgap.stages.generation import generate
from synthgap.stages.report import write_report
from synthgap.store.atomic import read_json, write_json
from synthgap.store.sources import open_images
from synthgap.study.checks import Networks, check_study, proof_options, targets_of
from synthgap.study.known import PROOF, TRANSFER, set_folder
from synthgap.study.places import placed
from synthgap.study.references import Learned
from synthgap.study.sets import expanded

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class StudyOptions:
    """How a study is run: nothing here changes a result."""

    resources: Resources = field(default_factory=Resources)
    learning: LearningResources = field(default_factory=LearningResources)
    progress: Progress | None = None
    note: Callable[[str], None] | None = None
    command: str = ""
    """The command line, for the summary."""


def run_study(spec: StudySpec, out: Path, options: StudyOptions | None = None) -> dict[str, Any]:
    """Run a study into the folder ``out``; the same call goes on with what is there.

    All that cannot run is told before anything is drawn. Sets are drawn into ``out/sets/NAME``; the comparison's and the
    trials' files are those of ``compare_many`` and ``cross_trials`` in ``out``; ``out/proof`` is a folder of ``matrix`` and
    ``scaling``, ``out/transfer`` of ``transfer_many``. The report is written after each part.

    Returns:
        The summary of the comparison, and what each part found under ``trials`` (averages), ``classifiers``,
        ``scaling`` and ``transfer``.

    Raises:
        InputError: data that is not given, or what a part cannot use.
        FingerprintError: a folder holds the result of another study.
        RunError: the disk is full, or what a part raises.
        Interrupted: SIGINT or SIGTERM came; what is finished is kept.
    """
    options, out = options or StudyOptions(), out.expanduser()
    spec = placed(expanded(spec))
    networks = check_study(spec, out, options.resources, options.learning)
    run = _Study(spec, out, options)
    run.draw()
    summary = run.compare()
    found: dict[str, Any] = {}
    if spec.trials is not None:
        with run.part("trials with classifiers"):
            found["trials"] = {"averages": run.trials()["averages"]}
    if spec.classifiers is not None and networks is not None:
        proof = _Proof(run, spec.classifiers, networks)
        with run.part("networks"):
            found["classifiers"] = proof.matrix()
            run.shown["classifiers"] = [one.name for one in networks.rows]
        if spec.scaling is not None:
            with run.part("networks on more and more images"):
                found["scaling"] = proof.scaling(spec.scaling.sizes)
                run.shown["scaling"] = [one.name for one in networks.scaled]
        if spec.transfer is not None:
            with run.part("transfer"):
                found["transfer"] = proof.transfer(spec.transfer)
                run.shown["transfer"] = list(found["transfer"]["average"])
    return summary | {"seconds": run.seconds, "parts": run.shown} | found


class _Study:
    """The folder of one study and the seconds of its parts."""

    def __init__(self, spec: StudySpec, out: Path, options: StudyOptions) -> None:
        self.spec, self.out, self.options = spec, out, options
        self.seconds: dict[str, float] = {}
        self.shown: dict[str, list[str]] = {}
        """The rows of each part that is done: what another study left in the folder is not of this one."""
        self.inputs = [
            SetInput(set_folder(item, out), item.name, item.description) for item in (spec.natural, *spec.sets)
        ]

    def draw(self) -> None:
        """Draw every set that is to be drawn."""
        for item in (self.spec.natural, *self.spec.sets):
            if item.generate is not None:
                begun = time.perf_counter()
                generate(
                    item.generate,
                    set_folder(item, self.out),
                    self.options.resources,
                    self._told(f"drawing {item.name}"),
                    self._noted(item.name),
                )
                self.seconds[f"generation of {item.name}"] = round(time.perf_counter() - begun, 2)

    def compare(self) -> dict[str, Any]:
        """Compare every set with the natural one."""
        summary = compare_many(self.inputs[0], self.inputs[1:], self.out, self._options())
        self.seconds = summary["seconds"]
        self._write_report()
        return summary

    def trials(self) -> dict[str, Any]:
        """Every set against every set, on the embeddings of the comparison."""
        return cross_trials(self.inputs[0], self.inputs[1:], self.out, self.spec.trials, self._options())

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part, and write the report again with what it found."""
        begun = time.perf_counter()
        yield
        self.seconds = self.seconds | {name: round(time.perf_counter() - begun, 2)}
        self._write_report()

    def _write_report(self) -> None:
        summary = read_json(self.out / "summary.json")
        write_json(self.out / "summary.json", summary | {"seconds": self.seconds, "parts": self.shown})
        write_report(self.out)

    def _options(self) -> CompareOptions:
        spec, given = self.spec, self.options
        return CompareOptions(spec.encoder, spec.measure, given.resources, given.progress, given.command, self.seconds)

    def _told(self, what: str) -> Progress | None:
        tell = self.options.progress
        return None if tell is None else lambda done, total, _: tell(done, total, what)

    def _noted(self, name: str) -> Callable[[str], None] | None:
        note = self.options.note
        return None if note is None else lambda text: note(f"{name}: {text}")


class _Proof:
    """The networks of a study, when its sets are there."""

    def __init__(self, run: _Study, block: StudyClassifiers, networks: Networks) -> None:
        self.run, self.block, self.networks = run, block, networks
        named = {name for one in (*networks.rows, *networks.scaled) for name, _ in one.shares}
        named |= {one.name for one in networks.tests if one.place is None}
        self.sources = {one.name: open_images(one.path) for one in run.inputs if one.name in named}
        self.tests = {one.name: one.open(self.sources) for one in networks.tests}
        given = run.options
        self.options = replace(proof_options(block, networks, given.learning), progress=given.progress, note=given.note)

    def matrix(self) -> dict[str, Any]:
        """Networks of every set, scored on every test set."""
        return matrix(self._open(self.networks.rows), self.tests, self.run.out / PROOF, self.options)

    def scaling(self, sizes: tuple[int, ...]) -> dict[str, Any]:
        """Networks of more and more images."""
        return scaling(self._open(self.networks.scaled), self.tests, self.run.out / PROOF, sizes, self.options)

    def transfer(self, block: StudyTransfer) -> dict[str, Any]:
        """Frozen features of the networks on the targets."""
        given, train = self.run.options, self.block.train
        folders = [
            str(network_folder(self.run.out / PROOF, name, train.images, seed))
            for name in self.networks.transferred
            for seed in range(train.seed, train.seed + block.networks)
        ]
        out = self.run.out / TRANSFER
        return transfer_many(
            folders, targets_of(self.run.spec), block.linear, out, given.learning, progress=given.progress
        )

    def _open(self, rows: list[Learned]) -> list[TrainingSet]:
        return [one.open(self.sources) for one in rows]
