"""Embedding: images or prompts become shards of unit vectors.

Reading, decoding and resizing run in threads, a bounded number of images ahead, while the encoder works. A shard is
encoded in batches that depend on its rows and the batch size only, so a run that was killed and repeated leaves the
same bytes as one that was not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from synthgap.core.errors import InputError, Interrupted, RunError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.interruption import how_to_continue, interruptible
from synthgap.core.specs import EncoderSpec, Resources
from synthgap.models.encoder import Encoder, encoder_fingerprint, load_encoder
from synthgap.models.folders import locate_encoder
from synthgap.store.embeddings import EmbeddingWriter
from synthgap.store.images import BrokenImage, decode_image
from synthgap.store.manifest import EmbeddingManifest, kind_of, read_manifest
from synthgap.store.sets import ImageSet
from synthgap.store.sources import ImageRow, ImageSource, open_images

Progress = Callable[[int, int, str], None]
"""Called with rows done, rows in all, and what is being done."""

Step = Callable[[int], None]
"""Called when that many more rows are embedded; raises Interrupted when the run is to stop."""

SHARD_ROWS = 1000
BATCHES_AHEAD = 3
"""Decoded batches that may wait for the encoder; bounds the memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def embed_images(
    source: ImageSource | Path,
    spec: EncoderSpec,
    out: Path,
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> Path:
    """Embed every image of a source into the folder ``out``, or go on with what is there; returns ``out``.

    An image that cannot be read or decoded, or that the encoder has no number for, is a skipped row with its reason.

    Raises:
        InputError: no such source or encoder, or a folder that holds something else.
        FingerprintError: the folder holds embeddings of other images or of another encoder.
        RunError: the disk is full, or the encoder failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    images = source if isinstance(source, ImageSource) else open_images(source)
    ranges = {part.name: part for part in images.shards(SHARD_ROWS)}
    job = _Job(
        spec=spec,
        resources=resources or Resources(),
        out=out,
        modality="image",
        classes=dict(images.classes),
        parent=images.fingerprint,
        shards={name: part.stop - part.start for name, part in ranges.items()},
        progress=progress,
    )

    def encode(pending: Sequence[str], encoder: Encoder, step: Step) -> Iterator[_Shard]:
        rows = (
            (name, row)
            for name in pending
            for row in images.rows(ranges[name].split, ranges[name].start, ranges[name].stop)
        )
        ahead = BATCHES_AHEAD * job.resources.batch_size

        def prepare(named: tuple[str, ImageRow]) -> torch.Tensor | str:
            return _prepare(encoder, named[1])

        with ThreadPoolExecutor(job.resources.workers) as pool:
            prepared = prefetch(pool, prepare, rows, ahead)
            for name, group in groupby(prepared, key=lambda pair: pair[0][0]):
                pairs = ((row, result) for (_, row), result in group)
                yield _image_shard(name, pairs, encoder, job.resources.batch_size, step)

    return _run(job, encode)


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

    Raises as ``embed_images``.
    """
    rows = _distinct(_planned(prompts) if isinstance(prompts, Path) else _given(prompts))
    if not rows:
        raise InputError("there are no prompts to embed; expected at least one")
    shards = _prompt_shards(rows)
    job = _Job(
        spec=spec,
        resources=resources or Resources(),
        out=out,
        modality="prompt",
        classes={row.class_key: row.name for row in rows},
        parent=fingerprint([[row.class_key, row.name, row.text, row.key, row.split] for row in rows]),
        shards={name: len(part) for name, part in shards.items()},
        progress=progress,
    )

    def encode(pending: Sequence[str], encoder: Encoder, step: Step) -> Iterator[_Shard]:
        for name in pending:
            vectors = []
            for batch in _batches(shards[name], job.resources.batch_size):
                vectors.append(encoder.encode_texts([row.text for row in batch]))
                step(len(batch))
            keys, classes = [row.key for row in shards[name]], [row.class_key for row in shards[name]]
            yield _Shard(name, keys, classes, np.concatenate(vectors), [""] * len(keys))

    return _run(job, encode)


def prefetch(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Result]]:
    """Map in a pool, in order, at most ``ahead`` items before the one that is asked for."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    iterator = iter(items)
    try:
        while True:
            waiting.extend((item, pool.submit(function, item)) for item in islice(iterator, ahead - len(waiting)))
            if not waiting:
                return
            item, future = waiting.popleft()
            yield item, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


@dataclass(frozen=True)
class _Job:
    """What to embed, whatever it is."""

    spec: EncoderSpec
    resources: Resources
    out: Path
    modality: Literal["image", "prompt"]
    classes: dict[str, str]
    parent: str
    """Fingerprint of the images or prompts."""
    shards: dict[str, int]
    """Rows of each shard, in order."""
    progress: Progress | None

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self.shards.values())

    def steps(self, pending: Sequence[str], check: Callable[[], None]) -> Step:
        """A ``Step`` that counts from what an earlier run finished, and reports."""
        done = self.total - sum(self.shards[name] for name in pending)

        def step(rows: int) -> None:
            nonlocal done
            done += rows
            if self.progress is not None:
                self.progress(done, self.total, f"{self.modality}s embedded")
            check()

        step(0)
        return step


@dataclass(frozen=True)
class _Shard:
    """One embedded shard; a row with an error has NaN."""

    name: str
    image_keys: list[str]
    class_keys: list[str]
    embeddings: np.ndarray
    errors: list[str]


def _run(job: _Job, encode: Callable[[Sequence[str], Encoder, Step], Iterator[_Shard]]) -> Path:
    """Encode and write the shards that are not done yet."""
    source = locate_encoder(job.spec)
    encoder_hash = encoder_fingerprint(source, job.spec.dtype)
    whole = fingerprint("embeddings", job.modality, job.parent, encoder_hash, job.classes, list(job.shards))
    if _is_finished(job.out, whole):
        job.steps((), lambda: None)
        return job.out
    encoder = load_encoder(job.spec, job.resources, source)
    manifest = EmbeddingManifest(
        fingerprint=whole,
        spec=job.spec.model_dump(mode="json") | {"encoder": encoder.name},
        classes=job.classes,
        parents={f"{job.modality}s": job.parent, "encoder": encoder_hash},
        modality=job.modality,
        encoder=encoder.name,
        encoder_fingerprint=encoder_hash,
        dim=encoder.dim,
        shards=tuple(job.shards),
    )
    writer = EmbeddingWriter(job.out, manifest)
    pending = writer.pending_shards()
    with interruptible() as check:
        try:
            for shard in encode(pending, encoder, job.steps(pending, check)):
                writer.write_shard(
                    shard.name,
                    image_keys=shard.image_keys,
                    class_keys=shard.class_keys,
                    embeddings=shard.embeddings,
                    errors=shard.errors,
                )
        except Interrupted as stop:
            kept = job.total - sum(job.shards[name] for name in writer.pending_shards())
            raise Interrupted(f"{stop}: {kept} of {job.total} rows are in {job.out}; {how_to_continue()}") from None
        except RuntimeError as error:  # torch's: out of memory, a device that failed
            first = str(error).strip().splitlines()[0]
            raise RunError(
                f"the encoder failed: {first}; try a smaller batch_size and run the same command again"
            ) from error
    return job.out


def _is_finished(out: Path, whole: str) -> bool:
    """Whether ``out`` holds all of this very job, so that the encoder need not be loaded."""
    if kind_of(out) != "embeddings":
        return False
    manifest = read_manifest(out)
    if manifest.fingerprint != whole or not isinstance(manifest, EmbeddingManifest):
        return False
    return not EmbeddingWriter(out, manifest).pending_shards()


def _prepare(encoder: Encoder, row: ImageRow) -> torch.Tensor | str:
    """A row's image as the encoder takes it, or why there is none; runs in a thread."""
    try:
        return encoder.prepare(decode_image(row.read()))
    except BrokenImage as broken:
        return broken.reason


def _image_shard(
    name: str, rows: Iterable[tuple[ImageRow, torch.Tensor | str]], encoder: Encoder, batch_size: int, step: Step
) -> _Shard:
    """Encode the rows of one shard, in batches of the images that could be decoded."""
    keys: list[str] = []
    classes: list[str] = []
    errors: list[str] = []
    waiting: list[torch.Tensor] = []
    vectors: list[np.ndarray] = []
    told = 0

    def flush() -> None:
        nonlocal told
        if waiting:
            vectors.append(encoder.encode_prepared(torch.stack(waiting)))
            waiting.clear()
        step(len(keys) - told)
        told = len(keys)

    for row, image in rows:
        keys.append(row.image_key)
        classes.append(row.class_key)
        errors.append(image if isinstance(image, str) else "")
        if isinstance(image, torch.Tensor):
            waiting.append(image)
        if len(waiting) == batch_size:
            flush()
    flush()
    embeddings = np.full((len(keys), encoder.dim), np.nan, dtype=np.float32)
    if vectors:
        embeddings[[not error for error in errors]] = np.concatenate(vectors)
    return _Shard(name, keys, classes, embeddings, errors)


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


def _prompt_shards(rows: Sequence[PromptRow]) -> dict[str, list[PromptRow]]:
    """Rows of each split in blocks, by shard name."""
    shards: dict[str, list[PromptRow]] = {}
    for split in dict.fromkeys(row.split for row in rows):
        chosen = [row for row in rows if row.split == split]
        for block, part in enumerate(_batches(chosen, SHARD_ROWS)):
            shards[f"{split}/rows-{block:05d}"] = list(part)
    return shards


def _batches(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
