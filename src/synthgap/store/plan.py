"""The plan of an image set: which images there are to be, in which shard each, and how a set grows.

plan.parquet    one row per image to be        prompts.parquet  the prompts alone
shards.parquet  one row per shard, written last: its rows, and the fingerprint of what they are to be
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthgap.core.errors import InputError
from synthgap.store.keys import shard_split
from synthgap.store.tables import write_table

PLAN, PROMPTS, SHARDS = "plan.parquet", "prompts.parquet", "shards.parquet"

_PLAN = pa.schema(
    [
        ("image_key", pa.string()),
        ("class_key", pa.string()),
        ("split", pa.string()),
        ("shard", pa.string()),
        ("index", pa.int64()),
        ("seed", pa.int64()),
        ("prompt", pa.string()),
        ("recipe", pa.string()),
        ("guidance_scale", pa.float64()),
        ("num_inference_steps", pa.int64()),
    ]
)
_PROMPTS = pa.schema([(name, _PLAN.field(name).type) for name in ("class_key", "split", "index", "prompt", "recipe")])
_SHARDS = pa.schema(
    [("shard", pa.string()), ("class_key", pa.string()), ("rows", pa.int64()), ("fingerprint", pa.string())]
)


Settings = tuple[float | None, int | None]
"""Guidance and steps that a class has of its own; None for the set's."""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image to be: everything that decides it, apart from the settings that all share."""

    image_key: str
    class_key: str
    split: str
    shard: str
    """``<split>/<class_key>-<block>``."""
    index: int
    """Image index within the class, which with the run seed gives the image's seed."""
    seed: int
    prompt: str
    recipe: str
    guidance_scale: float | None = None
    """None for the set's own, as for ``num_inference_steps``."""
    num_inference_steps: int | None = None

    @property
    def settings(self) -> Settings:
        """Guidance and steps of its own."""
        return self.guidance_scale, self.num_inference_steps


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """One shard to be."""

    shard: str
    class_key: str
    rows: int
    fingerprint: str
    """Of its rows: a shard on disk that was made of other rows is outdated."""


def blocks(kept: Sequence[int], rows: int, size: int) -> tuple[int, ...]:
    """Rows of each shard of a class: the shards that are there stay as they are, the rest is cut into ``size``.

    So a set that grows keeps every finished shard, the last and smaller one too.

    >>> blocks((), 600, 250), blocks((250, 100), 600, 250)
    ((250, 250, 100), (250, 100, 250))
    """
    missing = rows - sum(kept)
    if missing < 0:
        raise ValueError(f"{sum(kept)} rows are there, {rows} are asked for")
    full, rest = divmod(missing, size)
    return (*kept, *[size] * full, *[rest] * (rest > 0))


def summary(images: Iterable[PlannedImage]) -> Iterator[PlannedShard]:
    """The shards of a plan, in its order; the images of a shard stand together."""
    current: tuple[str, str] | None = None
    rows, digest = 0, hashlib.sha256()
    for image in images:
        if (image.shard, image.class_key) != current:
            if current is not None:
                yield PlannedShard(*current, rows, digest.hexdigest()[:16])
            current, rows, digest = (image.shard, image.class_key), 0, hashlib.sha256()
        rows += 1
        own = () if image.settings == (None, None) else image.settings
        digest.update(repr((image.image_key, image.index, image.seed, image.prompt, image.recipe, *own)).encode())
    if current is not None:
        yield PlannedShard(*current, rows, digest.hexdigest()[:16])


def write_plan(folder: Path, plan: Iterable[PlannedImage], shards: Sequence[PlannedShard]) -> None:
    """Write the three tables; ``plan`` is read twice. ``shards`` come last: until then the old ones count."""
    prompts = ({name: getattr(image, name) for name in _PROMPTS.names} for image in plan)
    write_table(folder / PROMPTS, prompts, _PROMPTS)
    write_table(folder / PLAN, map(asdict, plan), _PLAN)
    write_table(folder / SHARDS, map(asdict, shards), _SHARDS)


def read_shards(folder: Path) -> list[PlannedShard]:
    """Shards to be, in the plan's order.

    Raises InputError where there is no plan: the set was begun and not planned.
    """
    path = folder / SHARDS
    if not path.is_file():
        raise InputError(f"{folder}: has no {SHARDS}; unfinished: run the same command again")
    return [PlannedShard(**row) for row in pq.read_table(path).to_pylist()]


def layout(folder: Path) -> dict[tuple[str, str], tuple[int, ...]]:
    """Rows of each shard by (split, class key), in order; empty where nothing is planned yet."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for shard in read_shards(folder) if (folder / SHARDS).is_file() else ():
        key = (shard_split(shard.shard), shard.class_key)
        found[key] = (*found.get(key, ()), shard.rows)
    return found


def read_images(folder: Path, shard: str | None = None) -> Iterator[PlannedImage]:
    """Images to be, in the plan's order; of one shard, or of all."""
    path = folder / PLAN
    if shard is not None:  # row groups of other shards are skipped by their statistics
        yield from (PlannedImage(**row) for row in pq.read_table(path, filters=[("shard", "==", shard)]).to_pylist())
        return
    for batch in pq.ParquetFile(path).iter_batches():
        yield from (PlannedImage(**row) for row in batch.to_pylist())


def read_settings(folder: Path) -> dict[str, Settings]:
    """Guidance and steps of each shard that has its own; a shard holds one class, and so one of each."""
    path = folder / PLAN
    if "guidance_scale" not in pq.read_schema(path).names:  # planned before classes could be adjusted
        return {}
    columns = ["shard", "guidance_scale", "num_inference_steps"]
    own = (pc.field("guidance_scale").is_valid()) | (pc.field("num_inference_steps").is_valid())
    rows = pq.read_table(path, columns=columns, filters=own).to_pylist()
    return {row["shard"]: (row["guidance_scale"], row["num_inference_steps"]) for row in rows}


def is_planned(image: PlannedImage, row: Mapping[str, Any], shared: Mapping[str, Any]) -> bool:
    """Whether a row on disk is this very image: drawn well, of the same seed and prompt, guidance and steps.

    ``shared`` are the settings of the set, for what the image has not of its own.
    """
    wanted = {name: getattr(image, name) for name in ("seed", "prompt", "recipe")}
    for name, own in zip(("guidance_scale", "num_inference_steps"), image.settings, strict=True):
        if own is not None or name in shared:
            wanted[name] = shared.get(name) if own is None else own
    return row["status"] == "ok" and all(row[name] == value for name, value in wanted.items())
