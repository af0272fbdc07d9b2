"""Many networks: the train x evaluation matrix and the scaling study."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from synthgap import views
from synthgap.commands.options import Flat, Output, open_set, with_share
from synthgap.commands.training import Learning
from synthgap.console import Progress, emit, hint
from synthgap.core.config import name_and_place
from synthgap.core.errors import InputError
from synthgap.core.specs import LearningResources, ProofSpec, TrainSpec

if TYPE_CHECKING:
    from synthgap.pipeline.proving import ProofOptions, TrainingSet
    from synthgap.store.rows import ImageSource

Training = Annotated[TrainSpec | None, Flat]
Proof = Annotated[ProofSpec | None, Flat]
Tests = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def matrix(
    *sets: str,
    out: Path,
    tests: Tests = None,
    spec: Training = None,
    proof: Proof = None,
    resources: Learning = None,
    output: Output = "human",
) -> None:
    """Train networks on every set and score each on every set, several seeds each.

    Parameters
    ----------
    sets: str
        Sets to learn from: PATH, 'lab:NAME' or NAME=PATH; a mixture as A@0.5+B@0.5. The first gives the number of steps.
    out: Path
        Folder for models/, scores/, matrix.json and matrix.parquet; the same command continues.
    tests: list[str]
        Sets to score on, as PATH or NAME=PATH; by default those to learn from that have an eval split.
    """
    from synthgap.pipeline.proving import matrix as run

    learned, scored = _sets("matrix", sets, tests)
    emit(run(learned, scored, out, _options(spec, proof, resources)), output, views.matrix)


def scaling(
    *sets: str,
    out: Path,
    sizes: list[int] | None = None,
    tests: Tests = None,
    spec: Training = None,
    proof: Proof = None,
    resources: Learning = None,
    output: Output = "human",
) -> None:
    """Train networks on more and more images of every set, with equal steps, and plot what they score.

    Parameters
    ----------
    sets: str
        Sets to learn from: PATH, 'lab:NAME' or NAME=PATH; a mixture as A@0.5+B@0.5.
    out: Path
        Folder for models/, scores/, scaling.json, scaling.parquet and scaling.svg; the same command continues.
    sizes: list[int]
        Images in all, such as 400,4000,40000; by default 1, 3, 10, 30 and 100 % of the first set's.
    tests: list[str]
        Sets to score on, as PATH or NAME=PATH; by default those to learn from that have an eval split.
    """
    from synthgap.pipeline.proving import scaling as run

    learned, scored = _sets("scaling", sets, tests)
    emit(run(learned, scored, out, sizes or (), _options(spec, proof, resources)), output, views.scaling)


def _options(spec: TrainSpec | None, proof: ProofSpec | None, resources: LearningResources | None) -> ProofOptions:
    from synthgap.pipeline.proving import ProofOptions

    return ProofOptions(
        spec or TrainSpec(),
        proof or ProofSpec(),
        resources or LearningResources(),
        Progress(),
        lambda text: hint(f"note: {text}"),
    )


def _sets(
    command: str, sets: tuple[str, ...], tests: list[str] | None
) -> tuple[list[TrainingSet], dict[str, ImageSource]]:
    """What to learn from and what to score on."""
    from synthgap.store.keys import eval_split

    if not sets:
        raise InputError(f"no image set; expected synthgap {command} SET [SET...] --out FOLDER")
    learned = [_training_set(text) for text in sets]
    if tests:
        opened = [(name, open_set(place)) for name, place in map(name_and_place, tests)]
        scored = [(name or source.name, source) for name, source in opened]
    else:
        sources = {share.source.path: share.source for one in learned for share in one.shares}
        whole = {one.shares[0].source.path: one.name for one in reversed(learned) if _is_whole(one)}
        scored = [(whole.get(path, one.name), one) for path, one in sources.items() if eval_split(one.splits)]
    if not scored:
        raise InputError("no set has an eval, validation or test split; name sets to score on by --tests SET [SET...]")
    twice = [name for name, times in Counter(name for name, _ in scored).items() if times > 1]
    if twice:
        raise InputError(f"two sets to score on go by the name {twice[0]!r}; give them names, as one=PATH other=PATH")
    return learned, dict(scored)


def _is_whole(one: TrainingSet) -> bool:
    """Whether it is one set and no share of it, so that its name is the set's."""
    return len(one.shares) == 1 and one.shares[0].share is None


def _training_set(text: str) -> TrainingSet:
    from synthgap.pipeline.proving import TrainingSet
    from synthgap.stages.training import ImageShare

    name, rest = name_and_place(text)
    parts = [rest] if Path(rest).expanduser().exists() else rest.split("+")
    shares = tuple(ImageShare(open_set(path), share) for path, share in map(with_share, parts))
    own = "+".join(one.source.name + (f"@{one.share:g}" if one.share is not None else "") for one in shares)
    return TrainingSet(name or own, shares)
