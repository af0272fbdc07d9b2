"""What is exported: the rows of an image set, a row group at a time, without those that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.store.card import CardFacts, ClassCounts
from synthgap.store.export.spec import ExportSpec
from synthgap.store.keys import shard_split
from synthgap.store.marks import read_mark
from synthgap.store.parquet_rows import open_file, read_columns
from synthgap.store.sets import ImageSet
from synthgap.store.shards import ShardDone, data_path

EXAMPLES = 3
"""Prompts that a card shows, of different classes where there are some."""
_READ_ROWS = 16


@dataclass(frozen=True, slots=True)
class Piece:
    """A row group of a shard: what is read at a time."""

    path: Path
    row_group: int
    bytes: int


class ExportSource:
    """The shards of a set that are to be exported.

    Args:
        folder: an image set of ours.
        spec: which splits, and whether flagged images are left out.

    Raises:
        InputError: no image set, one that is unfinished, or no such split.
    """

    def __init__(self, folder: Path, spec: ExportSpec) -> None:
        image_set = ImageSet(folder)
        self.folder, self.manifest = folder, image_set.manifest
        self._labels = {key: number for number, key in enumerate(self.manifest.classes)}
        self.drop_flagged = spec.drop_flagged
        splits = image_set.splits()
        if unknown := next((split for split in spec.splits if split not in splits), None):
            raise InputError(f"{folder}: has no split {unknown!r}; it has {', '.join(splits)}")
        wanted = [shard for shard in image_set.planned_shards() if shard_split(shard) in (spec.splits or splits)]
        done = image_set.done_shards()  # hashes their bytes: what is shared is what was drawn
        if (missing := sum(shard not in done for shard in wanted)) and not spec.allow_unfinished:
            raise InputError(
                f"{folder}: {missing} of {counted(len(wanted), 'shard')} missing; finish the set with the command that made it, "
                "or export what is there with --allow-unfinished"
            )
        self.shards: dict[str, ShardDone] = {shard: done[shard] for shard in wanted if shard in done}
        if not self.shards:
            raise InputError(f"{folder}: has no finished shard to export; run the command that made it again")
        self.splits = tuple(dict.fromkeys(map(shard_split, self.shards)))

    @property
    def fingerprint(self) -> str:
        """Of the set and the bytes of its exported shards."""
        return fingerprint(self.manifest.fingerprint, [(name, done.sha256) for name, done in self.shards.items()])

    def shards_of(self, split: str) -> list[str]:
        """Shards of a split, in the plan's order."""
        return [shard for shard in self.shards if shard_split(shard) == split]

    def pieces(self, shard: str) -> Iterator[Piece]:
        """Row groups of a shard."""
        path = data_path(self.folder, shard)
        metadata = open_file(path).metadata
        for number in range(metadata.num_row_groups):
            yield Piece(path, number, metadata.row_group(number).total_byte_size)

    def rows(self, piece: Piece) -> Iterator[dict[str, Any]]:
        """Rows to export; ``image`` is the file's bytes, ``label`` the position of the class in the manifest.

        Raises:
            InputError: the file is damaged, or holds a class that the manifest does not know.
        """
        try:
            for batch in open_file(piece.path).iter_batches(_READ_ROWS, row_groups=[piece.row_group]):
                for row in batch.to_pylist():
                    if self._is_kept(row):
                        yield self._complete(row, piece.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{piece.path}: cannot be read as Parquet: {' '.join(str(error).split())}") from None

    def _is_kept(self, row: dict[str, Any]) -> bool:
        return row["status"] == "ok" and row["image"] is not None and not (self.drop_flagged and row["safety_flag"])

    def _complete(self, row: dict[str, Any], path: Path) -> dict[str, Any]:
        label = self._labels.get(row["class_key"])
        if label is None:
            raise InputError(f"{path}: class {row['class_key']!r} is not in the set's manifest.json")
        # The label is told anew: a shard from before the set grew is right by its class_key.
        return row | {"image": row["image"]["bytes"], "label": label}


def survey(source: ExportSource) -> tuple[CardFacts, dict[str, Counter[str]]]:
    """Read the small columns of all shards: facts for the card, and how many images of each class a split will have."""
    counts: dict[str, Counter[str]] = {}
    left_out: Counter[str] = Counter()
    kept: dict[str, Counter[str]] = {split: Counter() for split in source.splits}
    for shard in source.shards:
        table = read_columns(data_path(source.folder, shard), ["class_key", "status", "safety_flag"])
        for row in table.to_pylist():
            key, ok, flag = row["class_key"], row["status"] == "ok", row["safety_flag"]
            tally = counts.setdefault(key, Counter())
            tally.update(ok=ok, failed=not ok, scored=flag is not None, flagged=bool(flag))
            dropped = ok and bool(flag) and source.drop_flagged
            left_out[key] += dropped
            kept[shard_split(shard)][key] += ok and not dropped
    prompts, marked = _examples(source)
    facts = CardFacts(
        counts={key: ClassCounts(**tally) for key, tally in counts.items()},
        prompts=prompts,
        marked=marked,
        left_out={key: n for key, n in left_out.items() if n},
    )
    return facts, kept


def _examples(source: ExportSource) -> tuple[tuple[str, ...], bool]:
    """Prompts of different classes, and whether their files say that a model made them."""
    prompts: dict[str, str] = {}
    marks: list[bool] = []
    for shard in source.shards:
        if shard.rpartition("-")[0].partition("/")[2] in prompts:
            continue
        row = next((row for piece in source.pieces(shard) for row in source.rows(piece)), None)
        if row is not None:
            prompts[row["class_key"]] = row["prompt"] or ""
            marks.append(read_mark(row["image"]) is not None)
        if len(prompts) == EXAMPLES:
            break
    return tuple(prompts.values()), bool(marks) and all(marks)
