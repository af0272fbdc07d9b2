"""Refining a set: act on what a diagnosis found, draw only those classes again, and tell in pairs what it brought.

The natural images are cut in two. The steering half is diagnosed on and decides whether a changed class is kept; the
report half is looked at once, at the end. So what is reported was not chosen for looking well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synthgap.core.records import OVERALL, Finding
from synthgap.core.specs import RefineSpec, Resources
from synthgap.pipeline.cases import case_of
from synthgap.pipeline.refine_folder import ADJUSTMENTS, RESULT, claim, drawing_alone, told_before, writing_decisions
from synthgap.pipeline.refine_judging import Tried, bring_back, deciding, verdict
from synthgap.pipeline.refine_origin import Origin, Where, as_marker, read_origin
from synthgap.pipeline.refine_result import COLUMNS, doubts, table_row, tried_json
from synthgap.pipeline.refine_sets import adjusted, embeddings_of, mixed, take_over
from synthgap.pipeline.run import CompareOptions, Progress, Run, Study
from synthgap.stages.alignment import rename_classes, without_direction
from synthgap.stages.before_after import Difference, Facing, as_json
from synthgap.stages.diagnosis import diagnose
from synthgap.stages.embedding import embed_images
from synthgap.stages.generation import Adjustment, adjusted_before, generate, plan_for, propose, write_adjustments
from synthgap.stages.inputs import SetInput
from synthgap.stages.measurement.roles import both_roles, has_roles
from synthgap.store import tables
from synthgap.store.atomic import write_json
from synthgap.store.embeddings import EmbeddingSet, load_embeddings
from synthgap.store.plan import read_shards, summary
from synthgap.store.sets import ImageSet, copy_set
from synthgap.store.sources import open_images

TABLE = "before_after.parquet"
STEERING, REPORT = "steering", "report"


def refine(
    run: Path,
    out: Path | None = None,
    spec: RefineSpec | None = None,
    where: Where | None = None,
    resources: Resources | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Refine a synthetic set of a run; the same call goes on with what is there.

    Writes into ``out``: ``adjustments.yaml``, ``set/`` (the refined set: the shards of other classes are second names of
    the original's), ``embeddings/``, ``before_after.parquet`` and ``refine.json``. The original set and the run stay as
    they are.

    Args:
        run: Folder of a comparison or a study.
        out: New folder, ``run/refined`` by default.
        spec: Which findings to act on, and when a changed class is kept.
        where: Paths that the run does not tell; those of an earlier call stand where none is given.
        resources: How to draw and embed.
        dry_run: Only write ``adjustments.yaml``, and tell what would be drawn.
        progress: Called with what is done, what there is in all, and what is being done.
        note: Told what one should know, a line each.

    Returns:
        What ``refine.json`` holds: ``changes``, ``left``, ``overall`` and ``classifier`` (rows of before and after),
        ``images_redrawn``, ``images_kept``, ``natural`` (the halves), ``warnings``.

    Raises:
        InputError: no such run, a set that cannot be drawn again, nothing natural to steer by, or a folder of others.
        RunError: somebody else draws in the folder at the moment.
        FingerprintError, RunError, Interrupted: as drawing and embedding do.
    """
    spec, target = spec or RefineSpec(), (out or run / "refined").expanduser()
    where = (where or Where()).over(Where.from_json(told_before(target).get("where")))
    origin = read_origin(run, spec.target, where)
    claim(target, as_marker(origin), where)
    options = CompareOptions(origin.encoder, origin.measure, resources or Resources(), progress)
    work = _Work(origin, target, spec, options, where, note or (lambda _: None))
    for text in origin.notes:
        work.note(text)
    with drawing_alone(target, "synthgap refine"):
        work.begin()
        for number in range(1, spec.rounds + 1):
            proposed = work.propose(number)
            if dry_run:
                return work.plan(proposed)
            if not proposed:
                break
            work.try_out(number, proposed)
        return work.result()


@dataclass
class _Work:
    """One refinement under way."""

    origin: Origin
    out: Path
    spec: RefineSpec
    options: CompareOptions
    where: Where
    note: Callable[[str], None]
    standing: dict[str, Adjustment] = field(default_factory=dict)
    """Adjustments in place, by the set's own class key."""
    tried: list[Tried] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    idle: list[Adjustment] = field(default_factory=list)
    """Entries of the user's that do not apply."""
    findings: dict[str, Finding] = field(default_factory=dict)
    applied: list[Adjustment] = field(default_factory=list)
    """What the set is drawn with; the file may say otherwise of a class that somebody decided on meanwhile."""
    seen: dict[str, Adjustment] = field(default_factory=dict)
    """The file as it was last read."""
    theirs: set[str] = field(default_factory=set)
    """Classes that somebody decided on meanwhile."""

    @property
    def folder(self) -> Path:
        """The refined set."""
        return self.out / "set"

    def begin(self) -> None:
        """Open and embed the sets; embeddings of the run are taken over."""
        origin = self.origin
        self.standing = {one.class_key: one for one in origin.adjusted}
        self.name = f"{origin.target.name} refined"
        for name, source in ((one.name, one.name) for one in (origin.natural, origin.target, *origin.others)):
            take_over(origin.run, source, self.out, name)
        take_over(origin.run, origin.target.name, self.out, self.name)
        study = self.study = self._study(origin.target)
        self.steering, self.report = both_roles(study.natural, origin.measure.seed)
        self.before = self.now = study.main
        self.own_key = {common: own for own, common in study.aligned.renamed[origin.target.name].items()}
        self.common_key = {own: common for common, own in self.own_key.items()}

    def _study(self, target: SetInput) -> Study:
        run = Run(self.out, self.options)
        study = run.study([self.origin.natural, target, *self.origin.others])
        for text in run.warnings:
            self.note(text)
        return study

    def propose(self, number: int) -> dict[str, Adjustment]:
        """The adjustments to try in this round, by the set's own class key; writes them."""
        measure, study = self.origin.measure, self.study
        if number > 1:
            study = self._study(SetInput(self.folder, self.name))
        findings = diagnose(case_of(study, study.opened[1], both_roles(self.steering, measure.seed)), measure)
        self.findings = {self.own_key[one.class_key]: one for one in findings}
        found = propose(findings, self.own_key, study.aligned.names, self.origin.spec, self.spec.accept, self.standing)
        self.left = found.left
        proposed = {one.class_key: one for one in found.adjustments}
        proposed = self._with_file(proposed) if number == 1 else self._not_settled(proposed)
        self._write({**self.standing, **proposed}.values())
        return proposed

    def _with_file(self, proposed: dict[str, Adjustment]) -> dict[str, Adjustment]:
        """What the file of an earlier call, or the user, says of a class goes first; what was tried is tried again."""
        self.seen = self._file()
        for one in self.seen.values():
            standing = self.standing.get(one.class_key)
            if one.apply and standing is not None and standing.changes == one.changes:
                proposed.pop(one.class_key, None)  # the set was drawn so, and shall be
                continue
            if one.apply or one.outcome:
                proposed[one.class_key] = replace(one, apply=True, outcome="")
                self.left.pop(one.class_key, None)
            else:
                proposed.pop(one.class_key, None)
                self.idle.append(one)
                self.left[one.class_key] = f"'apply: false' in {ADJUSTMENTS}"
        return proposed

    def _not_settled(self, proposed: dict[str, Adjustment]) -> dict[str, Adjustment]:
        """Without the classes that the user keeps as they were, and without what an earlier round brought back."""
        kept = {one.class_key for one in self.idle}
        for key in kept:
            self.left[key] = f"'apply: false' in {ADJUSTMENTS}"
        refused = [one.adjustment for one in self.tried if not one.kept]
        for key, one in proposed.items():
            if any(key == other.class_key and one.changes == other.changes for other in refused):
                self.left[key] = "tried in an earlier round, and brought back"
                kept.add(key)
        return {key: one for key, one in proposed.items() if key not in kept}

    def _file(self) -> dict[str, Adjustment]:
        return {one.class_key: one for one in adjusted_before(self.out / ADJUSTMENTS, self.origin.spec)}

    def _write(self, applied: Iterable[Adjustment]) -> None:
        """Write what is applied, and what is not; what somebody has decided since the file was last read stays."""
        self.applied = list(applied)
        keys = {one.class_key for one in self.applied}
        refused = {one.adjustment.class_key: one for one in self.tried if not one.kept}
        rest = [
            replace(one.adjustment, apply=False, outcome=one.outcome) for key, one in refused.items() if key not in keys
        ]
        ours = [*self.applied, *rest, *(one for one in self.idle if one.class_key not in keys)]
        with writing_decisions(self.out):
            there = self._file()
            changed = {key for key in {*there, *self.seen} if there.get(key) != self.seen.get(key)} - self.theirs
            self.theirs |= changed
            stay = [one for key, one in there.items() if key in self.theirs]
            write_adjustments(
                self.out / ADJUSTMENTS, [*stay, *(one for one in ours if one.class_key not in self.theirs)]
            )
            self.seen = self._file()
        if changed:
            self.note(
                f"{self.out / ADJUSTMENTS}: {', '.join(sorted(changed))} changed while this ran; it is left so, and the "
                "next call acts on it"
            )

    def plan(self, proposed: Mapping[str, Adjustment]) -> dict[str, Any]:
        """What a dry run tells."""
        there = {shard.shard: shard for shard in read_shards(self.origin.target.path)}
        with adjusted(self.origin.spec, self.applied) as spec:
            shards = list(summary(plan_for(spec, self.origin.target.path)))
        again = [shard for shard in shards if there.get(shard.shard) != shard]
        names = self.origin.manifest.classes
        changes = [
            {
                "class_key": key,
                "name": names[key],
                "change": one.changes,
                "was": dict(one.was),
                "reason": one.reason,
                "images": sum(shard.rows for shard in again if shard.class_key == key),
            }
            for key, one in proposed.items()
        ]
        redrawn = sum(shard.rows for shard in again)
        return {
            "out": str(self.out),
            "adjustments": str(self.out / ADJUSTMENTS),
            "dry_run": True,
            "changes": changes,
            "left": self._left(),
            "images_redrawn": redrawn,
            "images_kept": sum(shard.rows for shard in shards) - redrawn,
        }

    def _left(self) -> list[dict[str, str]]:
        names = self.origin.manifest.classes
        return [{"class_key": key, "name": names[key], "why": why} for key, why in self.left.items()]

    def try_out(self, number: int, proposed: Mapping[str, Adjustment]) -> None:
        """Draw the classes, judge each and all on the steering half, and bring back those that got worse."""
        copy_set(self.origin.target.path, self.folder)
        self._draw()
        after = self._embed()
        keys = [self.common_key[key] for key in proposed if key in self.common_key]
        rows = {
            STEERING: self._facing(self.steering, self.before, after).measure(keys),
            REPORT: self._facing(self.report, self.before, after, self.steering).measure(keys),
        }
        judged = self._judged(number, proposed, after, rows)
        self.tried += judged
        for one in judged:
            if one.kept:
                self.standing[self.own_key[one.class_key]] = replace(one.adjustment, outcome=one.outcome)
        for key in proposed:
            if key not in self.common_key:  # nothing natural to judge it by: the user's own wish
                self.standing[key] = replace(proposed[key], outcome="not judged: no natural images of this class")
        kept = {one.class_key for one in judged if one.kept}
        self.now = mixed(self.now, after, kept)
        self._write(self.standing.values())
        self._draw()  # what was refused comes back from replaced/, without being drawn

    def _draw(self) -> None:
        tell = self.options.progress
        report = None if tell is None else lambda done, total, _: tell(done, total, f"drawing {self.name}")
        with adjusted(self.origin.spec, self.applied) as spec:
            generate(spec, self.folder, self.options.resources, report)

    def _embed(self) -> EmbeddingSet:
        folder = embeddings_of(self.out, self.name)
        options = self.options
        embed_images(open_images(self.folder), options.encoder, folder, options.resources, options.progress)
        images = without_direction(load_embeddings(folder).renamed(self.name))
        renamed = self.study.aligned.renamed[self.origin.target.name]
        return rename_classes(images, renamed, self.study.aligned.names)

    def _facing(
        self, natural: EmbeddingSet, before: EmbeddingSet, after: EmbeddingSet, others: EmbeddingSet | None = None
    ) -> Facing:
        return Facing(natural, before, after, self.origin.measure, self.spec.permutations, others)

    def _judged(
        self,
        number: int,
        proposed: Mapping[str, Adjustment],
        after: EmbeddingSet,
        rows: Mapping[str, Sequence[Difference]],
    ) -> list[Tried]:
        """Each class that was drawn otherwise and has natural images, and whether it is kept."""
        measure, keep_worse = self.origin.measure, self.spec.keep_worse
        keys = [self.common_key[key] for key in proposed if key in self.common_key]
        figures = deciding(self.steering, self.now, after, measure, keys)
        judged = []
        for key in keys:
            kept, outcome = verdict(key, figures, keep_worse=keep_worse)
            own, name = self.own_key[key], self.study.aligned.names[key]
            figures_of = {half: [row for row in found if row.class_key == key] for half, found in rows.items()}
            judged.append(Tried(key, name, number, proposed[own], self.findings.get(own), kept, outcome, figures_of))
        return judged if keep_worse else bring_back(judged, self.steering, self.now, after, measure)

    def result(self) -> dict[str, Any]:
        """Before against after on both halves, written and returned."""
        changed = list(dict.fromkeys(one.class_key for one in self.tried if one.kept))
        names, found = self.study.aligned.names, dict[str, Any]()
        table: list[dict[str, Any]] = []
        for half, natural, others in ((REPORT, self.report, self.steering), (STEERING, self.steering, None)):
            facing = self._facing(natural, self.before, self.now, others)
            overall = [row for row in facing.measure(()) if row.class_key == OVERALL] if self.tried else []
            classifier = facing.classifier(changed) if self.tried else []
            found[half] = {"overall": overall, "classifier": classifier}
            table += [table_row(half, row, names) for row in (*overall, *classifier)]
            table += [table_row(half, row, names, one) for one in self.tried for row in one.rows[half]]
        tables.write_table(self.out / TABLE, table, COLUMNS)
        result = as_marker(self.origin) | {
            "where": self.where.as_json(),
            "finished": True,
            "out": str(self.out),
            "refined_set": str(self.folder) if self.tried else str(self.origin.target.path),
            "adjustments": str(self.out / ADJUSTMENTS),
            "natural": self._halves(),
            "changes": [tried_json(one) for one in self.tried],
            "left": self._left(),
            **{
                name: {half: [as_json(row) for row in rows[name]] for half, rows in found.items()}
                for name in ("overall", "classifier")
            },
            **self._counts(changed),
            "warnings": doubts(found[STEERING]["classifier"]),
        }
        write_json(self.out / RESULT, result)
        return result

    def _halves(self) -> dict[str, Any]:
        own = has_roles(self.study.natural)
        how = "its own splits" if own else "two halves of each class, by a hash of the image keys"
        return {"name": self.study.natural.name, "how": how, STEERING: len(self.steering), REPORT: len(self.report)}

    def _counts(self, changed: Sequence[str]) -> dict[str, int]:
        own = {self.own_key[key] for key in changed}
        shards = ImageSet(self.origin.target.path).planned().values()
        redrawn = sum(shard.rows for shard in shards if shard.class_key in own)
        return {"images_redrawn": redrawn, "images_kept": sum(shard.rows for shard in shards) - redrawn}
