"""The folder of an image set (design section 3): manifest, plan, shards, markers.

manifest.json   what made it          plan.parquet, prompts.parquet, shards.parquet   the images to be (``store.plan``)
README.md       the dataset card      data/<split>/<class_key>-<block>.parquet, done/<split>/<class_key>-<block>.json

A set may grow: with more images or classes every finished shard stays; where the prompt of a class changes, its shards
are outdated, and go to ``replaced/<fingerprint>/`` before new ones take their place. They come back with the old prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from synthgap.core.counting import counted
from synthgap.core.errors import FingerprintError, InputError, nearest
from synthgap.store import plan as plans
from synthgap.store import shards
from synthgap.store.atomic import copy_file, write_json, write_text
from synthgap.store.card import CardFacts, dataset_card
from synthgap.store.features import COLUMNS, IMAGE_BYTES, image_schema
from synthgap.store.keys import check_shard, shard_split
from synthgap.store.manifest import MANIFEST, Manifest, claim_folder, kind_of, read_manifest
from synthgap.store.plan import PlannedImage, PlannedShard, Settings
from synthgap.store.shards import ShardDone

__all__ = ["ImageSet", "PlannedImage", "PlannedShard", "Settings", "copy_set"]

_EXTENSIONS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}


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
            raise InputError(f"{self.folder}: {_no_set(self.folder)}; expected a folder of 'synthgap generate'")
        self.manifest = read_manifest(self.folder)
        self._asked = manifest
        self._planned: dict[str, PlannedShard] | None = None

    def write_plan(self, plan: Iterable[PlannedImage]) -> None:
        """Write the plan, the card and the manifest, where they are not there as they should be.

        The shards of an earlier plan must all be in the new one: a set grows and does not shrink. ``plan`` is read
        several times, image after image: a list, or anything else that iterates anew each time.

        Raises:
            FingerprintError: a class or a shard of the earlier plan is missing in the new one.
        """
        wanted = list(plans.summary(plan))
        there = plans.read_shards(self.folder) if (self.folder / plans.SHARDS).is_file() else []
        asked = self._asked or self.manifest
        self._check_growth(asked, there, wanted)
        if wanted == there and asked == self.manifest:
            return
        self.manifest = asked
        self._write_card(wanted)
        write_json(self.folder / MANIFEST, self.manifest.model_dump(mode="json"))
        plans.write_plan(self.folder, plan, wanted)
        self._planned = None

    def write_card(self, facts: CardFacts) -> None:
        """Write the dataset card anew with what is known of the drawn images."""
        self._write_card(list(self.planned().values()), facts)

    def _write_card(self, planned: list[PlannedShard], facts: CardFacts | None = None) -> None:
        counts: Counter[str] = Counter()
        for shard in planned:
            counts[shard_split(shard.shard)] += shard.rows
        path, text = self.folder / "README.md", dataset_card(self.manifest, counts, facts)
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)

    def _check_growth(self, asked: Manifest, there: list[PlannedShard], wanted: list[PlannedShard]) -> None:
        before, now = list(self.manifest.classes), list(asked.classes)
        if there and now[: len(before)] != before:
            lost = next((key for key in before if key not in asked.classes), None)
            what = "another order" if lost is None else f"class {self.manifest.classes[lost]!r}, which is not asked for"
            raise FingerprintError(f"{self.folder}: holds {what}; ask for its classes too, or give another folder")
        rows = {shard.shard: shard.rows for shard in wanted}
        for shard in there:
            if rows.get(shard.shard) != shard.rows:
                raise FingerprintError(
                    f"{self.folder}: holds {counted(shard.rows, 'image')} in {shard.shard}, {rows.get(shard.shard, 0)} are asked for; "
                    "ask for at least as many per class, or give another folder"
                )

    def read_plan(self, shard: str | None = None) -> Iterator[PlannedImage]:
        """Images to be, in the plan's order; of one shard, or of all."""
        self.planned()
        return plans.read_images(self.folder, shard)

    def settings(self) -> dict[str, Settings]:
        """Guidance and steps of each shard whose class is adjusted in them."""
        self.planned()
        return plans.read_settings(self.folder)

    def planned(self) -> dict[str, PlannedShard]:
        """Shards there will be, by name, in the plan's order."""
        if self._planned is None:
            self._planned = {shard.shard: shard for shard in plans.read_shards(self.folder)}
        return self._planned

    def planned_shards(self) -> dict[str, int]:
        """Rows of each shard there will be, in the plan's order."""
        return {name: shard.rows for name, shard in self.planned().items()}

    def write_shard(self, shard: str, rows: Iterable[Mapping[str, Any]]) -> ShardDone:
        """Write a shard's images and then its marker; rows are taken one after the other, about 100 in memory.

        A finished shard of another plan is set aside first, never overwritten.

        Args:
            shard: its name in the plan.
            rows: values by column name (``COLUMNS``); ``image`` is a file's bytes, or None for an image that failed,
                with the reason in ``error``. ``label`` follows from ``class_key``.

        Raises:
            RunError: the disk is full.
        """
        check_shard(shard)
        planned = self.planned()[shard].fingerprint if shard in self.planned() else ""
        self._set_aside(shard, planned)
        labels = {key: position for position, key in enumerate(self.manifest.classes)}
        complete = (_row(row, labels) for row in rows)
        schema = image_schema(self.manifest.classes)
        return shards.write_shard(self.folder, shard, complete, schema, plain_columns=(IMAGE_BYTES,), plan=planned)

    def _set_aside(self, shard: str, planned: str) -> None:
        """Keep a copy of a finished shard that another plan made."""
        done = shards.finished(self.folder, shard, verify=False)
        if done is None or done.plan == planned:
            return
        place = self._replaced(done.plan)
        if shards.finished(place, shard) is None:
            copy_file(shards.data_path(self.folder, shard), shards.data_path(place, shard))
            write_json(shards.marker_path(place, shard), asdict(done))

    def restore(self, shard: str) -> bool:
        """Bring back the shard that was drawn for the present plan and set aside; False where there is none."""
        planned = self.planned()[shard].fingerprint
        place = self._replaced(planned)
        done = shards.finished(place, shard)
        if done is None:
            return False
        self._set_aside(shard, planned)
        copy_file(shards.data_path(place, shard), shards.data_path(self.folder, shard))
        write_json(shards.marker_path(self.folder, shard), asdict(done))
        return True

    def _replaced(self, planned: str) -> Path:
        return self.folder / "replaced" / (planned or "unplanned")

    def kept_rows(self, shard: str) -> dict[str, dict[str, Any]]:
        """Rows of a shard on disk that need not be drawn again, by image key: sound, and as the plan wants them."""
        if shards.finished(self.folder, shard) is None:
            return {}
        shared = self.manifest.spec
        wanted = {image.image_key: image for image in self.read_plan(shard)}
        rows = pq.read_table(shards.data_path(self.folder, shard)).to_pylist()
        good = (row for row in rows if (image := wanted.get(row["image_key"])) and plans.is_planned(image, row, shared))
        return {row["image_key"]: row | {"image": row["image"]["bytes"]} for row in good}

    def done(self, shard: str, *, verify: bool = True) -> ShardDone | None:
        """The marker of a shard that is whole and as the plan wants it, else None.

        ``verify`` hashes the file's bytes; otherwise only its size is compared.
        """
        planned = self.planned().get(shard)
        found = shards.finished(self.folder, shard, verify=verify)
        return found if found and planned and found.plan == planned.fingerprint else None

    def is_done(self, shard: str) -> bool:
        """Whether a shard is whole: it has a marker, its bytes are those that the marker tells of, and so is its plan."""
        return self.done(shard) is not None

    def done_shards(self, *, verify: bool = True) -> dict[str, ShardDone]:
        """Markers of all whole shards, by name, in the plan's order."""
        found = ((shard, self.done(shard, verify=verify)) for shard in self.planned())
        return {shard: done for shard, done in found if done is not None}

    def pending_shards(self) -> list[str]:
        """Planned shards that are not whole yet, in the plan's order."""
        return [shard for shard in self.planned() if not self.is_done(shard)]

    def is_finished(self) -> bool:
        """Whether every planned shard is there (sizes compared, bytes not hashed)."""
        return all(self.done(shard, verify=False) for shard in self.planned())

    def splits(self) -> tuple[str, ...]:
        """Splits of the plan, in its order."""
        return tuple(dict.fromkeys(map(shard_split, self.planned())))


def _no_set(folder: Path) -> str:
    if not folder.exists():
        return "no such folder"
    kind = kind_of(folder)
    return f"holds {kind}, not an image set" if kind else "no image set of synthgap (its manifest.json is missing)"


def copy_set(source: Path, target: Path) -> None:
    """Begin a set as a copy of another: its shards are second names of the same bytes, where the file system can.

    Writing to the copy never changes the original, as files are replaced and never written into. What the target has
    already stays, so a copy that was interrupted, or a set that has changed since, is only completed.

    Raises:
        FingerprintError, InputError: the target holds another set, or something else; or the source is no set.
    """
    original = ImageSet(source)
    claim_folder(target, original.manifest)
    for name in (plans.PROMPTS, plans.PLAN, plans.SHARDS):
        if not (target / name).is_file():
            copy_file(source / name, target / name)
    for shard in original.done_shards(verify=False):
        if not shards.marker_path(target, shard).is_file():
            copy_file(shards.data_path(source, shard), shards.data_path(target, shard))
            copy_file(shards.marker_path(source, shard), shards.marker_path(target, shard))


def _row(given: Mapping[str, Any], labels: Mapping[str, int]) -> dict[str, Any]:
    for name in given:
        if name not in COLUMNS:
            raise ValueError(f"column {name!r} is not one of an image set{nearest(name, COLUMNS)}")
    row: dict[str, Any] = {"status": "ok", "error": "", "is_synthetic": True} | dict(given)
    row["label"] = labels[row["class_key"]]
    data = row.get("image")
    if data is None:
        row |= {"status": "failed", "error": row["error"] or "no image"}
    else:
        extension = next((name for magic, name in _EXTENSIONS.items() if data.startswith(magic)), "img")
        row["image"] = {"bytes": data, "path": f"{row['image_key']}.{extension}"}
    return row
