"""What cannot run is said before anything is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.config import name_and_place
from synthgap.core.errors import FingerprintError, InputError
from synthgap.core.specs import GenerateSpec, LearningResources, Resources, StudyClassifiers, StudySpec
from synthgap.models.classifiers import check_architecture
from synthgap.models.devices import pick_device, pick_devices
from synthgap.models.folders import locate_encoder, locate_generator
from synthgap.pipeline.proving import ProofOptions, check_proof, network_folder
from synthgap.pipeline.run import embeddings_folder
from synthgap.pipeline.transferring import TransferSet
from synthgap.stages.embedding import check_image_embeddings
from synthgap.stages.generation.drawing import set_manifest
from synthgap.stages.training import step_count
from synthgap.stages.training.recipes import resolve
from synthgap.store.manifest import check_claim, kind_of
from synthgap.store.rows import ImageSource
from synthgap.store.sources import keep_apart, open_images
from synthgap.study.known import PROOF, KnownSet, images_there, know_all
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
        FingerprintError: a folder of a set, of embeddings or of a network holds another one.
    """
    check_names(spec)
    known = know_all(spec, out)
    keep_apart(out, *(one.source for one in known.values() if one.source is not None))
    asked = {(one.generator, one.revision, one.variant): one for one in _drawn(spec)}
    for one in asked.values():
        locate_generator(one)
    locate_encoder(spec.encoder)
    if asked and resources.executor != "ray":
        pick_devices(resources.device)
    _check_drawn(known)
    there = {name: source for name, one in known.items() if (source := _images_of(one, out)) is not None}
    for name, source in there.items():
        check_image_embeddings(source, spec.encoder, embeddings_folder(out, name))
    if spec.classifiers is None or (networks := networks_of(spec, known)) is None:
        return None
    pick_device(learning.device)
    tests = _open_tests(networks, there)
    keep_apart(out, *tests.values(), *(open_images(one.path) for one in targets_of(spec)))
    _check_folders(spec, networks, there, tests, out)
    return networks


def check_names(spec: StudySpec) -> None:
    """Raise InputError for sets whose embeddings would be in one folder, or in that of their prompts or senses."""
    owners = {"senses": "the senses of the classes", "name-prompts": "prompts"}
    for item in (spec.natural, *spec.sets):
        folder = embeddings_folder(Path(), item.name).name
        if folder in owners:
            raise InputError(
                f"{item.name!r} and {owners[folder]} would have one folder of embeddings, {folder!r}; give the set another name"
            )
        owners[folder] = repr(item.name)


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


def _check_drawn(known: Mapping[str, KnownSet]) -> None:
    """Raise what drawing would stop at because of what a folder holds."""
    for one in known.values():
        if one.plan is not None:
            check_claim(one.folder, set_manifest(one.plan, locate_generator(one.plan.spec)))


def _images_of(one: KnownSet, out: Path) -> ImageSource | None:
    """The images of a set, where these are all there; those to draw are counted only where something was made of them."""
    if one.plan is None:
        return one.source
    begun = (out / PROOF).is_dir() or (out / "embeddings").is_dir()
    return open_images(one.folder) if begun and images_there(one) == len(one.plan) else None


def _open_tests(networks: Networks, there: Mapping[str, ImageSource]) -> dict[str, ImageSource]:
    """The images to score on, but for those that are yet to be drawn."""
    return {one.name: one.open(there) for one in networks.tests if one.place is not None or one.name in there}


def _check_folders(
    spec: StudySpec,
    networks: Networks,
    there: Mapping[str, ImageSource],
    tests: Mapping[str, ImageSource],
    out: Path,
) -> None:
    """Raise what the networks would stop at: tests among what they learn from, or folders of other networks."""
    block, scaling = spec.classifiers, spec.scaling
    if block is None:
        return
    rows, scaled = (
        [one.open(there) for one in part if all(name in there for name, _ in one.shares)]
        for part in (networks.rows, networks.scaled)
    )
    for one in networks.rows:
        folder = network_folder(out / PROOF, one.name, block.train.images, block.train.seed)
        changing = [name for name, _ in one.shares if name not in there]
        if changing and kind_of(folder) == "classifier":
            raise FingerprintError(
                f"{folder}: learned from {changing[0]!r} as it was, and more of that set is to be drawn; give another folder"
            )
    sizes = scaling.sizes if scaling is not None else ()
    check_proof(rows, tests, out / PROOF, proof_options(block, networks), scaled=scaled, sizes=sizes)


def proof_options(
    block: StudyClassifiers, networks: Networks, learning: LearningResources | None = None
) -> ProofOptions:
    """How the networks of a study are trained and scored."""
    train = block.train.model_copy(update={"iterations": networks.steps, "validation_share": 0.0})
    return ProofOptions(train, block.proof, learning or LearningResources())


def targets_of(spec: StudySpec) -> list[TransferSet]:
    """The sets that features are transferred to. Raises InputError for one that is not there, or two of one name."""
    found, names = [], []
    for text in spec.transfer.targets if spec.transfer is not None else ():
        name, place = name_and_place(text)
        try:
            images = open_images(Path(place))
        except InputError as error:
            raise InputError(f"transfer target {text}: {error}") from None
        names.append(name or images.name)
        found.append(TransferSet(Path(place).expanduser(), name or None))
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"two transfer targets are called {twice[0]!r}; name them: NAME=PLACE")
    return found
