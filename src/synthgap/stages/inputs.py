"""The sets that a user names, opened but not yet computed on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgap.store.embeddings import EmbeddingSet, load_embeddings
from synthgap.store.manifest import Manifest, kind_of, read_manifest
from synthgap.store.sets import ImageSet
from synthgap.store.sources import ImageSource, is_embeddings, open_images


@dataclass(frozen=True)
class SetInput:
    """One set to compare: images (folder, set folder, Parquet) or embeddings (``.npz``, embedding folder)."""

    path: Path
    name: str = ""
    """The folder's or file's name by default."""
    description: str = ""


@dataclass
class OpenedSet:
    """A set before it is embedded: images, or embeddings that were given."""

    name: str
    description: str
    source: ImageSource | None
    given: EmbeddingSet | None
    manifest: Manifest | None
    """Of a set folder of ours."""

    @property
    def present(self) -> dict[str, str]:
        """Name of each class that has images."""
        if self.source is not None:
            return {key: name for key, name in self.source.classes.items() if key not in self.source.empty_classes}
        if self.given is None:
            return {}
        here = set(self.given.class_keys)
        return {key: name for key, name in self.given.classes.items() if key in here}

    def setting(self, name: str) -> Any:
        """A setting that the set was drawn with; None where it is not known."""
        return self.manifest.spec.get(name) if self.manifest is not None else None

    @property
    def recipe(self) -> str:
        """The recipe of the prompts; empty where it is not known."""
        return str(self.setting("recipe") or "")

    @property
    def guidance_scale(self) -> float | None:
        """The guidance that the set was drawn at; None where it is not known."""
        guidance = self.setting("guidance_scale")
        return None if guidance is None else float(guidance)

    @property
    def line(self) -> tuple[Any, ...] | None:
        """What the sets of one guidance sweep share; None for images that were not drawn by us."""
        if self.manifest is None:
            return None
        parents = self.manifest.parents
        return parents.get("generator"), parents.get("prompts"), self.recipe, self.setting("negative_prompt")

    def prompts(self) -> frozenset[tuple[str, str]]:
        """The (class key, prompt) pairs of a set of ours; empty where they are not known."""
        if self.manifest is None or self.source is None:
            return frozenset()
        return frozenset((image.class_key, image.prompt) for image in ImageSet(self.source.path).read_plan())

    def describe(self) -> str:
        """The user's own words, else how a set of ours was drawn."""
        if self.description or self.manifest is None:
            return self.description
        guidance = "" if self.guidance_scale is None else f", guidance {self.guidance_scale:g}"
        adjusted = len(self.manifest.info.get("adjusted", {}))
        told = f", {adjusted} {'class' if adjusted == 1 else 'classes'} adjusted" if adjusted else ""
        return f"{self.setting('generator')}{guidance}, recipe '{self.recipe}'{told}"


def open_set(item: SetInput) -> OpenedSet:
    """Open a set.

    Raises:
        InputError: It is missing, empty or not readable; one line with the next step.
    """
    path = item.path.expanduser()
    if is_embeddings(path):
        given = load_embeddings(path, name=item.name or None)
        return OpenedSet(given.name, item.description, None, given, None)
    source = open_images(path)
    manifest = read_manifest(path) if kind_of(path) == "image-set" else None
    return OpenedSet(item.name or source.name, item.description, source, None, manifest)


def distinct_names(opened: list[OpenedSet]) -> None:
    """Give sets of one name different ones: by their role, and by a number from the second synthetic set on."""
    times = Counter(one.name for one in opened)
    for number, one in enumerate(opened):
        if times[one.name] > 1:
            role = "natural" if number == 0 else f"synthetic {number}" if len(opened) > 2 else "synthetic"
            one.name = f"{one.name} ({role})"
