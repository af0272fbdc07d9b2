"""Images of our own, written with Pillow, and small sets made of them."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthgap.store.images import encode_png
from synthgap.store.manifest import EmbeddingManifest, Manifest
from synthgap.store.sets import ImageSet, PlannedImage

CLASSES = {"n02012849": "crane", "n03126707": "crane", "odd~1": 'a "quoted",\nname é 🐸'}


def pixels(seed: int, height: int = 8, width: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed: int) -> bytes:
    return encode_png(pixels(seed))


def make_folder(root: Path, files: dict[str | bytes, bytes]) -> Path:
    """Write files by path below a folder, making the folders between; a path that ends with / is an empty folder."""
    for name, data in files.items():
        path = root / os.fsdecode(name)
        if os.fsdecode(name).endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def plan(
    train: int = 5, held_out: int = 2, block: int = 3, classes: dict[str, str] | None = None
) -> list[PlannedImage]:
    return [
        PlannedImage(
            image_key=f"{key}-{split}-{i:07d}",
            class_key=key,
            split=split,
            shard=f"{split}/{key}-{i // block:05d}",
            index=i,
            seed=2**63 - 1 - i,
            prompt=f"a photo of {name}",
            recipe="name",
        )
        for split, n in (("train", train), ("eval", held_out))
        for key, name in (classes or CLASSES).items()
        for i in range(n)
    ]


def set_manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "kind": "image-set",
        "fingerprint": "f1",
        "spec": {"generator": "lab", "guidance_scale": 7.5, "seed": 7},
        "classes": CLASSES,
    }
    return Manifest(**values | changes)


def rows_of(image_set: ImageSet, shard: str) -> Iterator[dict[str, Any]]:
    for image in image_set.read_plan(shard):
        yield {
            "image": png(image.seed % 1000),
            "image_key": image.image_key,
            "class_key": image.class_key,
            "prompt": image.prompt,
            "recipe": image.recipe,
            "seed": image.seed,
            "guidance_scale": 7.5,
            "width": 10,
            "height": 8,
        }


def finish(image_set: ImageSet) -> ImageSet:
    for shard in image_set.pending_shards():
        image_set.write_shard(shard, rows_of(image_set, shard))
    return image_set


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def embedding_manifest(**changes: Any) -> EmbeddingManifest:
    values: dict[str, Any] = {
        "fingerprint": "e1",
        "spec": {"encoder": "lab"},
        "classes": {"a": "A", "b": "B", "c": "C"},
        "modality": "image",
        "encoder": "lab",
        "encoder_fingerprint": "enc",
        "dim": 4,
        "dtype": "float16",
        "shards": ("train/a-00000", "train/b-00000", "eval/a-00000"),
    }
    return EmbeddingManifest(**values | changes)
