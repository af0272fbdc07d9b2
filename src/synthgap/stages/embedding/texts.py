"""Embedding prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.specs import EncoderSpec, Resources
from synthgap.execution import Check, Tell, Tick
from synthgap.models.encoder import Encoder
from synthgap.stages.embedding.folder import BATCH_SIZE, Content, Place, Progress, embed, encoder_errors
from synthgap.store.sets import ImageSet

SHARD_ROWS = 1000


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt to embed."""

    class_key: str
    name: str
    """Of the class, for people."""
    text: str
    key: str
    """Unique in its split."""
    split: str


def embed_prompts(
    prompts: Path | Sequence[tuple[str, str, str]],
    spec: EncoderSpec,
    out: Path,
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> Path:
    """Embed the distinct prompts of each class and split into the folder ``out``; returns ``out``.

    ``prompts``: an image set's folder, or (class_key, class name, prompt) of your own, which are all in ``train``.
    A recipe with one prompt per class gives one row per class and split; one with a prompt per image gives one row per
    image. The row of a set's prompt has the key of the first image drawn from it.

    With ``spec.templates`` every prompt is put into each of them, and the mean is its embedding.

    Raises as ``embed_images``, and InputError for an encoder of images only.
    """
    rows = _distinct(_planned(prompts) if isinstance(prompts, Path) else _given(prompts))
    if not rows:
        raise InputError("there are no prompts to embed; expected at least one")
    shards = _shards(rows)
    parts = {name: fingerprint([astuple(row) for row in part]) for name, part in shards.items()}
    # The prompts of a set may become more, or change with it; a list of one's own is what it is.
    identity = ImageSet(prompts).manifest.fingerprint if isinstance(prompts, Path) else fingerprint(parts)
    content = Content("prompt", {row.class_key: row.name for row in rows}, identity, parts)
    place = Place(out, spec, resources or Resources())
    return embed(content, place, progress, lambda ready: PromptJob(shards, ready))


@dataclass(frozen=True)
class PromptJob:
    """Prompts to embed."""

    rows: dict[str, list[PromptRow]]
    place: Place

    def shards(self) -> dict[str, int]:
        """All shards and their rows."""
        return {name: len(part) for name, part in self.rows.items()}

    def pending(self, shards: Iterable[str]) -> list[str]:
        """Shards that are not embedded yet."""
        writer = self.place.writer()
        return [shard for shard in shards if not writer.is_done(shard)]

    def worker(self, device: str | None) -> PromptWorker:
        """Load the encoder on a device."""
        return PromptWorker(self, self.place.load(device))


@dataclass(frozen=True)
class PromptWorker:
    """Embeds shards of prompts with one encoder."""

    job: PromptJob
    encoder: Encoder

    def work(self, shards: Sequence[str], check: Check, tell: Tell) -> None:
        """Embed shards, in batches that depend on the shard and the batch size only."""
        place = self.job.place
        writer, size = place.writer(), place.resources.batch_size or BATCH_SIZE
        for name in shards:
            rows, vectors = self.job.rows[name], []
            for batch in _batches(rows, size):
                with encoder_errors():
                    vectors.append(self.encoder.encode_texts([row.text for row in batch], place.spec.templates))
                tell(Tick(len(batch)))
                check()
            keys, classes = [row.key for row in rows], [row.class_key for row in rows]
            writer.write_shard(name, image_keys=keys, class_keys=classes, embeddings=np.concatenate(vectors))


def _distinct(rows: Iterable[PromptRow]) -> list[PromptRow]:
    """The first row of each prompt of a class and split, in the order given."""
    first: dict[tuple[str, str, str], PromptRow] = {}
    for row in rows:
        first.setdefault((row.split, row.class_key, row.text), row)
    return list(first.values())


def _given(prompts: Iterable[tuple[str, str, str]]) -> Iterator[PromptRow]:
    for number, (class_key, name, text) in enumerate(prompts):
        yield PromptRow(class_key, name, text, f"{class_key}-prompt-{number:07d}", "train")


def _planned(folder: Path) -> Iterator[PromptRow]:
    image_set = ImageSet(folder)
    names = image_set.manifest.classes
    for image in image_set.read_plan():
        yield PromptRow(image.class_key, names[image.class_key], image.prompt, image.image_key, image.split)


def _shards(rows: Sequence[PromptRow]) -> dict[str, list[PromptRow]]:
    """Rows of each split in blocks, by shard name."""
    shards: dict[str, list[PromptRow]] = {}
    for split in dict.fromkeys(row.split for row in rows):
        chosen = [row for row in rows if row.split == split]
        for block, part in enumerate(_batches(chosen, SHARD_ROWS)):
            shards[f"{split}/rows-{block:05d}"] = list(part)
    return shards


def _batches(rows: Sequence[PromptRow], size: int) -> Iterator[Sequence[PromptRow]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
