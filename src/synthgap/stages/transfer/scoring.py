"""One network on one set: features, settings by Optuna, the final classifier, its figures on the test images."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthgap.core.counting import counted
from synthgap.core.errors import Interrupted
from synthgap.core.interruption import how_to_continue, interruptible
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import LearningResources, TransferSpec
from synthgap.models.classifiers import Classifier
from synthgap.stages.transfer.division import Division, divide
from synthgap.stages.transfer.features import Features, Progress, extract, feature_preprocessing, read_features
from synthgap.stages.transfer.known import KnownSet, size_notes
from synthgap.stages.transfer.solvers import Rows, Scaling, Settings, Solver, SolverName, prepare, ranges
from synthgap.stages.transfer.study import StudyFiles
from synthgap.stages.transfer.summary import Scored, figures
from synthgap.stages.transfer.tuning import Trial, best, tune
from synthgap.store.keys import safe_key
from synthgap.store.rows import ImageSource

_FITTING = {
    "lbfgs": ("strengths", "tolerance"),
    "sklearn": ("strengths", "max_steps"),
    "sgd": ("learning_rates", "weight_decays", "momentum", "epochs", "batch_size"),
}
"""Settings of the spec that change a solver's trials."""


@dataclass(frozen=True)
class TransferTask:
    """A network and a set to transfer to."""

    classifier: Classifier
    model: str
    """What the network is called in the tables and in the folders."""
    images: ImageSource
    name: str
    """What the set is called."""
    known: KnownSet | None
    """One of S Table 4, or of ImageNet-CoG."""

    @property
    def folder(self) -> str:
        """Name of its folders."""
        return safe_key(f"{self.model}-{self.name}")

    def solver(self, spec: TransferSpec) -> SolverName:
        """The solver that is asked for, or that S takes for this set."""
        return spec.solver or (self.known.solver if self.known else "lbfgs")


def transfer(
    task: TransferTask,
    spec: TransferSpec,
    out: Path,
    resources: LearningResources,
    progress: Progress | None = None,
) -> Scored:
    """Score a network's features on a set (S 5.3 and App. A).

    The settings are chosen on the validation images alone; the classifier is then fitted to the training and
    validation images together and sees the test images once. Features, trials and predictions are kept in ``out``.

    Raises:
        InputError: no image can be decoded, or too few classes or images for the parts.
        FingerprintError: ``out`` holds features or trials of something else.
        RunError: the disk is full.
        Interrupted: SIGINT or SIGTERM came; finished blocks and trials are kept.
    """
    began = time.monotonic()
    solver = task.solver(spec)
    preprocessing = feature_preprocessing(task.classifier, spec.image_size)
    folder = out / "features" / task.folder
    writer = extract(task.classifier, task.images, preprocessing, folder, workers=resources.workers, progress=progress)
    features = read_features(writer, mapped=solver == "sgd")
    extracted = time.monotonic()
    divisions, runs, right = [], [], []
    for repeat in range(spec.repeats):
        division = divide(
            features,
            task.known,
            validation_share=spec.validation_share,
            test_share=spec.test_share,
            seed=spec.seed,
            repeat=repeat,
        )
        run = _Run(task, spec, resources, features, division, solver, repeat, progress)
        trials, predicted = run.finish(StudyFiles(out / "studies" / task.folder / f"{repeat}.json", run.identity()))
        own = [features.class_keys[row] for row in division.test]
        right.append(torch.tensor([a == b for a, b in zip(predicted, own, strict=True)], dtype=torch.float64))
        runs.append(_told(best(trials), float(right[-1].mean())))
        divisions.append(division)
    result = {
        "model": task.model,
        "set": task.name,
        "known_as": task.known.name if task.known else None,
        "group": task.known.group if task.known else None,
        "solver": solver,
        "dimensions": int(features.vectors.shape[1]),
        "image_size": preprocessing.image_size[0],
        "classes": len(divisions[0].classes),
        "images": {part: len(getattr(divisions[0], part)) for part in ("train", "validation", "test")},
        "skipped": len(features.skipped),
        "trials": spec.trials,
        "runs": runs,
        "seconds": {"features": extracted - began, "classifiers": time.monotonic() - extracted},
        "notes": _notes(task, features, divisions[0]),
    }
    truth = [features.class_keys[row] for row in divisions[0].test]
    return figures(result, torch.stack(right), truth, resamples=spec.bootstrap, seed=spec.seed)


def _told(winner: Trial, accuracy: float) -> dict[str, Any]:
    return {"settings": winner.settings, "validation_accuracy": winner.accuracy, "accuracy": accuracy}


def _notes(task: TransferTask, features: Features, division: Division) -> list[str]:
    notes = list(division.notes)
    if task.known is not None:
        learning = len(division.train) + len(division.validation)
        notes += size_notes(task.known, len(division.classes), learning, len(division.test))
    skipped = Counter(features.skipped.values()).most_common(5)
    return notes + [f"{counted(count, 'image')} skipped: {reason}" for reason, count in skipped]


@dataclass(frozen=True)
class _Run:
    """One repeat: its own validation images, its own trials."""

    task: TransferTask
    spec: TransferSpec
    resources: LearningResources
    features: Features
    division: Division
    solver: SolverName
    repeat: int
    progress: Progress | None

    @property
    def scaling(self) -> Scaling:
        """Of the features; by default as the authors' code does for this solver."""
        return self.spec.normalise or ("l2" if self.solver == "sgd" else "none")

    @property
    def seed(self) -> int:
        return derived_seed(self.spec.seed, "transfer", str(self.repeat))

    def identity(self) -> dict[str, Any]:
        """Everything that can change a trial or the final classifier."""
        division = self.division
        own = {name: getattr(self.spec, name) for name in _FITTING[self.solver]}
        parts = {part: len(getattr(division, part)) for part in ("train", "validation", "test")}
        return {
            "features": self.features.fingerprint,
            "solver": self.solver,
            "normalise": self.scaling,
            "seed": self.spec.seed,
            "repeat": self.repeat,
            **parts,
            **own,
        }

    def finish(self, files: StudyFiles) -> tuple[list[Trial], list[str]]:
        """The trials, and the class key that the final classifier names for each test image; kept or made now."""
        count, division = self.spec.trials, self.division
        keys = [self.features.image_keys[row] for row in division.test]
        trials = files.trials()
        if (kept := files.predictions(count, keys)) is not None:
            return trials[:count], kept
        with interruptible() as check:
            try:
                trials = self._tuned(trials, files, check)
                winner = best(trials[:count])
                learning = np.sort(np.concatenate([division.train, division.validation]))
                named = self._predict(learning, division.test, [winner.settings], check)[0]
            except Interrupted as stop:
                raise Interrupted(
                    f"{stop}: {len(files.trials())} of {counted(count, 'trial')} on {self.task.name} are in {files.path}; "
                    f"{how_to_continue()}"
                ) from None
        predicted = [division.classes[number] if number >= 0 else "" for number in named.tolist()]
        files.write_predictions(keys, [self.features.class_keys[row] for row in division.test], predicted)
        files.write_trials(trials, final=count)
        return trials[:count], predicted

    def _tuned(self, before: Sequence[Trial], files: StudyFiles, check: Callable[[], None]) -> list[Trial]:
        if len(before) >= self.spec.trials:
            return list(before)
        division = self.division
        solver, rows = self._prepared(division.train, check)
        asked = Rows(self.features.vectors, division.validation, self.scaling, rows)
        truth = torch.from_numpy(division.labels[division.validation])

        def score(batch: Sequence[Settings]) -> list[float]:
            named = solver.predictions(batch, asked)
            return [float(value) for value in (named == truth).double().mean(dim=1)]

        def told(trials: list[Trial]) -> None:
            files.write_trials(trials)
            if self.progress is not None:
                self.progress(len(trials), self.spec.trials, f"trials on {self.task.name} ({self.repeat + 1})")
            check()

        return tune(
            ranges(self.solver, self.spec), score, trials=self.spec.trials, seed=self.seed, before=before, told=told
        )

    def _prepared(self, members: np.ndarray, check: Callable[[], None]) -> tuple[Solver, Rows]:
        rows = Rows(self.features.vectors, members, self.scaling)
        solver = prepare(
            self.solver,
            rows,
            self.division.labels[members],
            len(self.division.classes),
            self.spec,
            self.task.classifier.device,
            seed=self.seed,
            memory=self.resources.memory,
            check=check,
        )
        return solver, rows

    def _predict(
        self, members: np.ndarray, asked: np.ndarray, settings: Sequence[Settings], check: Callable[[], None]
    ) -> Tensor:
        solver, rows = self._prepared(members, check)
        found: Tensor = solver.predictions(settings, Rows(self.features.vectors, asked, self.scaling, rows))
        return found
