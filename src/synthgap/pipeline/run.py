"""One run folder: the sets that take part are opened, embedded, and given the words they were drawn from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.specs import EncoderSpec, MeasureSpec, Resources
from synthgap.models.encoder import source_has_text
from synthgap.models.folders import locate_encoder
from synthgap.stages import class_words
from synthgap.stages.alignment import Aligned, align, check_classes, rename_classes, without_direction
from synthgap.stages.embedding import embed_images, embed_prompts
from synthgap.stages.inputs import OpenedSet, SetInput, distinct_names, open_set
from synthgap.stages.measurement import check_comparable
from synthgap.store.embeddings import EmbeddingSet, load_embeddings
from synthgap.store.keys import safe_key
from synthgap.store.sources import keep_apart

Progress = Callable[[int, int, str], None]
"""Called with what is done, what there is in all, and what is being done."""


@dataclass(frozen=True)
class CompareOptions:
    """How to compare; the defaults are the specs' own."""

    encoder: EncoderSpec = field(default_factory=EncoderSpec)
    measure: MeasureSpec = field(default_factory=MeasureSpec)
    resources: Resources = field(default_factory=Resources)
    progress: Progress | None = None
    command: str = ""
    """The command line, for the summary."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of what was done before, such as drawing, for the summary."""


@dataclass(frozen=True)
class Study:
    """The sets of a comparison under common class keys, and what is known of them in words."""

    opened: Sequence[OpenedSet]
    aligned: Aligned
    classes: Mapping[str, ClassEntry]
    prompts: Mapping[str, EmbeddingSet] = field(default_factory=dict)
    """Prompts of each synthetic set by its name; empty for embeddings that were given."""
    described: Mapping[str, str] = field(default_factory=dict)
    senses: Mapping[str, list[tuple[str, np.ndarray]]] = field(default_factory=dict)

    @property
    def natural(self) -> EmbeddingSet:
        """The natural set."""
        return self.aligned.natural

    @property
    def main(self) -> EmbeddingSet:
        """The synthetic set that the summary speaks of."""
        return self.aligned.synthetic[0]

    @property
    def images(self) -> tuple[EmbeddingSet, ...]:
        """Every image set, the natural one first."""
        return (self.natural, *self.aligned.synthetic)

    @property
    def prompt_sets(self) -> list[EmbeddingSet]:
        """Every prompt set once; two image sets may share one."""
        return list({prompts.name: prompts for prompts in self.prompts.values()}.values())


class Run:
    """The folder of one comparison, the seconds of its stages, and what the user must know."""

    def __init__(self, out: Path, options: CompareOptions) -> None:
        self.out, self.options = out.expanduser(), options
        self.seconds: dict[str, float] = dict(options.seconds)
        self.warnings: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside, and tell of its begin and end."""
        self.tell(0, 1, name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self.tell(1, 1, name)

    def tell(self, done: int, total: int, what: str) -> None:
        """Report progress."""
        if self.options.progress is not None:
            self.options.progress(done, total, what)

    def study(self, inputs: Sequence[SetInput]) -> Study:
        """Open, embed and align the sets, the natural one first, and embed the words they were drawn from."""
        opened = self._open(inputs)
        with self.stage("embedding"):
            loaded = [self._embed(one) for one in opened]
            aligned = align(loaded[0], loaded[1:])
            for images in aligned.synthetic:
                check_comparable(aligned.natural, images)
            return self._with_words(opened, *_named(aligned, opened))

    def _open(self, inputs: Sequence[SetInput]) -> list[OpenedSet]:
        """Open every set and refuse what cannot be compared, before anything is computed."""
        opened = [open_set(item) for item in inputs]
        keep_apart(self.out, *(one.source for one in opened if one.source is not None))
        distinct_names(opened)
        check_classes([(one.name, one.present) for one in opened])
        self.warnings += _told_twice(opened)
        for one in opened:
            self.warnings += [f"{one.name}: {note}" for note in (one.source.notes if one.source is not None else ())]
        return opened

    def _embed(self, one: OpenedSet) -> EmbeddingSet:
        """The embeddings of a set, computed where they are not given."""
        images = one.given
        if one.source is not None:
            options, folder = self.options, embeddings_folder(self.out, one.name)
            embed_images(one.source, options.encoder, folder, options.resources, options.progress)
            images = load_embeddings(folder)
        if images is None:
            raise InputError(f"{one.name}: has neither images nor embeddings")
        return without_direction(images.renamed(one.name))

    def _with_words(self, opened: Sequence[OpenedSet], aligned: Aligned, classes: Mapping[str, ClassEntry]) -> Study:
        """Embed what the sets were drawn from, their own prompts where these are known, else the recipe 'name'.

        Embeddings that were given come from an encoder that is not at hand, so a study with any has no words, and
        neither has one whose encoder knows images only.
        """
        if any(one.source is None for one in opened):
            return Study(opened, aligned, classes)
        if not source_has_text(locate_encoder(self.options.encoder)):
            self.warnings.append("the encoder is of images only: nothing is said of prompts, senses and wording")
            return Study(opened, aligned, classes)
        plain = class_words.name_prompts(classes)
        by_content: dict[frozenset[tuple[str, str]], EmbeddingSet] = {}
        prompts: dict[str, EmbeddingSet] = {}
        described: dict[str, str] = {}
        # Known prompts first, so that a set whose prompts are assumed shares a set of prompts that says the same.
        for one in sorted(opened[1:], key=lambda one: one.manifest is None):
            renamed = aligned.renamed[one.name]
            own = {(renamed[key], text) for key, text in one.prompts() if key in renamed}
            content = frozenset(own) if own else frozenset((key, text) for key, _, text in plain)
            if content not in by_content:
                name = _free_name(one.recipe if own else "name", one.name, described)
                known = " of the images" if own else ", assumed: how the images were drawn is not known"
                described[name] = f"recipe '{one.recipe if own else 'name'}'{known}"
                embedded = self._embed_texts(name, one.source.path if own and one.source is not None else plain)
                by_content[content] = rename_classes(
                    embedded, renamed if own else {key: key for key in classes}, aligned.names
                )
            prompts[one.name] = by_content[content]
        return Study(opened, aligned, classes, prompts, described, self._embed_senses(classes))

    def _embed_senses(self, classes: Mapping[str, ClassEntry]) -> dict[str, list[tuple[str, np.ndarray]]]:
        texts = class_words.sense_texts(classes)
        if not texts:
            return {}
        embedded = self._embed_texts("senses", texts)
        found: dict[str, list[tuple[str, np.ndarray]]] = {}
        for key, row, vector in zip(embedded.class_keys, embedded.image_keys, embedded.embeddings, strict=True):
            # The key of a given text ends in its number.
            found.setdefault(key, []).append((texts[int(row.rpartition("-")[2])][1], vector))
        return found

    def _embed_texts(self, name: str, texts: Path | Sequence[tuple[str, str, str]]) -> EmbeddingSet:
        options = self.options
        folder = embeddings_folder(self.out, name)
        embed_prompts(texts, options.encoder, folder, options.resources, options.progress)
        return without_direction(load_embeddings(folder, name=name))


def embeddings_folder(out: Path, name: str) -> Path:
    """Where a run keeps the embeddings of a set, of prompts or of senses."""
    return out / "embeddings" / safe_key(name.replace(" ", "-"))


def _told_twice(opened: Sequence[OpenedSet]) -> Iterator[str]:
    """Sets that hold the natural set's very images, as by a slip of the hand."""
    natural = opened[0].source
    for one in opened[1:]:
        if natural is not None and one.source is not None and one.source.fingerprint == natural.fingerprint:
            yield f"{one.name}: holds the very images of {opened[0].name}; no gap can be seen"


def _free_name(recipe: str, owner: str, taken: Mapping[str, str]) -> str:
    return f"{recipe} prompts" if f"{recipe} prompts" not in taken else f"{recipe} prompts of {owner}"


def _named(aligned: Aligned, opened: Sequence[OpenedSet]) -> tuple[Aligned, dict[str, ClassEntry]]:
    """The classes with names for people, and what the vocabulary knows of each."""
    own_keys: dict[str, list[str]] = {key: [] for key in aligned.names}
    for one in opened:
        for own, key in aligned.renamed[one.name].items():
            own_keys[key].append(own)
    classes = class_words.entries(aligned.names, own_keys)
    names = {key: classes[key].name if name == key else name for key, name in aligned.names.items()}
    sets = [replace(images, classes=names) for images in (aligned.natural, *aligned.synthetic)]
    return replace(aligned, natural=sets[0], synthetic=tuple(sets[1:])), classes
