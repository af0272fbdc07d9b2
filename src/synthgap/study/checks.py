"""What cannot run is said before anything is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec, LearningResources, Resources, StudySpec
from synthgap.models.classifiers import check_architecture
from synthgap.models.devices import pick_device, pick_devices
from synthgap.models.folders import locate_encoder, locate_generator
from synthgap.pipeline.transferring import TransferSet
from synthgap.stages.training import step_count
from synthgap.stages.training.recipes import resolve
from synthgap.store.sources import open_images
from synthgap.study.known import KnownSet, know_all
from synthgap.study.places import name_and_place
from synthgap.study.references import Learned, Tested, all_learned, all_tested


@dataclass(frozen=True)
class Networks:
    """The networks of a study: what they learn from, what they are scored on, and for how many steps."""

    rows: list[Learned]
    tests: list[Tested]
    steps: int
    """Of each network, from the first set's size, for the matrix and the scaling alike."""
    scaled: list[Learned]
    """What the networks of the scaling learn from."""
    transferred: list[str]
    """Whose features are transferred."""


def check_study(spec: StudySpec, out: Path, resources: Resources, learning: LearningResources) -> Networks | None:
    """Open, plan and locate all that a study needs; nothing is written.

    Args:
        spec: the study, its places looked up (`placed`).
        out: where it is going to run.
        resources: for drawing and embedding.
        learning: for training.

    Returns:
        The networks that it trains; None where it has none.

    Raises:
        InputError: whatever a part would stop at, in one line.
        FingerprintError: a folder of a set holds another set.
    """
    known = know_all(spec, out)
    asked = {(one.generator, one.revision, one.variant): one for one in _drawn(spec)}
    for one in asked.values():
        locate_generator(one)
    locate_encoder(spec.encoder)
    if asked and resources.executor != "ray":
        pick_devices(resources.device)
    return None if spec.classifiers is None else _check_networks(spec, known, learning)


def networks_of(spec: StudySpec, known: Mapping[str, KnownSet]) -> Networks | None:
    """The networks of a study; None where it has none.

    Raises InputError for a set that the study does not have, one without images or with too few, or a recipe or
    architecture that does not exist.
    """
    block = spec.classifiers
    if block is None:
        return None
    check_architecture(resolve(block.train).model)
    rows = all_learned(spec, ())
    scaled = all_learned(spec, spec.scaling.sets) if spec.scaling is not None else []
    for one in (*rows, *scaled):
        _check_learned(one, known, block.train.images)
    sizes = spec.scaling.sizes if spec.scaling is not None else ()
    most = max((one.size(known) for one in scaled), default=0)
    if sizes and min(sizes) > most:
        raise InputError(f"scaling.sizes begins at {min(sizes)}, and no set has as many images; the largest has {most}")
    steps = step_count(block.train, block.train.images or rows[0].size(known))
    return Networks(rows, all_tested(spec, known), steps, scaled, _transferred(spec, rows))


def _drawn(spec: StudySpec) -> list[GenerateSpec]:
    return [item.generate for item in (spec.natural, *spec.sets) if item.generate is not None]


def _check_learned(one: Learned, known: Mapping[str, KnownSet], images: int | None) -> None:
    for name, _ in one.shares:
        if not known[name].has_images:
            raise InputError(
                f"networks learn from images, and {name!r} is embeddings; name other sets under classifiers.sets and tests"
            )
    if images is not None and images > one.size(known):
        raise InputError(
            f"classifiers.train.images is {images}, and {one.name!r} has {one.size(known)} to learn from; ask for fewer"
        )


def _transferred(spec: StudySpec, rows: list[Learned]) -> list[str]:
    names = [one.name for one in rows]
    block = spec.transfer
    if block is None:
        return []
    for name in block.sets:
        if name not in names:
            raise InputError(f"transfer.sets: no network learns from {name!r}; expected of {', '.join(names)}")
    if spec.classifiers is not None and block.networks > spec.classifiers.proof.seeds:
        raise InputError(
            f"transfer.networks is {block.networks}, and a set has {spec.classifiers.proof.seeds}: classifiers.proof.seeds"
        )
    return list(block.sets or names)


def _check_networks(spec: StudySpec, known: Mapping[str, KnownSet], learning: LearningResources) -> Networks | None:
    found = networks_of(spec, known)
    pick_device(learning.device)
    if found is not None:
        there = {name: one.source for name, one in known.items() if one.source is not None}
        for test in found.tests:
            if test.place is not None:
                test.open(there)
    names = [one.name or open_images(one.path).name for one in targets_of(spec)]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"two transfer targets are called {twice[0]!r}; name them: NAME=PLACE")
    return found


def targets_of(spec: StudySpec) -> list[TransferSet]:
    """The sets that features are transferred to. Raises InputError for one that is not there."""
    found = []
    for text in spec.transfer.targets if spec.transfer is not None else ():
        name, place = name_and_place(text)
        try:
            open_images(Path(place))
        except InputError as error:
            raise InputError(f"transfer target {text}: {error}") from None
        found.append(TransferSet(Path(place).expanduser(), name or None))
    return found
