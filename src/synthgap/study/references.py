"""What the parts of a study name: sets, mixtures of sets, and other images to score on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.config import name_and_place
from synthgap.core.errors import InputError, nearest
from synthgap.core.specs import StudySpec
from synthgap.pipeline.proving import TrainingSet
from synthgap.stages.evaluation import open_scored
from synthgap.stages.evaluation.benchmarks import BENCHMARKS
from synthgap.stages.training import ImageShare
from synthgap.store.rows import ImageSource
from synthgap.study.known import KnownSet


@dataclass(frozen=True)
class Learned:
    """What one row of networks learns from: sets by their names, each with its share or each whole."""

    name: str
    shares: tuple[tuple[str, float | None], ...]

    def size(self, known: Mapping[str, KnownSet]) -> int:
        """Images to learn from."""
        return sum(known[name].learnable for name, _ in self.shares)

    def open(self, sources: Mapping[str, ImageSource]) -> TrainingSet:
        """The same with its images at hand."""
        return TrainingSet(self.name, tuple(ImageShare(sources[name], share) for name, share in self.shares))


def learned(text: str, names: Collection[str]) -> Learned:
    """Read ``NAME``, ``A@0.5+B@0.5`` or ``LABEL=A@0.5+B@0.5``; a set of that very name is never cut.

    >>> learned("both=natural@0.5+drawn@0.5", ["natural", "drawn"])
    Learned(name='both', shares=(('natural', 0.5), ('drawn', 0.5)))

    Raises InputError for a set that the study does not have, or a share that is no number above 0.
    """
    if text in names:
        return Learned(text, ((text, None),))
    label, sign, rest = text.rpartition("=")
    shares = tuple(_share(part, names) for part in rest.split("+"))
    if sign and not label:
        raise InputError(f"{text}: expected NAME=SET, such as both=natural@0.5+drawn@0.5")
    return Learned(label or rest, shares)


def _share(text: str, names: Collection[str]) -> tuple[str, float | None]:
    name, sign, number = text.rpartition("@")
    if text in names or not sign:
        name, number = text, ""
    if name not in names:
        raise InputError(f"the study has no set {name!r}{nearest(name, names) or '; it has ' + ', '.join(names)}")
    try:
        share = float(number) if number else None
    except ValueError:
        share = 0.0
    if share is not None and not 0 < share < float("inf"):
        raise InputError(f"{text}: its share is {number}; expected a number above 0, such as {name}@0.5")
    return name, share


def all_learned(spec: StudySpec, texts: Sequence[str]) -> list[Learned]:
    """What the networks of a part learn from: what it names, else what ``classifiers`` names, else every set."""
    names = [item.name for item in (spec.natural, *spec.sets)]
    own = spec.classifiers.sets if spec.classifiers is not None else ()
    labels = {one.name: one for one in (learned(text, names) for text in own or names)}
    if texts:
        labels = {one.name: one for one in (labels.get(text) or learned(text, names) for text in texts)}
    return list(labels.values())


@dataclass(frozen=True)
class Tested:
    """Images to score on: a set of the study, or a place."""

    name: str
    place: Path | None

    def open(self, sources: Mapping[str, ImageSource]) -> ImageSource:
        """The images; under the name of one of ImageNet's test sets in the layout that it is handed out in."""
        if self.place is None:
            return sources[self.name]
        return open_scored(str(self.place), name=self.name if self.name in BENCHMARKS else None).images


def all_tested(spec: StudySpec, known: Mapping[str, KnownSet]) -> list[Tested]:
    """What the networks are scored on: what is named, else every set with an eval split.

    Raises InputError for a set that the study does not have, or where there is nothing to score on.
    """
    texts = spec.classifiers.tests if spec.classifiers is not None else ()
    found = [_tested(text, known) for text in texts]
    if not texts:
        found = [Tested(name, None) for name, one in known.items() if one.has_eval]
    if not found:
        raise InputError(
            "no set has an eval split to score on; set eval_per_class, or name other images: tests: [NAME=PLACE]"
        )
    names = [one.name for one in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"two test sets are called {twice!r}; every test set needs a name of its own")
    return found


def _tested(text: str, known: Mapping[str, KnownSet]) -> Tested:
    name, place = (text, "") if text in known else name_and_place(text)
    if text in known:
        if not known[text].has_eval:
            raise InputError(
                f"{text}: has no eval, validation or test split to score on; set its eval_per_class, or leave it out of tests"
            )
        return Tested(text, None)
    if name in known:
        raise InputError(f"{text}: {name!r} is a set of the study; give the test set another name")
    if not name and not Path(place).expanduser().exists():
        raise InputError(
            f"the study has no set {text!r}{nearest(text, known) or '; it has ' + ', '.join(known)}; other images are NAME=PLACE"
        )
    return Tested(name or Path(place).name, Path(place))
