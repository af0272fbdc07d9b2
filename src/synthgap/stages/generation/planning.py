"""Planning: a spec becomes the list of images to draw, each with its prompt and its seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from synthgap.core.fingerprint import fingerprint
from synthgap.core.records import ClassEntry
from synthgap.core.seeds import EVAL_INDEX, image_seed
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import find_recipe, load_overrides, make_prompt, shipped_overrides
from synthgap.store.keys import shard_name
from synthgap.store.sets import PlannedImage
from synthgap.vocabulary import resolve

TRAIN, EVAL = "train", "eval"


@dataclass(frozen=True)
class Plan:
    """What will be drawn: classes, their clarified prompts, and how many images of each."""

    spec: GenerateSpec
    classes: tuple[ClassEntry, ...]
    clarified: Mapping[str, str]
    """Clarified prompt by class key, of the classes of this plan."""
    notes: tuple[str, ...] = ()
    """How ambiguous and unknown class names were read, one line each; for the user to see."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.classes) * (self.spec.per_class + self.spec.eval_per_class)

    @property
    def class_names(self) -> dict[str, str]:
        """Name of each class key, in the plan's order."""
        return {entry.class_key: entry.name for entry in self.classes}

    @property
    def fingerprint(self) -> str:
        """Hash of the classes and clarified prompts themselves, whatever file they came from."""
        return fingerprint([asdict(entry) for entry in self.classes], dict(self.clarified))

    def images(self) -> Iterator[PlannedImage]:
        """Every image to be: train before eval, class after class, index after index."""
        for split, count in ((TRAIN, self.spec.per_class), (EVAL, self.spec.eval_per_class)):
            for entry in self.classes:
                for position in range(count):
                    yield self._image(entry, split, position)

    def _image(self, entry: ClassEntry, split: str, position: int) -> PlannedImage:
        spec, key = self.spec, entry.class_key
        # Far above any train index, so that growing the train split never moves an eval image's seed.
        index = position + (EVAL_INDEX if split == EVAL else 0)
        return PlannedImage(
            image_key=f"{key}-{split}-{position:07d}",
            class_key=key,
            split=split,
            shard=shard_name(split, key, position // spec.shard_size),
            index=index,
            seed=image_seed(spec.seed, key, index),
            prompt=make_prompt(spec.recipe, entry, index, spec.seed, self.clarified),
            recipe=spec.recipe,
        )


def plan_set(spec: GenerateSpec) -> Plan:
    """Plan the set of a spec: a pure function of it and of the files it names.

    The seed of an image follows from the run seed, its class and its index alone (design section 3), so sets that
    differ in recipe or guidance compare image by image (M Fig. 5).

    Raises InputError for an unknown class, list, recipe or overrides file, and for a class that is named twice.
    """
    find_recipe(spec.recipe)
    resolution = resolve(spec.classes)
    classes = tuple(resolution.entries)
    clarified = shipped_overrides() if spec.overrides is None else load_overrides(spec.overrides, classes)
    used = {entry.class_key: clarified[entry.class_key] for entry in classes if entry.class_key in clarified}
    return Plan(spec, classes, used, tuple(resolution.notes))
