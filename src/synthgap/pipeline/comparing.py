"""Which stage needs what, in order: the comparison of natural with synthetic images, and the plain measurement.

Embeddings are kept in the run folder and are not computed again; what follows takes seconds and is always computed
from them, so a run that was killed and repeated ends as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry, Finding, Measurement
from synthgap.core.specs import EncoderSpec, MeasureSpec, Resources
from synthgap.stages import class_words
from synthgap.stages.alignment import Aligned, align, check_classes, matched_to, rename_classes, without_direction
from synthgap.stages.comparison import Outcome, SetFacts, left_out_rows, skipped_rows, summarise, write_findings_by_set
from synthgap.stages.diagnosis import Case, SweepSet, diagnose
from synthgap.stages.embedding import embed_images, embed_prompts
from synthgap.stages.inputs import OpenedSet, SetInput, distinct_names, open_set
from synthgap.stages.measurement import (
    TrialSet,
    check_comparable,
    measure,
    measure_baseline,
    measure_study,
    measurements_json,
    run_trials,
)
from synthgap.stages.measurement.roles import at_most, both_roles, reference_rows
from synthgap.stages.probing import common_size, probe
from synthgap.stages.projection import NOTE, project
from synthgap.stages.report import write_report
from synthgap.stages.thumbnails import thumbnails
from synthgap.store import tables
from synthgap.store.atomic import write_json
from synthgap.store.embeddings import EmbeddingSet, load_embeddings
from synthgap.store.keys import safe_key

__all__ = ["CompareOptions", "SetInput", "compare", "compare_many", "measure_files"]

Progress = Callable[[int, int, str], None]
"""Called with what is done, what there is in all, and what is being done."""


@dataclass(frozen=True)
class CompareOptions:
    """How to compare; the defaults are the specs' own."""

    encoder: EncoderSpec = field(default_factory=EncoderSpec)
    measure: MeasureSpec = field(default_factory=MeasureSpec)
    resources: Resources = field(default_factory=Resources)
    progress: Progress | None = None
    command: str = ""
    """The command line, for the summary."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of what was done before, such as drawing, for the summary."""


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
    run = _Run(out, options or CompareOptions())
    opened = run.open([natural, *synthetic])
    with run.stage("embedding"):
        loaded = [run.embed(one) for one in opened]
        aligned = align(loaded[0], loaded[1:])
        for images in aligned.synthetic:
            check_comparable(aligned.natural, images)
        study = run.with_words(opened, *_named(aligned, opened))
    found = _compute(run, study)
    _write_tables(run, study, found)
    summary = _summary(run, study, found)
    write_json(run.out / "summary.json", summary)
    with run.stage("report"):
        write_report(run.out)
    write_json(run.out / "summary.json", summary | {"seconds": run.seconds})
    return summary


def measure_files(reference: Path, query: Path, spec: MeasureSpec | None = None) -> dict[str, Any]:
    """Measure one file or folder of embeddings against another, as JSON (design section 8).

    References are the reference set's train split and queries the query set's eval split where a set has both, else
    all rows. Classes match by key or by name.

    Returns:
        Per metric ``overall`` and ``per_class``; ``knn_accuracy`` per k. Besides, ``reference`` and ``query`` (names),
        ``skipped`` rows and ``notes``.

    Raises:
        InputError: A file cannot be read, the embeddings differ in length or encoder, or no class is in both.
    """
    spec = spec or MeasureSpec()
    left, right = (without_direction(load_embeddings(path)) for path in (reference, query))
    name = right.name if left.name != right.name else f"{right.name} (query)"
    asked = matched_to(left, right).renamed(name)
    found = measurements_json(measure(left, asked, spec), {**asked.classes, **left.classes}, asked.name)
    skipped, notes = [], []
    for images in (left, asked):
        rows, told = skipped_rows(images)
        skipped += rows
        notes += told
    if reference.resolve() == query.resolve() and len(left.split_names()) == 1:
        notes.append("reference and query are the same rows: each finds itself as its nearest neighbour")
    return found | {"reference": left.name, "query": asked.name, "skipped": skipped, "notes": notes}


@dataclass(frozen=True)
class _Study:
    """The sets of a comparison under common class keys, and what is known of them in words."""

    opened: Sequence[OpenedSet]
    aligned: Aligned
    classes: Mapping[str, ClassEntry]
    prompts: Mapping[str, EmbeddingSet] = field(default_factory=dict)
    """Prompts of each synthetic set by its name; empty for embeddings that were given."""
    described: Mapping[str, str] = field(default_factory=dict)
    senses: Mapping[str, list[tuple[str, np.ndarray]]] = field(default_factory=dict)

    @property
    def natural(self) -> EmbeddingSet:
        """The natural set."""
        return self.aligned.natural

    @property
    def main(self) -> EmbeddingSet:
        """The synthetic set that the summary speaks of."""
        return self.aligned.synthetic[0]

    @property
    def images(self) -> tuple[EmbeddingSet, ...]:
        """Every image set, the natural one first."""
        return (self.natural, *self.aligned.synthetic)

    @property
    def prompt_sets(self) -> list[EmbeddingSet]:
        """Every prompt set once; two image sets may share one."""
        return list({prompts.name: prompts for prompts in self.prompts.values()}.values())


class _Run:
    """The folder of one comparison, the seconds of its stages, and what the user must know."""

    def __init__(self, out: Path, options: CompareOptions) -> None:
        self.out, self.options = out.expanduser(), options
        self.seconds: dict[str, float] = dict(options.seconds)
        self.warnings: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside, and tell of its begin and end."""
        self.tell(0, 1, name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self.tell(1, 1, name)

    def tell(self, done: int, total: int, what: str) -> None:
        """Report progress."""
        if self.options.progress is not None:
            self.options.progress(done, total, what)

    def open(self, inputs: Sequence[SetInput]) -> list[OpenedSet]:
        """Open every set and refuse what cannot be compared, before anything is computed."""
        opened = [open_set(item) for item in inputs]
        distinct_names(opened)
        check_classes([(one.name, one.present) for one in opened])
        for one in opened:
            self.warnings += [f"{one.name}: {note}" for note in (one.source.notes if one.source is not None else ())]
        return opened

    def embed(self, one: OpenedSet) -> EmbeddingSet:
        """The embeddings of a set, computed where they are not given."""
        images = one.given
        if one.source is not None:
            options, folder = self.options, self._folder(one.name)
            embed_images(one.source, options.encoder, folder, options.resources, options.progress)
            images = load_embeddings(folder)
        if images is None:
            raise InputError(f"{one.name}: has neither images nor embeddings")
        return without_direction(images.renamed(one.name))

    def with_words(self, opened: Sequence[OpenedSet], aligned: Aligned, classes: Mapping[str, ClassEntry]) -> _Study:
        """Embed what the sets were drawn from, their own prompts where these are known, else the recipe 'name'.

        Embeddings that were given come from an encoder that is not at hand, so a study with any has no words.
        """
        if any(one.source is None for one in opened):
            return _Study(opened, aligned, classes)
        plain = class_words.name_prompts(classes)
        by_content: dict[frozenset[tuple[str, str]], EmbeddingSet] = {}
        prompts: dict[str, EmbeddingSet] = {}
        described: dict[str, str] = {}
        # Known prompts first, so that a set whose prompts are assumed shares a set of prompts that says the same.
        for one in sorted(opened[1:], key=lambda one: one.manifest is None):
            renamed = aligned.renamed[one.name]
            own = {(renamed[key], text) for key, text in one.prompts() if key in renamed}
            content = frozenset(own) if own else frozenset((key, text) for key, _, text in plain)
            if content not in by_content:
                name = _free_name(one.recipe if own else "name", one.name, described)
                known = " of the images" if own else ", assumed: how the images were drawn is not known"
                described[name] = f"recipe '{one.recipe if own else 'name'}'{known}"
                embedded = self._embed_texts(name, one.source.path if own and one.source is not None else plain)
                by_content[content] = rename_classes(
                    embedded, renamed if own else {key: key for key in classes}, aligned.names
                )
            prompts[one.name] = by_content[content]
        return _Study(opened, aligned, classes, prompts, described, self._embed_senses(classes))

    def _embed_senses(self, classes: Mapping[str, ClassEntry]) -> dict[str, list[tuple[str, np.ndarray]]]:
        texts = class_words.sense_texts(classes)
        if not texts:
            return {}
        embedded = self._embed_texts("senses", texts)
        found: dict[str, list[tuple[str, np.ndarray]]] = {}
        for key, row, vector in zip(embedded.class_keys, embedded.image_keys, embedded.embeddings, strict=True):
            # The key of a given text ends in its number.
            found.setdefault(key, []).append((texts[int(row.rpartition("-")[2])][1], vector))
        return found

    def _embed_texts(self, name: str, texts: Path | Sequence[tuple[str, str, str]]) -> EmbeddingSet:
        options = self.options
        embed_prompts(texts, options.encoder, self._folder(name), options.resources, options.progress)
        return without_direction(load_embeddings(self._folder(name), name=name))

    def _folder(self, name: str) -> Path:
        return self.out / "embeddings" / safe_key(name.replace(" ", "-"))


def _free_name(recipe: str, owner: str, taken: Mapping[str, str]) -> str:
    return f"{recipe} prompts" if f"{recipe} prompts" not in taken else f"{recipe} prompts of {owner}"


def _named(aligned: Aligned, opened: Sequence[OpenedSet]) -> tuple[Aligned, dict[str, ClassEntry]]:
    """The classes with names for people, and what the vocabulary knows of each."""
    own_keys: dict[str, list[str]] = {key: [] for key in aligned.names}
    for one in opened:
        for own, key in aligned.renamed[one.name].items():
            own_keys[key].append(own)
    classes = class_words.entries(aligned.names, own_keys)
    names = {key: classes[key].name if name == key else name for key, name in aligned.names.items()}
    sets = [replace(images, classes=names) for images in (aligned.natural, *aligned.synthetic)]
    return replace(aligned, natural=sets[0], synthetic=tuple(sets[1:])), classes


@dataclass(frozen=True)
class _Found:
    """What a comparison computes."""

    measurements: list[Measurement]
    baseline: list[Measurement]
    trials: list[dict[str, Any]]
    findings: dict[str, list[Finding]]
    classifier: list[dict[str, Any]]
    places: list[dict[str, Any]]


def _compute(run: _Run, study: _Study) -> _Found:
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
        trials = run_trials([TrialSet(name, *pair) for name, pair in roles.items()], spec, progress)
    with run.stage("diagnosis"):
        findings = {one.name: diagnose(_case(study, one, halves), spec) for one in study.opened[1:]}
    with run.stage("classifiers"):
        train = {images.name: reference_rows(images) for images in study.aligned.synthetic}
        train = {natural.name: halves[0], **train}
        sizes = common_size(train, halves[1])
        train = {name: at_most(images, sizes, spec.seed) for name, images in train.items()}
        classifier = probe(train, halves[1].renamed(natural.name), spec, progress)
    with run.stage("map"):
        places = project(natural, [*study.images, *study.prompt_sets], spec.seed)
    return _Found(measurements, baseline, trials, findings, classifier, places)


def _case(study: _Study, one: OpenedSet, halves: tuple[EmbeddingSet, EmbeddingSet]) -> Case:
    """All that is known of one synthetic set."""
    images = {item.name: item for item in study.aligned.synthetic}
    sweep = [
        SweepSet(other.name, other.guidance_scale, images[other.name])
        for other in study.opened[1:]
        if other is not one and one.line == other.line is not None and other.guidance_scale is not None
    ]
    return Case(
        natural_reference=halves[0],
        natural_query=halves[1],
        synthetic=images[one.name],
        prompts=study.prompts.get(one.name),
        guidance_scale=one.guidance_scale,
        recipe=one.recipe,
        sweep=sweep,
        senses=class_words.noun_senses(study.classes),
        sense_embeddings=study.senses,
        proposals=class_words.proposals(study.classes),
    )


def _write_tables(run: _Run, study: _Study, found: _Found) -> None:
    out, own = run.out, [row for row in found.measurements if row.query == study.main.name]
    out.mkdir(parents=True, exist_ok=True)
    gone, told = left_out_rows(study.aligned.left_out, own)
    run.warnings += told
    tables.write_measurements(out / "measurements.parquet", [*found.measurements, *found.baseline, *gone])
    tables.write_findings(out / "findings.parquet", found.findings[study.main.name])
    if len(found.findings) > 1:
        write_findings_by_set(out / "findings_by_set.parquet", found.findings)
    tables.write_table(out / "trials.parquet", found.trials, tables.TRIALS)
    tables.write_table(out / "classifier.parquet", found.classifier, tables.CLASSIFIER)
    tables.write_table(out / "map.parquet", found.places, tables.MAP)
    with run.stage("pictures"):
        tables.write_table(out / "thumbnails.parquet", _pictures(study, found.places), tables.THUMBNAILS)


def _pictures(study: _Study, places: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    shown: dict[str, set[str]] = {}
    for row in places:
        shown.setdefault(row["set"], set()).add(row["image_key"])
    for one in study.opened:
        if one.source is not None:
            renamed, keys = study.aligned.renamed[one.name], shown.get(one.name, set())
            yield from thumbnails(one.source, one.name, renamed, len(study.opened), keys)


def _summary(run: _Run, study: _Study, found: _Found) -> dict[str, Any]:
    natural, main, names = study.natural, study.main, study.aligned.names
    own = [row for row in found.measurements if row.query == main.name]
    spread = [row for row in found.measurements if row.query == natural.name]
    outcome = Outcome(natural.name, main.name, own, found.baseline, found.classifier, found.findings[main.name], names)
    described = {one.name: one.describe() for one in study.opened} | dict(study.described)
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
        [SetFacts(images, described[images.name]) for images in (*study.images, *study.prompt_sets)],
        facts,
    )
