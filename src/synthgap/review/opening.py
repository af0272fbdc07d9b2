"""What there is to review: the classes of one synthetic set of a run, worst first, with all that is known of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry, Finding
from synthgap.core.specs import GenerateSpec
from synthgap.pipeline.refine_folder import RESULT, check_owner, claim, told_before
from synthgap.pipeline.refine_origin import Origin, Where, read_origin
from synthgap.pipeline.refine_sets import embeddings_of
from synthgap.review.pictures import Shelf, thumbnails_of
from synthgap.stages import class_words
from synthgap.stages.generation import Adjustment, propose
from synthgap.stages.report.classes import ClassRow, class_rows
from synthgap.stages.report.definitions import BEYOND, HEADLINE, Definition
from synthgap.stages.report.figures import Figure, Figures
from synthgap.stages.report.tables import RunTables, read_run
from synthgap.store.manifest import Manifest, kind_of, read_manifest
from synthgap.store.match import align_classes
from synthgap.store.plan import PROMPTS
from synthgap.store.sources import ImageSource, open_images

MOST_PROMPTS = 12
"""Different prompts of a class that are shown."""


@dataclass(frozen=True, slots=True)
class Number:
    """One figure of a class beside what natural images reach."""

    definition: Definition
    found: Figure
    natural: Figure


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One class of the set."""

    row: ClassRow
    own_key: str
    """The set's own class key, under which decisions are written; ``row.key`` is the run's."""
    suggestion: Adjustment | None
    """What the finding proposes, as an adjustment."""
    why_none: str
    """Why a finding proposes none."""


class Subject:
    """One synthetic set of a run, to be reviewed.

    Args:
        run: Folder of a comparison or a study.
        out: Folder of its refinement; ``run/refined`` by default.
        target: Name of the set; the run's main one by default.
        where: Paths that the run does not tell; those of an earlier refinement stand where none is given.

    Raises:
        InputError: no such run or set, or a folder that holds the refinement of another set, or anything else.
    """

    def __init__(self, run: Path, out: Path | None, target: str | None, where: Where | None) -> None:
        self.run, self.out = run.expanduser(), (out or run / "refined").expanduser()
        self.where = (where or Where()).over(Where.from_json(told_before(self.out).get("where")))
        tables = read_run(self.run)
        self._tables = _tables_of(self.run, tables, target)
        self._figures = Figures(self._tables)
        self.natural, self.target = self._figures.natural, self._figures.synthetic
        self.is_main = self.target == str(tables.summary["synthetic"])
        self._open_sets()
        check_owner(self.out, self._marker)
        self._read_classes()
        if (self.out / RESULT).is_file():
            self.claim()  # paths that are given now are found by the next command, too

    def _open_sets(self) -> None:
        paths = {str(one.get("name")): str(one.get("path") or "") for one in self._tables.summary.get("sets") or []}
        natural = str(self.where.natural or paths.get(self.natural, ""))
        target = str(self.where.synthetic or paths.get(self.target, ""))
        self.folder = Path(target).expanduser()
        natural_source, source = _source(natural), _source(target)
        self.manifest: Manifest | None = None
        if target and kind_of(self.folder) == "image-set":
            self.manifest = read_manifest(self.folder)
        self.origin: Origin | None = None
        self.why_not = ""
        """Why the set cannot be redrawn; empty where it can."""
        try:
            self.origin = read_origin(self.run, self.target, self.where)
        except InputError as error:
            self.why_not = str(error)
        names = self._figures.names
        known = source.classes if source is not None else self.manifest.classes if self.manifest else self._embedded()
        classes = dict(known or names)
        self.entries = [ClassEntry(key, name, (name,)) for key, name in classes.items()]
        pairs, _, _ = align_classes(names, classes)
        self.own_keys = {key: own for key, own, _ in pairs}
        thumbnails = self._tables["thumbnails"]
        self.natural_shelf = Shelf(natural_source, thumbnails_of(thumbnails, self.natural))
        own = {self.own_keys.get(key, key): value for key, value in thumbnails_of(thumbnails, self.target).items()}
        self.shelf = Shelf(source, own)

    def _embedded(self) -> Mapping[str, str]:
        """The set's own classes, as the run embedded them; empty where it did not."""
        try:
            return read_manifest(embeddings_of(self.run, self.target)).classes
        except InputError:
            return {}

    def _read_classes(self) -> None:
        rows = sorted(class_rows(self._tables, self._figures), key=lambda row: row.cause_style == "sound")
        rows = [row for row in rows if row.key in self.own_keys]
        self._words = class_words.entries(
            {row.key: row.name for row in rows}, {k: [o] for k, o in self.own_keys.items()}
        )
        self._clearer = class_words.proposals(self._words)
        self._senses = class_words.noun_senses(self._words)
        findings = [_finding(row) for row in self._tables["findings"] if str(row["class_key"]) in self.own_keys]
        spec = self.origin.spec if self.origin is not None else GenerateSpec()
        standing = {one.class_key: one for one in self.origin.adjusted} if self.origin is not None else {}
        self.standing: Mapping[str, Adjustment] = standing
        """What single classes of the set were drawn with already, by its own keys: a decision takes the place of it."""
        found = propose(findings, self.own_keys, self._figures.names, spec, ["all"], standing)
        known = self.origin is not None
        proposed = {one.class_key: one if known else replace(one, was={}) for one in found.adjustments}
        self.classes = {
            row.key: Reviewed(row, own := self.own_keys[row.key], proposed.get(own), found.left.get(own, ""))
            for row in rows
        }

    @property
    def spec(self) -> Mapping[str, Any]:
        """The settings that the set was drawn with; empty where they are not known."""
        return {} if self.manifest is None else self.manifest.spec

    def numbers(self, key: str) -> list[Number]:
        """Every figure that was measured of a class, in the report's order."""
        found = (
            Number(one, self._figures.main(one.name, key), self._figures.baseline(one.name, key))
            for one in (*HEADLINE, *BEYOND)
        )
        return [number for number in found if number.found.defined]

    def sense(self, key: str) -> tuple[ClassEntry | None, list[ClassEntry]]:
        """The sense that a class stands for, where that is known, and the other noun senses of its name."""
        entry = self._words[key]
        others = [one for one in self._senses.get(key, ()) if one.definition != entry.definition]
        return (entry if entry.definition else None), others

    def clearer(self, key: str) -> str:
        """A prompt that says which sense is meant; empty where the sense is not known."""
        return self._clearer.get(key, "")

    def prompts(self, key: str) -> tuple[list[tuple[str, int]], int]:
        """The first different prompts that a class was drawn by with their counts, and how many there are."""
        path = self.folder / PROMPTS
        if self.manifest is None or not path.is_file():
            return [], 0
        own = [("class_key", "==", self.own_keys[key])]
        counts: dict[str, int] = {}
        for text in pq.read_table(path, columns=["prompt"], filters=own)["prompt"].to_pylist():
            counts[text] = counts.get(text, 0) + 1
        return list(counts.items())[:MOST_PROMPTS], len(counts)

    def claim(self) -> None:
        """Begin the refinement's folder as `synthgap refine` does, so that it goes on with it.

        Raises:
            InputError: the folder holds something else.
        """
        claim(self.out, self._marker, None if self.origin is None else self.where)

    @property
    def _marker(self) -> dict[str, str]:
        fingerprint = "" if self.manifest is None else self.manifest.fingerprint
        return {"run": str(self.run.resolve()), "target": self.target, "set": fingerprint}


def _tables_of(run: Path, tables: RunTables, target: str | None) -> RunTables:
    """The run's tables, as if the set to review were its main one."""
    main, natural = str(tables.summary["synthetic"]), str(tables.summary["natural"])
    if target is None or target == main:
        return tables
    sets = [str(one["name"]) for one in tables.summary.get("sets") or [] if one.get("modality") == "image"]
    if target == natural or target not in sets:
        others = [name for name in sets if name != natural]
        raise InputError(f"{run}: has no synthetic set {target!r}{nearest(target, others) or f'; it has {others}'}")
    path = run / "findings_by_set.parquet"
    found = pq.read_table(path, filters=[("set", "==", target)]).to_pylist() if path.is_file() else []
    summary = {**tables.summary, "synthetic": target, "measurements": {}}
    return replace(tables, summary=summary, rows={**tables.rows, "findings": found})


def _source(path: str) -> ImageSource | None:
    """The images of a path; None where there are none any more, or none that can be shown."""
    try:
        return open_images(path) if path else None
    except InputError:
        return None


def _finding(row: Mapping[str, Any]) -> Finding:
    severity = row.get("severity")
    return Finding(
        class_key=str(row["class_key"]),
        cause=str(row["cause"]),
        severity=math.nan if severity is None else float(severity),
        flagged=bool(row["flagged"]),
        suggestion=str(row["suggestion"] or ""),
        evidence=str(row["evidence"] or ""),
        change=str(row.get("change") or ""),
    )
