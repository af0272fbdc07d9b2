"""The folder of an image set (design section 3): manifest, plan, prompts, shards, markers.

manifest.json   what made it          prompts.parquet  the prompts
README.md       the dataset card      plan.parquet     one row per image to be
data/<split>/<class_key>-<block>.parquet, done/<split>/<class_key>-<block>.json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgap.core.errors import InputError, nearest
from synthgap.store import shards
from synthgap.store.atomic import write_text
from synthgap.store.card import dataset_card
from synthgap.store.features import COLUMNS, IMAGE_BYTES, image_schema
from synthgap.store.keys import shard_split
from synthgap.store.manifest import Manifest, claim_folder, kind_of, read_manifest
from synthgap.store.shards import ShardDone
from synthgap.store.tables import write_table

PLAN = pa.schema(
    [
        ("image_key", pa.string()),
        ("class_key", pa.string()),
        ("split", pa.string()),
        ("shard", pa.string()),
        ("index", pa.int64()),
        ("seed", pa.int64()),
        ("prompt", pa.string()),
        ("recipe", pa.string()),
    ]
)
PROMPTS = pa.schema([(name, PLAN.field(name).type) for name in ("class_key", "split", "index", "prompt", "recipe")])

_EXTENSIONS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image to be: everything that decides it, apart from the spec that all share."""

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


class ImageSet:
    """An image set's folder, to write or to go on with.

    Args:
        folder: where it is.
        manifest: begins or continues the set of this manifest; None opens the set that is there.

    Raises:
        FingerprintError: the folder holds another run.
        InputError: the folder holds something else, or no set where one was to be opened.
    """

    def __init__(self, folder: Path, manifest: Manifest | None = None) -> None:
        self.folder = Path(folder)
        if manifest is not None:
            claim_folder(self.folder, manifest)
        elif kind_of(self.folder) != "image-set":
            raise InputError(f"{self.folder}: no image set of synthgap (its manifest.json is missing)")
        self.manifest = read_manifest(self.folder)
        self._schema = image_schema(self.manifest.classes)
        self._labels = {key: position for position, key in enumerate(self.manifest.classes)}

    def write_plan(self, plan: Iterable[PlannedImage]) -> None:
        """Write the plan, the prompts and the dataset card, once: where a plan is, it stays.

        The plan is written last, so that a kill in between only means that all three are written again.
        """
        if (self.folder / "plan.parquet").exists():
            return
        images = list(plan)
        splits = Counter(image.split for image in images)
        prompts = ({name: getattr(image, name) for name in PROMPTS.names} for image in images)
        write_table(self.folder / "prompts.parquet", prompts, PROMPTS)
        write_text(self.folder / "README.md", dataset_card(self.manifest, splits))
        write_table(self.folder / "plan.parquet", map(asdict, images), PLAN)

    def read_plan(self, shard: str | None = None) -> Iterator[PlannedImage]:
        """Images to be, in the plan's order; of one shard, or of all."""
        if shard is not None:  # row groups of other shards are skipped by their statistics
            rows = pq.read_table(self._plan_path(), filters=[("shard", "==", shard)]).to_pylist()
            yield from (PlannedImage(**row) for row in rows)
            return
        for batch in pq.ParquetFile(self._plan_path()).iter_batches():
            yield from (PlannedImage(**row) for row in batch.to_pylist())

    def planned_shards(self) -> dict[str, int]:
        """Rows of each shard there will be, in the plan's order."""
        counts: Counter[str] = Counter()
        for batch in pq.ParquetFile(self._plan_path()).iter_batches(columns=["shard"]):
            counts.update(batch["shard"].to_pylist())
        return dict(counts)

    def write_shard(self, shard: str, rows: Iterable[Mapping[str, Any]]) -> ShardDone:
        """Write a shard's images and then its marker; rows are taken one after the other, about 100 in memory.

        Args:
            shard: its name in the plan.
            rows: values by column name (``COLUMNS``); ``image`` is a file's bytes, or None for an image that failed,
                with the reason in ``error``. ``label`` follows from ``class_key``.

        Raises:
            RunError: the disk is full.
        """
        complete = (self._row(row) for row in rows)
        return shards.write_shard(self.folder, shard, complete, self._schema, plain_columns=(IMAGE_BYTES,))

    def is_done(self, shard: str) -> bool:
        """Whether a shard is whole: it has a marker, and its bytes are those that the marker tells of."""
        return shards.finished(self.folder, shard) is not None

    def done_shards(self) -> dict[str, ShardDone]:
        """Markers of all whole shards, by name."""
        found = ((shard, shards.finished(self.folder, shard)) for shard in shards.shards_on_disk(self.folder))
        return {shard: done for shard, done in found if done is not None}

    def pending_shards(self) -> list[str]:
        """Planned shards that are not whole yet, in the plan's order."""
        return [shard for shard in self.planned_shards() if not self.is_done(shard)]

    def is_finished(self) -> bool:
        """Whether every planned shard is there (sizes compared, bytes not hashed)."""
        return all(shards.finished(self.folder, shard, verify=False) for shard in self.planned_shards())

    def splits(self) -> tuple[str, ...]:
        """Splits of the plan, in its order."""
        return tuple(dict.fromkeys(shard_split(shard) for shard in self.planned_shards()))

    def _plan_path(self) -> Path:
        path = self.folder / "plan.parquet"
        if not path.is_file():
            raise InputError(f"{self.folder}: has no plan.parquet; unfinished: run the same command again")
        return path

    def _row(self, given: Mapping[str, Any]) -> dict[str, Any]:
        for name in given:
            if name not in COLUMNS:
                raise ValueError(f"column {name!r} is not one of an image set{nearest(name, COLUMNS)}")
        row: dict[str, Any] = {"status": "ok", "error": "", "is_synthetic": True} | dict(given)
        row["label"] = self._labels[row["class_key"]]
        data = row.get("image")
        if data is None:
            row |= {"status": "failed", "error": row["error"] or "no image"}
        else:
            extension = next((name for magic, name in _EXTENSIONS.items() if data.startswith(magic)), "img")
            row["image"] = {"bytes": data, "path": f"{row['image_key']}.{extension}"}
        return row
