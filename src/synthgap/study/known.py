"""What is known of the sets of a study before anything is drawn: where they are, or what they are going to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.errors import InputError
from synthgap.core.specs import StudySet, StudySpec
from synthgap.pipeline.proving import TrainingSet
from synthgap.stages.alignment import check_classes
from synthgap.stages.generation.drawing import plan_for
from synthgap.stages.generation.planning import EVAL, TRAIN, Plan
from synthgap.stages.inputs import SetInput, open_set
from synthgap.stages.training import ImageShare
from synthgap.store.keys import eval_split
from synthgap.store.plan import layout, read_shards, summary
from synthgap.store.rows import ImageSource


@dataclass(frozen=True)
class KnownSet:
    """One set: images that are there, embeddings, or the plan of a set to draw."""

    name: str
    folder: Path
    source: ImageSource | None
    plan: Plan | None
    classes: Mapping[str, str]

    @property
    def has_images(self) -> bool:
        """Whether networks can learn from it: embeddings that were given have no images."""
        return self.source is not None or self.plan is not None

    @property
    def learnable(self) -> int:
        """Images of the train split; of a set without one all."""
        if self.plan is not None:
            return sum(count for (split, _), count in self.plan.counts.items() if split == TRAIN)
        return 0 if self.source is None else TrainingSet(self.name, (ImageShare(self.source),)).size

    @property
    def has_eval(self) -> bool:
        """Whether it has images apart to score on."""
        if self.plan is not None:
            return any(count for (split, _), count in self.plan.counts.items() if split == EVAL)
        return self.source is not None and eval_split(self.source.splits) is not None


PROOF, TRANSFER = "proof", "transfer"
"""Folders of ``synthgap matrix`` and ``scaling``, and of ``synthgap transfer``, in that of the study."""


def set_folder(item: StudySet, out: Path) -> Path:
    """Where a set is, or is going to be drawn."""
    return Path(item.path) if item.path is not None else out / "sets" / item.name


def images_there(one: KnownSet) -> int:
    """Images of a set to draw that an earlier run drew and that stay as they are."""
    if one.plan is None or not one.folder.exists() or not layout(one.folder):
        return 0
    planned = {shard.shard: shard.fingerprint for shard in summary(one.plan)}
    done = {
        path.relative_to(one.folder / "done").with_suffix("").as_posix()
        for path in (one.folder / "done").rglob("*.json")
    }
    shards = read_shards(one.folder)
    return sum(shard.rows for shard in shards if shard.shard in done and planned.get(shard.shard) == shard.fingerprint)


def know(item: StudySet, out: Path) -> KnownSet:
    """Open a set that is there, or plan the set to draw.

    Raises InputError where it cannot be opened, or a class, recipe or file is unknown; FingerprintError where its
    folder holds more images than are asked for.
    """
    folder = set_folder(item, out)
    if item.generate is not None:
        try:
            plan = plan_for(item.generate, folder)
        except InputError as error:
            raise type(error)(f"set {item.name!r}: {error}") from None
        return KnownSet(item.name, folder, None, plan, {one.class_key: one.name for one in plan.classes})
    opened = open_set(SetInput(folder, item.name))
    return KnownSet(item.name, folder, opened.source, None, opened.present)


def know_all(spec: StudySpec, out: Path) -> dict[str, KnownSet]:
    """Every set of a study by its name, the natural one first.

    Raises InputError as `know`, or where the sets have fewer than two classes in common.
    """
    known = {item.name: know(item, out) for item in (spec.natural, *spec.sets)}
    check_classes([(one.name, dict(one.classes)) for one in known.values()])
    return known
