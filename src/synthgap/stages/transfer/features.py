"""A frozen network's features of every image of a set: extracted once, kept as blocks of rows, read back as one array.

The folder is an embedding folder like those of ``synthgap embed``, in float32, so ``synthgap measure`` reads it too.
Batches have one shape, the last one filled up, so that a vector does not depend on where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthgap.core.counting import counted
from synthgap.core.errors import InputError, Interrupted
from synthgap.core.fingerprint import fingerprint
from synthgap.core.interruption import how_to_continue, interruptible
from synthgap.execution.ahead import prefetch_batches
from synthgap.models.classifiers import Classifier
from synthgap.models.preprocessing import INTERPOLATIONS, Preprocessing
from synthgap.store.atomic import own_errors, temp_path
from synthgap.store.embeddings import EmbeddingWriter
from synthgap.store.images import decoded_or_why
from synthgap.store.keys import shard_name
from synthgap.store.manifest import EmbeddingManifest
from synthgap.store.parquet_rows import read_columns
from synthgap.store.rows import ImageRow, ImageSource, ShardRange
from synthgap.store.shards import data_path
from synthgap.store.sources import keep_apart

BLOCK_ROWS = 1024
"""Rows of one block; a whole number of batches, so that only a split's last batch is filled up."""
BATCH = 64
BATCHES_AHEAD = 2
VECTORS = "vectors.npy"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Features:
    """Features of the images of a set that could be read, in the set's order."""

    vectors: NDArray[np.float32]
    """(n, d); mapped to memory where that was asked for."""
    image_keys: tuple[str, ...]
    class_keys: tuple[str, ...]
    splits: tuple[str, ...]
    skipped: dict[str, str]
    """Key and reason of each image without features."""
    fingerprint: str


def feature_preprocessing(classifier: Classifier, image_size: int | None) -> Preprocessing:
    """Shortest side resized to the square that the model sees (bicubic), middle cut: 224 and 224 in S App. A."""
    side = classifier.preprocessing.image_size[0] if image_size is None else image_size
    return replace(classifier.preprocessing, size=side, crop=(side, side), interpolation=INTERPOLATIONS["bicubic"])


def extract(
    classifier: Classifier,
    images: ImageSource,
    preprocessing: Preprocessing,
    out: Path,
    *,
    workers: int,
    progress: Progress | None,
) -> EmbeddingWriter:
    """Extract the features of all images into the folder ``out``, or go on with what is there.

    An image that cannot be decoded is a skipped row with its reason.

    Raises:
        InputError: the network takes no images of this size.
        FingerprintError: the folder holds features of other images, of another model or of other preprocessing.
        RunError: the disk is full.
        Interrupted: SIGINT or SIGTERM came; finished blocks are kept.
    """
    keep_apart(out, images)
    blocks = {block.name: block for block in _blocks(images)}
    ready = replace(classifier, preprocessing=preprocessing)
    writer = EmbeddingWriter(out, _manifest(ready, images, blocks))
    pending = writer.pending_shards()
    total = sum(block.stop - block.start for block in blocks.values())
    done = total - sum(blocks[name].stop - blocks[name].start for name in pending)

    def prepare(row: ImageRow) -> Tensor | str:
        return decoded_or_why(row.read, preprocessing.prepare)

    with interruptible() as check, ThreadPoolExecutor(workers) as pool:
        for name in pending:
            block = blocks[name]
            rows, vectors, errors = [], [], []
            wanted = images.rows(block.split, block.start, block.stop)
            for batch in prefetch_batches(pool, prepare, wanted, BATCH, BATCHES_AHEAD):
                try:
                    check()
                except Interrupted as stop:
                    raise Interrupted(
                        f"{stop}: features of {done} of {counted(total, 'image')} are in {out}; {how_to_continue()}"
                    ) from None
                rows += [row for row, _ in batch]
                errors += [found if isinstance(found, str) else "" for _, found in batch]
                vectors.append(_features(ready, [found for _, found in batch], writer.manifest.dim))
                if progress is not None:
                    progress(done + len(rows), total, f"features of {images.name}")
            writer.write_shard(
                name,
                image_keys=[row.image_key for row in rows],
                class_keys=[row.class_key for row in rows],
                embeddings=np.concatenate(vectors),
                errors=errors,
            )
            done += len(rows)
    return writer


def read_features(writer: EmbeddingWriter, *, mapped: bool) -> Features:
    """Read all features of a finished folder.

    Args:
        writer: the folder, every block of which is done.
        mapped: keep the vectors in one file beside the blocks and map it to memory, instead of holding them.

    Raises:
        InputError: no image has features: none could be decoded, or the network gives no numbers.
        RunError: the disk is full.
    """
    manifest, done = writer.manifest, writer.done_shards()
    keys: list[str] = []
    classes: list[str] = []
    splits: list[str] = []
    skipped: dict[str, str] = {}
    for name in manifest.shards:
        table = read_columns(data_path(writer.folder, name), ["image_key", "class_key", "error"])
        split = name.partition("/")[0]
        for row in table.to_pylist():
            if row["error"]:
                skipped[row["image_key"]] = row["error"]
                continue
            keys.append(row["image_key"])
            classes.append(row["class_key"])
            splits.append(split)
    if not keys:
        raise InputError(
            f"none of {counted(len(skipped), 'image')} has features of {manifest.encoder}; the first: "
            f"{next(iter(skipped.values()), '')}"
        )
    identity = fingerprint(manifest.fingerprint, [marker.sha256 for marker in done.values()])
    shape = (len(keys), manifest.dim)
    vectors = _mapped(writer, shape, identity) if mapped else _filled(writer, np.empty(shape, dtype=np.float32))
    return Features(vectors, tuple(keys), tuple(classes), tuple(splits), skipped, identity)


def _blocks(images: ImageSource) -> Iterator[ShardRange]:
    for split in images.splits:
        total = sum(images.counts[split].values())
        for number, start in enumerate(range(0, total, BLOCK_ROWS)):
            yield ShardRange(shard_name(split, "rows", number), split, start, min(start + BLOCK_ROWS, total))


def _manifest(ready: Classifier, images: ImageSource, blocks: dict[str, ShardRange]) -> EmbeddingManifest:
    preprocessing = ready.preprocessing
    seen = {
        "size": preprocessing.size,
        "interpolation": preprocessing.interpolation.value,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }
    height, width = preprocessing.image_size
    try:
        dim = ready.features(torch.zeros(1, 3, height, width, dtype=torch.uint8)).shape[1]
    except (AssertionError, RuntimeError) as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"{ready.name}: gives no features of {height}x{width} images ({first}); leave --image-size out"
        ) from error
    return EmbeddingManifest(
        fingerprint=fingerprint("features", images.identity, ready.fingerprint, seen),
        spec={"model": ready.name, "preprocessing": seen},
        classes=dict(images.classes),
        parents={"images": images.identity, "model": ready.fingerprint},
        modality="image",
        encoder=ready.name,
        encoder_fingerprint=fingerprint("features", ready.fingerprint, seen),
        dim=dim,
        dtype="float32",
        shards=tuple(blocks),
        parts={name: images.part_fingerprint(block) for name, block in blocks.items()},
    )


def _features(ready: Classifier, batch: Sequence[Tensor | str], dim: int) -> NDArray[np.float32]:
    """Features of a batch, (len(batch), d); a broken image's row is NaN."""
    sound = [(place, found) for place, found in enumerate(batch) if isinstance(found, Tensor)]
    rows = np.full((len(batch), dim), np.nan, dtype=np.float32)
    if sound:
        pixels = torch.zeros(BATCH, 3, *ready.preprocessing.image_size, dtype=torch.uint8)
        for place, image in sound:
            pixels[place] = image
        places = [place for place, _ in sound]
        rows[places] = ready.features(pixels).numpy()[places]
    return rows


def _filled(writer: EmbeddingWriter, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill an array (n, d) with the vectors of all blocks."""
    first = 0
    for name in writer.manifest.shards:
        column = read_columns(data_path(writer.folder, name), ["embedding"])["embedding"].drop_null()
        for chunk in column.chunks:
            block = chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, writer.manifest.dim)
            vectors[first : first + len(block)] = block
            first += len(block)
    return vectors


def _mapped(writer: EmbeddingWriter, shape: tuple[int, int], identity: str) -> NDArray[np.float32]:
    """The vectors as one file, mapped to memory; it is made where it is not there, and takes the place of older blocks'."""
    target = writer.folder / f"{identity}-{VECTORS}"
    if not target.exists():
        with own_errors(target):
            array = np.lib.format.open_memmap(temp_path(target), mode="w+", dtype=np.float32, shape=shape)
            _filled(writer, array)
            array.flush()
            temp_path(target).replace(target)
        for older in writer.folder.glob(f"*-{VECTORS}"):
            if older != target:
                older.unlink(missing_ok=True)
    found: NDArray[np.float32] = np.load(target, mmap_mode="r")
    return found
