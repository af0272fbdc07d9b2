"""What a study will take, before anything is drawn: sets, images, networks and steps; disk and time where they can be known."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec, Resources, StudySet, StudySpec
from synthgap.models.classifiers import check_architecture
from synthgap.models.folders import locate_generator
from synthgap.models.generator import resolve_settings
from synthgap.pipeline.proving import SCALES
from synthgap.stages.generation import estimate
from synthgap.stages.training import step_count
from synthgap.stages.training.recipes import resolve
from synthgap.study.checks import Networks, check_names, networks_of
from synthgap.study.known import KnownSet, images_there, know
from synthgap.study.places import find_place, missing_data, placed
from synthgap.study.sets import expanded

BYTES_PER_PIXEL = 0.5
"""Of a JPEG at quality 95, as a rule of thumb where none is drawn on trial; of small images rather more."""
TRIAL_IMAGES = 64
"""Images on trial: at most so many fill a batch."""


@dataclass(frozen=True)
class SetEstimate:
    """One set of a study."""

    name: str
    drawn: bool
    """Or it is there already."""
    images: int | None
    """None where the user has yet to say where it is."""
    images_there: int
    """Of these, drawn by an earlier run."""
    classes: int | None
    bytes: float | None
    """Of what is yet to be drawn; None where there is nothing, or it is not known."""
    bytes_measured: bool
    """By images on trial; else by `BYTES_PER_PIXEL`."""
    seconds: float | None
    """To draw it on one device, measured; None without a trial, or where there is nothing to draw."""


@dataclass(frozen=True)
class NetworksEstimate:
    """The networks of a study."""

    recipe: str
    model: str
    sets: int
    tests: int
    seeds: int
    networks: int
    """Of the matrix and, beyond these, of the scaling."""
    steps: int | None
    """Of each network; None where the first set's size is not known."""
    batch_size: int


@dataclass(frozen=True)
class StudyEstimate:
    """What a study will take."""

    sets: list[SetEstimate]
    networks: NetworksEstimate | None
    transfers: int
    """Networks times targets."""
    notes: list[str]


def estimate_study(
    spec: StudySpec, out: Path, resources: Resources | None = None, *, trial: bool = True
) -> StudyEstimate:
    """Estimate a study; nothing is written. Data that is not given yet, and generators that are not here, are notes.

    Args:
        spec: the study.
        out: where it is going to run: what is there already is not counted again.
        resources: devices to draw on.
        trial: draw two batches with each set's settings, for time and disk.

    Raises InputError for what is wrong with the study itself.
    """
    spec, out = expanded(spec), out.expanduser()
    check_names(spec)
    missing = missing_data(spec)
    notes = [f"not given yet: {', '.join(missing)}; --set data.{missing[0]}=DIR"] if missing else []
    known: dict[str, KnownSet] = {}
    sets = []
    for item in (spec.natural, *spec.sets):
        found = _known(item, spec, out)
        if found is None:
            sets.append(SetEstimate(item.name, False, None, 0, None, None, False, None))
            continue
        known[item.name] = found
        if _counted_without(item, found):
            notes.append(f"{item.name}: counted by per_class, as the set of counts_like is not given")
        sets.append(_set_estimate(found, resources or Resources(), trial, notes))
    spec = spec if missing else placed(spec)
    networks = None if missing else networks_of(spec, known)
    if missing and spec.scaling is not None:
        notes.append("networks without those of the scaling: their number follows from the size of the sets")
    return StudyEstimate(sets, _networks(spec, known, networks), _transfers(spec, networks), list(dict.fromkeys(notes)))


def _counted_without(item: StudySet, found: KnownSet) -> bool:
    asked = item.generate is not None and item.generate.counts_like is not None
    return asked and found.plan is not None and found.plan.spec.counts_like is None


def _known(item: StudySet, spec: StudySpec, out: Path) -> KnownSet | None:
    """What is known of a set; None where the user has yet to say where it is."""
    if item.path is not None:
        path = find_place(item.path, spec)
        return None if path is None else know(item.model_copy(update={"path": str(path)}), out)
    if item.generate is not None and item.generate.counts_like is not None:
        counted = find_place(str(item.generate.counts_like), spec)
        item = item.model_copy(update={"generate": item.generate.model_copy(update={"counts_like": counted})})
    return know(item, out)


def _set_estimate(one: KnownSet, resources: Resources, trial: bool, notes: list[str]) -> SetEstimate:
    plan = one.plan
    if plan is None:
        images = len(one.source) if one.source is not None else None
        return SetEstimate(one.name, False, images, 0, len(one.classes), None, False, None)
    there = images_there(one)
    left = len(plan) - there
    size: float | None
    seconds, size, measured = None, None, False
    try:
        source = locate_generator(plan.spec)
    except InputError as error:
        notes.append(str(error))
        size = _rough(plan.spec)
    else:
        if trial and left:
            seconds, size = _on_trial(plan.spec, resources)
            measured = True
        else:
            size = _rough(resolve_settings(plan.spec, source))
    return SetEstimate(
        one.name,
        True,
        len(plan),
        there,
        len(plan.classes),
        None if size is None or not left else size * left,
        measured,
        None if seconds is None else seconds * left,
    )


def _on_trial(spec: GenerateSpec, resources: Resources) -> tuple[float | None, float | None]:
    """Seconds on one device and bytes of an image, of the same settings on fewer images: no plan of a million."""
    few = {"per_class": TRIAL_IMAGES, "eval_per_class": 0, "counts_like": None}
    with tempfile.TemporaryDirectory() as folder:
        found = estimate(spec.model_copy(update=few), Path(folder) / "set", resources)
    return found.seconds_per_image, found.bytes_per_image


def _rough(spec: GenerateSpec) -> float | None:
    return None if spec.width is None or spec.height is None else spec.width * spec.height * BYTES_PER_PIXEL


def _networks(spec: StudySpec, known: Mapping[str, KnownSet], found: Networks | None) -> NetworksEstimate | None:
    block = spec.classifiers
    if block is None:
        return None
    recipe = resolve(block.train)
    check_architecture(recipe.model)
    sets = len(block.sets) or 1 + len(spec.sets)
    rows, steps = sets, None
    if found is not None:
        steps = found.steps
        rows += _scaled(spec, known, found)
    elif block.train.images is not None or block.train.iterations is not None:
        steps = step_count(block.train, block.train.images or 1)
    tests = len(found.tests) if found is not None else len(block.tests) or sum(one.has_eval for one in known.values())
    seeds = block.proof.seeds
    return NetworksEstimate(
        block.train.recipe, recipe.model, sets, tests, seeds, rows * seeds, steps, recipe.batch_size
    )


def _scaled(spec: StudySpec, known: Mapping[str, KnownSet], found: Networks) -> int:
    """Sets and sizes of the scaling that the matrix has not."""
    if spec.scaling is None or spec.classifiers is None:
        return 0
    first = found.scaled[0]
    classes = max(len(known[name].classes) for name, _ in first.shares)
    default = {max(classes, round(share * first.size(known))) for share in SCALES}
    sizes = set(spec.scaling.sizes) or default
    own = {one.name for one in found.rows}
    return sum(
        size <= one.size(known) and not (one.name in own and size == spec.classifiers.train.images)
        for one in found.scaled
        for size in sizes
    )


def _transfers(spec: StudySpec, found: Networks | None) -> int:
    if spec.transfer is None:
        return 0
    sets = len(found.transferred) if found is not None else len(spec.transfer.sets) or 1 + len(spec.sets)
    return sets * spec.transfer.networks * len(spec.transfer.targets)
