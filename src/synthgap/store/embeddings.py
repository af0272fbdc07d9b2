"""Embeddings on disk: folders of shards of ours, and the files of others.

A folder holds ``manifest.json``, ``data/<split>/<class_key>-<block>.parquet`` and ``done/<shard>.json``. Vectors are
fixed-size lists of float16, or of float32 on request; a row that failed has no vector and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.store import shards
from synthgap.store.atomic import write_json
from synthgap.store.clip_retrieval import is_clip_retrieval, read_clip_retrieval
from synthgap.store.embedding_set import EmbeddingSet, Skipped, why_not_finite
from synthgap.store.keys import shard_split
from synthgap.store.manifest import MANIFEST, EmbeddingManifest, claim_folder, kind_of, read_manifest
from synthgap.store.npy import read_npy
from synthgap.store.npz import read_npz
from synthgap.store.parquet_embeddings import is_parquet_of_embeddings, read_parquet_embeddings
from synthgap.store.parquet_rows import read_columns
from synthgap.store.shards import ShardDone

__all__ = ["EmbeddingSet", "EmbeddingWriter", "Skipped", "embedding_kind", "load_embeddings"]

EXPECTED = "an .npz file or a folder made by 'synthgap embed', .npy with labels, Parquet, or a clip-retrieval folder"


def embedding_schema(dim: int, dtype: str) -> pa.Schema:
    """Columns of an embedding shard."""
    vector = pa.list_(pa.float16() if dtype == "float16" else pa.float32(), dim)
    return pa.schema(
        [
            ("image_key", pa.string()),
            ("class_key", pa.string()),
            ("embedding", vector),
            ("status", pa.string()),
            ("error", pa.string()),
        ]
    )


class EmbeddingWriter:
    """A folder of embeddings to write, or to go on with.

    Args:
        folder: where it is.
        manifest: begins the folder, or continues the one of the same fingerprint, whose classes and shards may have
            grown since; None goes on with the folder as it is.

    Raises:
        FingerprintError: the folder holds another run.
        InputError: the folder holds something else.
    """

    def __init__(self, folder: Path, manifest: EmbeddingManifest | None = None) -> None:
        self.folder = Path(folder)
        if manifest is not None:
            claim_folder(self.folder, manifest)
            if read_manifest(self.folder) != manifest:
                write_json(self.folder / MANIFEST, manifest.model_dump(mode="json"))
        self.manifest = manifest or _embedding_manifest(self.folder)

    def write_shard(
        self,
        shard: str,
        *,
        image_keys: Sequence[str],
        class_keys: Sequence[str],
        embeddings: NDArray[Any],
        errors: Sequence[str] | None = None,
    ) -> ShardDone:
        """Write a shard and then its marker.

        Args:
            shard: one of the manifest's shards.
            image_keys: (n,)
            class_keys: (n,)
            embeddings: (n, d) floating point; a row of a failed image may hold anything.
            errors: (n,) why a row has no embedding, empty where it has one. A row that is not finite, or that the
                folder's precision cannot hold, becomes a failed row too.

        Raises:
            ValueError: the shard is not in the manifest, or the lengths differ.
            RunError: the disk is full.
        """
        if shard not in self.manifest.shards:
            raise ValueError(f"shard {shard!r} is not in the manifest of {self.folder}")
        n, dim = len(image_keys), self.manifest.dim
        errors = [""] * n if errors is None else errors
        if embeddings.shape != (n, dim) or len(class_keys) != n or len(errors) != n:
            raise ValueError(
                f"{shard}: {n} image_keys, {len(class_keys)} class_keys, {len(errors)} errors and embeddings "
                f"{embeddings.shape}; expected as many of each and {dim} columns"
            )
        schema = embedding_schema(dim, self.manifest.dtype)
        rows, part = self._rows(image_keys, class_keys, embeddings, errors), self.manifest.parts.get(shard, "")
        return shards.write_shard(self.folder, shard, rows, schema, plan=part)

    def _rows(
        self, image_keys: Sequence[str], class_keys: Sequence[str], embeddings: NDArray[Any], errors: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        with np.errstate(over="ignore"):  # becomes infinite, which is told as the row's error
            vectors = embeddings.astype(self.manifest.dtype)
        for image_key, class_key, vector, error in zip(image_keys, class_keys, vectors, errors, strict=True):
            reason = error or ("" if np.isfinite(vector).all() else why_not_finite(vector))
            yield {
                "image_key": image_key,
                "class_key": class_key,
                "embedding": None if reason else vector,
                "status": "failed" if reason else "ok",
                "error": reason,
            }

    def is_done(self, shard: str) -> bool:
        """Whether a shard is whole: it has a marker, its bytes are those that the marker tells of, and so are its rows."""
        return _finished(self.folder, self.manifest, shard) is not None

    def done_shards(self) -> dict[str, ShardDone]:
        """Markers of all whole shards, in the manifest's order."""
        found = ((shard, _finished(self.folder, self.manifest, shard)) for shard in self.manifest.shards)
        return {shard: done for shard, done in found if done is not None}

    def pending_shards(self) -> list[str]:
        """Shards that are not whole yet, in the manifest's order."""
        return [shard for shard in self.manifest.shards if not self.is_done(shard)]


def load_embeddings(path: Path | str, *, name: str | None = None) -> EmbeddingSet:
    """Load embeddings from wherever they are.

    Args:
        path: a finished embedding folder of ours; an ``.npz`` or ``.npy`` file; a Parquet file, or a folder of them, with
            a column of vectors; a folder of clip-retrieval, or ``img_emb`` or ``text_emb`` in it.
        name: what to call the set; the folder's or file's name by default.

    Raises:
        InputError: missing, damaged, unfinished, or something else; one line with the next step.
    """
    path = Path(path).expanduser()
    kind = path.suffix[1:].lower() if path.suffix.lower() in (".npz", ".npy") else embedding_kind(path)
    if kind is not None:
        return _READERS[kind](path, name or (path.stem if path.suffix and not path.is_dir() else path.resolve().name))
    if path.is_file():
        raise InputError(f"{path}: is no embeddings file; expected {EXPECTED}")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected {EXPECTED}")
    raise InputError(f"{path}: holds no embeddings; expected {EXPECTED}")


def embedding_kind(path: Path) -> str | None:
    """How a path holds embeddings: ``folder``, ``npz``, ``npy``, ``parquet``, ``clip-retrieval``; None for anything else.

    Parquet with a column of images holds images.
    """
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy") and not path.is_dir():
        return suffix[1:]
    if kind_of(path) is not None:
        return "folder" if kind_of(path) == "embeddings" else None
    if is_clip_retrieval(path):
        return "clip-retrieval"
    return "parquet" if path.exists() and is_parquet_of_embeddings(path) else None


def _embedding_manifest(folder: Path) -> EmbeddingManifest:
    manifest = read_manifest(folder)
    if not isinstance(manifest, EmbeddingManifest):
        raise InputError(f"{folder}: holds no embeddings; expected a folder made by 'synthgap embed'")
    return manifest


def _finished(folder: Path, manifest: EmbeddingManifest, shard: str) -> ShardDone | None:
    done = shards.finished(folder, shard)
    return done if done and done.plan == manifest.parts.get(shard, "") else None


def _load_folder(path: Path, name: str) -> EmbeddingSet:
    manifest = _embedding_manifest(path)
    markers = [_finished(path, manifest, shard) for shard in manifest.shards]
    missing = sum(marker is None for marker in markers)
    if missing:
        raise InputError(
            f"{path}: {missing} of {counted(len(markers), 'shard')} missing or damaged; unfinished: run the same command again"
        )
    vectors, rows, skipped = [], [], []
    for shard in manifest.shards:
        table, split = (
            read_columns(shards.data_path(path, shard), embedding_schema(1, "float16").names),
            shard_split(shard),
        )
        ok = np.asarray([status == "ok" for status in table["status"].to_pylist()], dtype=np.bool_)
        good = table.filter(pa.array(ok))
        vectors.append(_vectors(good["embedding"], manifest.dim))
        rows += [(key, own, split) for key, own in _pairs(good)]
        bad = table.filter(pa.array(~ok))
        reasons = bad["error"].to_pylist()
        skipped += [Skipped(key, own, why, split) for (key, own), why in zip(_pairs(bad), reasons, strict=True)]
    return EmbeddingSet(
        name=name,
        embeddings=np.concatenate(vectors) if vectors else np.zeros((0, manifest.dim), dtype=np.float32),
        class_keys=[own for _, own, _ in rows],
        image_keys=[key for key, _, _ in rows],
        classes=manifest.classes,
        modality=manifest.modality,
        splits=[split for _, _, split in rows],
        encoder=manifest.encoder,
        encoder_fingerprint=manifest.encoder_fingerprint,
        skipped=skipped,
        fingerprint=fingerprint(manifest.fingerprint, [marker.sha256 for marker in markers if marker]),
    )


_READERS: dict[str, Callable[[Path, str], EmbeddingSet]] = {
    "folder": _load_folder,
    "npz": read_npz,
    "npy": read_npy,
    "parquet": read_parquet_embeddings,
    "clip-retrieval": read_clip_retrieval,
}


def _vectors(column: pa.ChunkedArray, dim: int) -> NDArray[np.float32]:
    """A column of fixed-size lists without nulls as (n, d) float32."""
    flat = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim) for chunk in column.chunks]
    return np.concatenate([np.zeros((0, dim), dtype=np.float32), *flat]).astype(np.float32)


def _pairs(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["image_key"].to_pylist(), table["class_key"].to_pylist(), strict=True))
