"""The comparison of natural with synthetic images: every stage that follows from the embeddings, and the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError
from synthgap.core.records import Finding, Measurement
from synthgap.pipeline.cases import case_of
from synthgap.pipeline.run import CompareOptions, Run, Study
from synthgap.stages.comparison import Outcome, SetFacts, left_out_rows, skipped_rows, summarise, write_findings_by_set
from synthgap.stages.diagnosis import diagnose
from synthgap.stages.inputs import SetInput
from synthgap.stages.measurement import (
    TrialSet,
    measure_baseline,
    measure_study,
    measure_trials,
    measurements_json,
    trial_table,
)
from synthgap.stages.measurement.roles import at_most, both_roles, reference_rows
from synthgap.stages.probing import common_size, probe
from synthgap.stages.projection import NOTE, project
from synthgap.stages.report import write_report
from synthgap.stages.thumbnails import thumbnails
from synthgap.store import tables
from synthgap.store.atomic import write_json


def compare(natural: Path, synthetic: Path, out: Path, options: CompareOptions | None = None) -> dict[str, Any]:
    """Compare a synthetic set with natural images: how far apart, why, class by class, and what to change.

    Args:
        natural: Images or embeddings (see `SetInput`).
        synthetic: The same. Embeddings must be by one encoder; images are embedded by ``options.encoder``.
        out: The run folder; the same call goes on with what is there.
        options: Encoder, measures, resources.

    Returns:
        The summary, as written to ``out/summary.json``.

    Raises:
        InputError: A set cannot be read, the sets have fewer than two classes in common, or other encoders.
        FingerprintError: ``out`` holds the embeddings of other images.
        Interrupted: SIGINT or SIGTERM came; finished shards of embeddings are kept.
    """
    return compare_many(SetInput(natural), [SetInput(synthetic)], out, options)


def compare_many(
    natural: SetInput, synthetic: Sequence[SetInput], out: Path, options: CompareOptions | None = None
) -> dict[str, Any]:
    """Compare several synthetic sets with natural images; the first is the main pair of the summary and the report.

    Writes into ``out``: ``embeddings/``, ``summary.json``, ``measurements.parquet``, ``findings.parquet`` (the main
    pair's; with several sets, all are in ``findings_by_set.parquet``), ``trials.parquet``, ``classifier.parquet``,
    ``map.parquet``, ``thumbnails.parquet`` and ``report/index.html``. Arguments and errors as in `compare`.
    """
    if not synthetic:
        raise InputError("no synthetic set given; name at least one")
    run = Run(out, options or CompareOptions())
    study = run.study([natural, *synthetic])
    found = _compute(run, study)
    _write_tables(run, study, found)
    summary = _summary(run, study, found)
    write_json(run.out / "summary.json", summary)
    with run.stage("report"):
        write_report(run.out)
    write_json(run.out / "summary.json", summary | {"seconds": run.seconds})
    return summary


@dataclass(frozen=True)
class _Found:
    """What a comparison computes."""

    measurements: list[Measurement]
    baseline: list[Measurement]
    trials: list[dict[str, Any]]
    findings: dict[str, list[Finding]]
    classifier: list[dict[str, Any]]
    places: list[dict[str, Any]]


def _compute(run: Run, study: Study) -> _Found:
    """Everything that follows from the embeddings."""
    spec, natural, progress = run.options.measure, study.natural, run.options.progress
    roles = {images.name: both_roles(images, spec.seed) for images in (*study.images, *study.prompt_sets)}
    halves = roles[natural.name]
    with run.stage("measurement"):
        prompts = {name: roles[one.name] for name, one in study.prompts.items()}
        measurements = measure_study(natural, study.aligned.synthetic, roles, prompts, spec)
        baseline = measure_baseline(natural, halves, study.main, spec)
        if not baseline:
            run.warnings.append(f"{natural.name}: no class has two images, so there is no natural baseline")
    with run.stage("trials"):
        sets = [TrialSet(name, *pair) for name, pair in roles.items()]
        trials = trial_table(sets, measure_trials(sets, spec, progress=progress))
    with run.stage("diagnosis"):
        findings = {one.name: diagnose(case_of(study, one, halves), spec) for one in study.opened[1:]}
    with run.stage("classifiers"):
        train = {images.name: reference_rows(images) for images in study.aligned.synthetic}
        train = {natural.name: halves[0], **train}
        sizes = common_size(train, halves[1])
        train = {name: at_most(images, sizes, spec.seed) for name, images in train.items()}
        classifier = probe(train, halves[1].renamed(natural.name), spec, progress)
    with run.stage("map"):
        places = project(natural, [*study.images, *study.prompt_sets], spec.seed)
    return _Found(measurements, baseline, trials, findings, classifier, places)


def _write_tables(run: Run, study: Study, found: _Found) -> None:
    out, own = run.out, [row for row in found.measurements if row.query == study.main.name]
    out.mkdir(parents=True, exist_ok=True)
    gone, told = left_out_rows(study.aligned.left_out, own)
    run.warnings += told
    tables.write_measurements(out / "measurements.parquet", [*found.measurements, *found.baseline, *gone])
    tables.write_findings(out / "findings.parquet", found.findings[study.main.name])
    if len(found.findings) > 1:
        write_findings_by_set(out / "findings_by_set.parquet", found.findings)
    tables.write_trials(out / "trials.parquet", found.trials)
    tables.write_table(out / "classifier.parquet", found.classifier, tables.CLASSIFIER)
    tables.write_table(out / "map.parquet", found.places, tables.MAP)
    with run.stage("pictures"):
        tables.write_table(out / "thumbnails.parquet", _pictures(study, found.places), tables.THUMBNAILS)


def _pictures(study: Study, places: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    shown: dict[str, set[str]] = {}
    for row in places:
        shown.setdefault(row["set"], set()).add(row["image_key"])
    for one in study.opened:
        if one.source is not None:
            renamed, keys = study.aligned.renamed[one.name], shown.get(one.name, set())
            yield from thumbnails(one.source, one.name, renamed, len(study.opened), keys)


def _summary(run: Run, study: Study, found: _Found) -> dict[str, Any]:
    natural, main, names = study.natural, study.main, study.aligned.names
    own = [row for row in found.measurements if row.query == main.name]
    spread = [row for row in found.measurements if row.query == natural.name]
    outcome = Outcome(natural.name, main.name, own, found.baseline, found.classifier, found.findings[main.name], names)
    described = {one.name: one.describe() for one in study.opened} | dict(study.described)
    paths = {one.name: str(one.source.path.resolve()) for one in study.opened if one.source is not None}
    skipped: list[dict[str, Any]] = []
    for images in study.images:
        rows, told = skipped_rows(images)
        skipped += rows
        run.warnings += told
    facts = {
        "encoder": natural.encoder or main.encoder or "not known: the embeddings were given",
        "warnings": run.warnings,
        "skipped": skipped,
        "seconds": run.seconds,
        "command": run.options.command,
        "settings": {name: getattr(run.options, name).model_dump(mode="json") for name in ("encoder", "measure")},
        "map_note": NOTE,
    }
    return summarise(
        outcome,
        measurements_json([*own, *spread], names, main.name),
        measurements_json(found.baseline, names, found.baseline[0].query if found.baseline else ""),
        [
            SetFacts(images, described[images.name], paths.get(images.name, ""))
            for images in (*study.images, *study.prompt_sets)
        ],
        facts,
    )
