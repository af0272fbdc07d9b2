"""Networks trained on several sets and scored on several sets: the train x evaluation matrix and the scaling study."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import file_fingerprint, fingerprint
from synthgap.core.records import OVERALL
from synthgap.core.specs import EvaluateSpec, LearningResources, MeasureSpec, ProofSpec, TrainSpec
from synthgap.models.classifiers import WEIGHTS, load_classifier
from synthgap.models.devices import pick_device
from synthgap.stages.alignment import without_direction
from synthgap.stages.evaluation import evaluate
from synthgap.stages.measurement import measurements_json
from synthgap.stages.measurement.extras import measure_alone
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.plot import Panel, Series, draw_plot
from synthgap.stages.proof import STANDINGS, Standing, standing, standing_rows
from synthgap.stages.training import ImageShare, check_training, step_count, train
from synthgap.stages.transfer.features import extract, feature_preprocessing
from synthgap.store.atomic import read_json, write_json, write_text
from synthgap.store.embeddings import load_embeddings
from synthgap.store.keys import eval_split, safe_key, train_split
from synthgap.store.rows import ImageSource
from synthgap.store.tables import write_table

Progress = Callable[[int, int, str], None]
SCALES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares of the first set's images where no sizes are given (S Fig. 4 begins at a hundredth)."""
ASKED = "asked.json"
"""Beside a network's scores: the fingerprint of what they are the answer to; written last."""
NAN = float("nan")


@dataclass(frozen=True)
class TrainingSet:
    """What one row of networks learns from: a set, or a mixture of several."""

    name: str
    shares: tuple[ImageShare, ...]

    @property
    def size(self) -> int:
        """Images to learn from: those of the train splits."""
        return sum(_learnable(one.source) for one in self.shares)


@dataclass(frozen=True)
class ProofOptions:
    """How the networks are trained and scored; the defaults are the specs' own."""

    train: TrainSpec = field(default_factory=TrainSpec)
    proof: ProofSpec = field(default_factory=ProofSpec)
    resources: LearningResources = field(default_factory=LearningResources)
    progress: Progress | None = None
    note: Callable[[str], None] | None = None


def matrix(
    sets: Sequence[TrainingSet], tests: Mapping[str, ImageSource], out: Path, options: ProofOptions | None = None
) -> dict[str, Any]:
    """Train networks on every set and score each on every test set (M Tables 1 and 2).

    All networks take the same number of steps, that of the recipe's epochs over the first set where the spec names
    none, and their last weights are scored. ``out/models/SET-SEED`` are folders of `train`, so a network can be trained
    elsewhere by that command and put there; ``out/scores`` holds each network's predictions.

    Args:
        sets: what to learn from; the first gives the number of steps.
        tests: images to score on, by name; of sets with an eval split that split, of others all images.
        out: folder; the same call goes on with what is there.
        options: recipe, seeds, resources.

    Returns:
        ``matrix``: training set, then test set, then measure, each with ``overall`` and ``per_class``, a number over the
        seeds (`over_seeds`); ``steps``, ``images`` of each set, ``seeds``, ``notes``. Also written, as ``matrix.json`` and
        ``matrix.parquet``.

    Raises:
        InputError: a set has too few images, or a test set no class in common with what was learned or the same images.
        FingerprintError: ``out`` holds networks of another recipe.
        Interrupted: SIGINT or SIGTERM came.
    """
    proof = _Proof(sets, tests, out, options or ProofOptions())
    rows = [(one, proof.options.train.images) for one in sets]
    for standings in proof.standings(rows):
        found = proof.write("matrix", standings, _matrix(standings))
    return found


def scaling(
    sets: Sequence[TrainingSet],
    tests: Mapping[str, ImageSource],
    out: Path,
    sizes: Sequence[int] = (),
    options: ProofOptions | None = None,
) -> dict[str, Any]:
    """Train networks on more and more images of every set, and score each on every test set (S Fig. 4).

    All networks take the same number of steps whatever the size, as S gives ten times the images a tenth of the epochs;
    smaller sizes are parts of larger ones. A size that a set does not have is left out. Networks are those of `matrix`
    with as many images in the same folder.

    Args:
        sets: what to learn from.
        tests: images to score on, by name.
        out: folder; the same call goes on with what is there.
        sizes: images in all, at least 2; by default 1, 3, 10, 30 and 100 % of the first set's, one of each class at least.
        options: recipe, seeds, resources.

    Returns:
        ``scaling``: training set, then size, then test set as in `matrix`; and what `matrix` says of the run. Also
        written, as ``scaling.json``, ``scaling.parquet`` and the plot ``scaling.svg``.

    Raises:
        InputError: as `matrix`; a size below 2, or none that any set has.
    """
    proof = _Proof(sets, tests, out, options or ProofOptions())
    wanted = sorted({*sizes} or _sizes(sets[0]))
    if wanted[0] < 2:
        raise InputError(f"a size is {counted(wanted[0], 'image')}; expected at least 2, such as --sizes 100,1000")
    rows = [(one, size) for size in wanted for one in sets if size <= one.size]
    if not rows:
        raise InputError(
            f"no set has {wanted[0]} images to learn from; the largest has {max(one.size for one in sets)}"
        )
    proof.notes += [
        f"{one.name}: has {counted(one.size, 'image')} to learn from, so no network of {size}"
        for one in sets
        for size in wanted
        if size > one.size
    ]
    plot = proof.out / "scaling.svg"
    for standings in proof.standings(rows):
        found = proof.write("scaling", standings, {"scaling": _by_size(standings), "plot": str(plot)})
        write_text(plot, draw_plot(_panels(standings, list(tests))))
    return found


def check_proof(
    sets: Sequence[TrainingSet],
    tests: Mapping[str, ImageSource],
    out: Path,
    options: ProofOptions | None = None,
    *,
    scaled: Sequence[TrainingSet] = (),
    sizes: Sequence[int] = (),
) -> None:
    """Raise what `matrix`, and `scaling` of other sets, would before a network is trained; nothing is written.

    Args:
        sets: what to learn from.
        tests: images to score on, by name.
        out: where they would be trained.
        options: recipe, seeds.
        scaled: what to learn from in so many images.
        sizes: of ``scaled``; by default as `scaling`.

    Raises:
        InputError: a test set holds images that are learned from, or a folder of a network something else.
        FingerprintError: a folder of a network holds another one.
    """
    if sets:
        proof = _Proof(sets, tests, out, options or ProofOptions())
        proof.check_folders([(one, proof.options.train.images) for one in sets])
    if scaled:
        proof = _Proof(scaled, tests, out, options or ProofOptions())
        wanted = {*sizes} or _sizes(scaled[0])
        proof.check_folders([(one, size) for one in scaled for size in wanted if size <= one.size])


def network_folder(out: Path, name: str, images: int | None, seed: int) -> Path:
    """Where the network of a set, of so many images where these are told, is trained."""
    size = "" if images is None else f"-{images}"
    return out / "models" / f"{safe_key(name)}{size}-{seed}"


class _Proof:
    """The networks of one folder."""

    def __init__(
        self, sets: Sequence[TrainingSet], tests: Mapping[str, ImageSource], out: Path, options: ProofOptions
    ) -> None:
        self.sets, self.tests, self.out, self.options = sets, tests, out.expanduser(), options
        self.notes: list[str] = []
        _check(sets, tests)
        if "validation_share" in options.train.model_fields_set and options.train.validation_share:
            raise InputError("--validation-share: here all images are learned from and the last weights are scored")
        first = options.train.images or sets[0].size
        self.spec = options.train.model_copy(
            update={"iterations": step_count(options.train, first), "validation_share": 0.0}
        )

    def standings(self, rows: Sequence[tuple[TrainingSet, int | None]]) -> Iterator[list[Standing]]:
        """What is known after each seed: a table of fewer networks first, so that a long run can be read early."""
        scores: list[dict[str, list[dict[str, Any]]]] = [{test: [] for test in self.tests} for _ in rows]
        sizes = [0] * len(rows)
        for seed in self._seeds():
            for place, (one, images) in enumerate(rows):
                model, sizes[place] = self._network(one, images, seed)
                for test, source in self.tests.items():
                    scores[place][test].append(self._score(model, test, source))
            yield [
                standing(one.name, size, test, found)
                for (one, _), size, by_test in zip(rows, sizes, scores, strict=True)
                for test, found in by_test.items()
            ]

    def check_folders(self, rows: Sequence[tuple[TrainingSet, int | None]]) -> None:
        """Raise what training would stop at because of what its folder holds."""
        for seed in self._seeds():
            for one, images in rows:
                folder = network_folder(self.out, one.name, images, seed)
                check_training(one.shares, self._spec_of(images, seed), folder)

    def _seeds(self) -> range:
        return range(self.spec.seed, self.spec.seed + self.options.proof.seeds)

    def _spec_of(self, images: int | None, seed: int) -> TrainSpec:
        return self.spec.model_copy(update={"images": images, "seed": seed})

    def write(self, name: str, standings: Sequence[Standing], found: dict[str, Any]) -> dict[str, Any]:
        """Keep a table as it stands, and return it with what is said of the run."""
        document = found | {
            "recipe": self.spec.recipe,
            "steps": self.spec.iterations,
            "seeds": len(standings[0].figures["top_1"][OVERALL]["seeds"]),
            "notes": [*self.notes, *(self._not_shown() if name == "matrix" else ())],
            "out": str(self.out),
        }
        write_table(self.out / f"{name}.parquet", standing_rows(standings), STANDINGS)
        write_json(self.out / f"{name}.json", document)
        return document

    def _not_shown(self) -> Iterator[str]:
        """What earlier calls scored in this folder and this table, of the sets of one call, leaves out."""
        own = "|".join(re.escape(safe_key(one.name)) for one in self.sets)
        scored = sorted(path.name.rpartition("-")[0] for path in (self.out / "scores").glob("*-*"))
        others = [name for name in dict.fromkeys(scored) if not re.fullmatch(rf"({own})(-\d+)?", name)]
        if others:
            yield (
                f"the folder also holds what networks of {', '.join(others)} score; name those sets too for one table of "
                "all, nothing is trained again"
            )

    def _network(self, one: TrainingSet, images: int | None, seed: int) -> tuple[Path, int]:
        size = "" if images is None else f"-{images}"
        folder = network_folder(self.out, one.name, images, seed)
        found = train(
            one.shares,
            self._spec_of(images, seed),
            folder,
            self.options.resources,
            progress=self._told(f"{one.name}{size}, seed {seed}"),
            note=self.options.note,
        )
        self._note(found["skipped_reasons"], one.name)
        return folder, found["images"]

    def _score(self, model: Path, test: str, source: ImageSource) -> dict[str, Any]:
        """What a network scores, from the folder of its scores where it was asked before."""
        spec = EvaluateSpec(bootstrap=self.options.proof.bootstrap)
        folder = self.out / "scores" / model.name / safe_key(test)
        asked = fingerprint("scores", file_fingerprint(model / WEIGHTS), source.fingerprint, spec)
        found = _kept(folder, asked)
        if found is None:
            found = evaluate(
                model, source, spec, self.options.resources, out=folder, progress=self._told(f"{model.name} on {test}")
            )
            write_json(folder / ASKED, asked)
        if self.options.proof.features:
            found = found | self._features(model, test, source)
        self.notes += [said for text in found["notes"] if (said := f"{test}: {text}") not in self.notes]
        return found

    def _features(self, model: Path, test: str, source: ImageSource) -> dict[str, Any]:
        """Sparsity, spread, redundancy and coding length of a network's features on a test set."""
        split = eval_split(source.splits)
        classifier = load_classifier(str(model), pick_device(self.options.resources.device))
        folder = self.out / "features" / model.name / f"{safe_key(test)}-{source.fingerprint[:8]}"
        extract(
            classifier,
            source if split is None else source.only(split),
            feature_preprocessing(classifier, None),
            folder,
            workers=self.options.resources.workers,
            progress=self._told(f"features of {model.name} on {test}"),
        )
        features = without_direction(load_embeddings(folder))
        spec = MeasureSpec(extra=("features",), bootstrap=self.options.proof.bootstrap)
        return measurements_json(measure_alone(Pair(features, features, spec)), features.classes, features.name)

    def _told(self, what: str) -> Progress | None:
        tell = self.options.progress
        return None if tell is None else lambda done, total, _: tell(done, total, what)

    def _note(self, reasons: Mapping[str, int], name: str) -> None:
        said = [f"{name}: {counted(count, 'image')} skipped: {reason}" for reason, count in reasons.items()]
        self.notes += [text for text in said if text not in self.notes]


def _kept(folder: Path, asked: str) -> dict[str, Any] | None:
    """Scores that were written for this question; None where they are another's, missing or damaged."""
    try:
        found = read_json(folder / "evaluation.json") if read_json(folder / ASKED) == asked else None
    except InputError:
        return None
    return found if isinstance(found, dict) else None


def _check(sets: Sequence[TrainingSet], tests: Mapping[str, ImageSource]) -> None:
    names = [one.name for one in sets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two sets to learn from go by the name {twice!r}; give them names, as one=PATH other=PATH")
    learned = [share.source for one in sets for share in one.shares]
    for name, source in tests.items():
        if any(_learned_from(source, one) for one in learned):
            raise InputError(
                f"{name}: is learned from and has no eval, validation or test split apart from that; name other sets to "
                "score on by --tests"
            )


def _learned_from(test: ImageSource, learned: ImageSource) -> bool:
    """Whether a network that learns from one set has seen what the other would test it on."""
    place, whole, split = test.path.resolve(), learned.path.resolve(), train_split(learned.splits)
    if place == whole:
        return eval_split(test.splits) is None or split is None
    inside = whole in place.parents
    return inside and (split is None or place.relative_to(whole).parts[0] == split)


def _sizes(one: TrainingSet) -> set[int]:
    classes = max(len(share.source.classes) - len(share.source.empty_classes) for share in one.shares)
    return {max(classes, round(share * one.size)) for share in SCALES}


def _learnable(source: ImageSource) -> int:
    split = train_split(source.splits)
    splits = source.splits if split is None else (split,)
    return sum(sum(source.counts[one].values()) for one in splits)


def _nested(standings: Sequence[Standing], row: Callable[[Standing], str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in standings:
        blocks = {
            metric: {
                OVERALL: classes[OVERALL],
                "per_class": {key: figure for key, figure in classes.items() if key != OVERALL},
            }
            for metric, classes in one.figures.items()
        }
        found.setdefault(row(one), {})[one.tested_on] = blocks
    return found


def _matrix(standings: Sequence[Standing]) -> dict[str, Any]:
    return {
        "matrix": _nested(standings, lambda one: one.trained_on),
        "images": {one.trained_on: one.images for one in standings},
    }


def _by_size(standings: Sequence[Standing]) -> dict[str, Any]:
    names = dict.fromkeys(one.trained_on for one in standings)
    return {
        name: _nested([one for one in standings if one.trained_on == name], lambda one: str(one.images))
        for name in names
    }


def _panels(standings: Sequence[Standing], tests: Sequence[str]) -> list[Panel]:
    """One field per test set, a line per training set."""
    panels = []
    for test in tests:
        lines = []
        for name in dict.fromkeys(one.trained_on for one in standings):
            points = [one for one in standings if (one.trained_on, one.tested_on) == (name, test)]
            figures = [one.figures["top_1"][OVERALL] for one in points]
            ends = [(_number(one, "value"), _number(one, "ci_low"), _number(one, "ci_high")) for one in figures]
            lines.append(Series(name, [one.images for one in points], ends))
        panels.append(Panel(f"Top-1 on {test}", lines, axis="images learned from"))
    return panels


def _number(figure: Mapping[str, Any], name: str) -> float:
    return NAN if figure[name] is None else float(figure[name])
