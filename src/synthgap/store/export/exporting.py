"""An export from begin to end: claim the folder, write its files, tell what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, Interrupted
from synthgap.core.interruption import how_to_continue, interruptible
from synthgap.store.atomic import own_errors
from synthgap.store.card import CardFacts, Layout, Licence, dataset_card
from synthgap.store.export import hub, image_folder, shuffle, webdataset
from synthgap.store.export.croissant import CROISSANT, croissant
from synthgap.store.export.folder import SCRATCH, ExportRecord, FileRecord, claim, finish, is_whole, recorded
from synthgap.store.export.licence import licence_of, licence_of_hub_model
from synthgap.store.export.source import ExportSource, survey
from synthgap.store.export.spec import ExportSpec, Kind
from synthgap.store.features import image_schema
from synthgap.store.tables import read_findings

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is being done."""

_NAMED = 5
"""Classes that a note names at most."""

LAYOUTS: Mapping[Kind, Layout] = {
    "hub": Layout(
        "data/{split}-*.parquet",
        True,
        "The rows are shuffled. `datasets.load_dataset`, timm (`hfds/…`) and DuckDB open the files as they are; every\n"
        "row holds its prompt, seed and settings.\n",
    ),
    "webdataset": Layout(
        "{split}-*.tar",
        False,
        "The images are shuffled. Each has a `.cls` with the number of its class (`classes` in `_info.json`, in order)\n"
        "and a `.json` with its prompt, seed and settings. The webdataset library and timm (`wds/…`) open the files.\n",
    ),
    "imagefolder": Layout(
        "{split}/**",
        False,
        "Folders are named by class key. torchvision's `ImageFolder` opens a split, `datasets.load_dataset` the whole;\n"
        "`details/` has a line per image with its prompt, seed and settings.\n",
    ),
}


def export(
    folder: Path,
    out: Path,
    spec: ExportSpec | None = None,
    *,
    findings: Path | None = None,
    generator: Path | None = None,
    progress: Progress | None = None,
) -> ExportRecord:
    """Export an image set: shuffled Parquet for the Hub, WebDataset or an image folder; returns what it holds.

    Rows that failed are never exported. The same call goes on where a killed one stopped, and ends with the same
    bytes; nothing in ``out`` that is not of this export is touched.

    Args:
        folder: an image set of ours; its shards are checked against their markers.
        out: a new or empty folder, or one with the same export.
        spec: kind, splits, shuffle and size of files.
        findings: ``findings.parquet`` of a comparison of this set, for the card.
        generator: folder of the generator, whose files tell its licence for the card; without it, what the Hub's local
            cache holds of a generator of the Hub.
        progress: called with images done, images in all, and what is being done.

    Raises:
        InputError: no image set, an unfinished one, no image to export, or a folder that holds something else.
        FingerprintError: the folder holds another export.
        RunError: the disk is full.
        Interrupted: SIGINT or SIGTERM came; the same command continues.
    """
    spec = spec or ExportSpec()
    found = read_findings(findings) if findings else None
    source = ExportSource(folder, spec)
    facts, kept = survey(source)
    facts = replace(facts, licence=_licence(source, generator), findings=found)
    _check_kept(folder, kept)
    record = claim(out, source, spec)
    with interruptible() as check:
        try:
            if not is_whole(out, record):
                record = _write_files(source, out, spec, record, _Tally(kept, spec.kind, progress, check))
        except Interrupted as stop:
            raise Interrupted(f"{stop}: the export in {out} is not finished; {how_to_continue()}") from None
    splits = {split: counts.total() for split, counts in kept.items()}
    told = {
        "splits": splits,
        "left_out": dict(facts.left_out),
        "failed": sum(one.failed for one in facts.counts.values()),
        "notes": _notes(source.manifest.classes, kept, spec.kind),
    }
    record = record.model_copy(update=told)
    card = dataset_card(source.manifest, splits, facts, LAYOUTS[spec.kind])
    return finish(out, record, card, _extra(source, record, facts))


def _licence(source: ExportSource, folder: Path | None) -> Licence | None:
    if folder is None:
        return licence_of_hub_model(str(source.manifest.spec.get("generator")), source.manifest.spec.get("revision"))
    if not folder.is_dir():
        raise InputError(f"there is no generator folder {folder}; it is read for its licence only, and may be left out")
    return licence_of(folder)


def _notes(classes: Mapping[str, str], kept: Mapping[str, Counter[str]], kind: Kind) -> tuple[str, ...]:
    """Classes without an image, one line for each split."""
    notes = []
    for split, counts in kept.items():
        if none := [key for key in classes if not counts[key]]:
            shown = ", ".join(none[:_NAMED]) + (f" and {len(none) - _NAMED} more" if len(none) > _NAMED else "")
            shift = "; readers that number the folders number its classes differently" if kind == "imagefolder" else ""
            notes.append(f"split {split!r} has no image of {shown}{shift}")
    return tuple(notes)


def _check_kept(folder: Path, kept: Mapping[str, Counter[str]]) -> None:
    empty = [split for split, counts in kept.items() if not counts.total()]
    if empty:
        raise InputError(
            f"{folder}: split {empty[0]!r} has no image to export: all failed or were left out; "
            "name the other splits with --splits, or leave --drop-flagged out"
        )


class _Tally:
    """Progress and the wish to stop, told by rows: each is read once and, where files are shuffled, written once."""

    def __init__(
        self, kept: Mapping[str, Counter[str]], kind: Kind, progress: Progress | None, check: Callable[[], None]
    ) -> None:
        self._total = sum(counts.total() for counts in kept.values()) * (1 if kind == "imagefolder" else 2)
        self._done, self._progress, self._check = 0, progress, check

    def __call__(self, rows: int) -> None:
        self._check()
        self._done += rows
        if self._progress is not None:
            self._progress(self._done, self._total, "rows exported")

    def counting(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Count rows as they pass."""
        for row in rows:
            self(1)
            yield row


def _write_files(
    source: ExportSource, out: Path, spec: ExportSpec, record: ExportRecord, tally: _Tally
) -> ExportRecord:
    scratch = out / SCRATCH
    with own_errors(scratch):
        scratch.mkdir(exist_ok=True)
    if spec.kind == "imagefolder":
        image_folder.write_images(source, out, scratch, tally)
        return record
    files = [file for split in source.splits for file in _write_split(source, split, out, spec, tally)]
    return record.model_copy(update={"files": tuple(files)})


def _write_split(source: ExportSource, split: str, out: Path, spec: ExportSpec, tally: _Tally) -> list[FileRecord]:
    runs = shuffle.sort_runs(source, split, spec.seed, out / SCRATCH, tally)
    parts = shuffle.cut(runs, spec.shard_bytes)
    name = hub.parquet_name if spec.kind == "hub" else webdataset.tar_name
    schema = image_schema(source.manifest.classes)
    files = []
    for number, part in enumerate(parts):
        target = out / name(split, number, len(parts))
        if not target.is_file():
            rows = tally.counting(shuffle.read_part(runs, part))
            hub.write_parquet(target, rows, schema) if spec.kind == "hub" else webdataset.write_tar(target, rows)
        else:  # an earlier, killed export wrote it: whole, as all files are
            tally(part.rows)
        files.append(recorded(out, target, split, part.rows))
    return files


def _extra(source: ExportSource, record: ExportRecord, facts: CardFacts) -> dict[str, Any]:
    """The JSON files beside the card."""
    by_split = {split: [file for file in record.files if file.split == split] for split in source.splits}
    if record.kind == "hub":
        patterns = [f"data/{split}-*.parquet" for split in source.splits]
        return {CROISSANT: croissant(source.manifest, record.splits, facts, patterns, record.files)}
    if record.kind == "webdataset":
        return {webdataset.INFO: webdataset.info(by_split, source.manifest.classes)}
    return {"classes.json": source.manifest.classes}
