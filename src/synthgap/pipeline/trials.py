"""The trials of any sets and the prompts they were drawn from, as one command (M Table 6 and its views)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError
from synthgap.core.specs import TrialSpec
from synthgap.pipeline.run import CompareOptions, Run, Study
from synthgap.stages.comparison import skipped_rows
from synthgap.stages.inputs import SetInput
from synthgap.stages.measurement import TrialSet, measure_trials, measurements_json, trial_table
from synthgap.stages.measurement.roles import both_roles
from synthgap.stages.measurement.trial_views import average_view, by_pair, class_view, error_view, modality_view
from synthgap.store import tables
from synthgap.store.atomic import write_json


def cross_trials(
    natural: SetInput,
    synthetic: Sequence[SetInput],
    out: Path,
    spec: TrialSpec | None = None,
    options: CompareOptions | None = None,
) -> dict[str, Any]:
    """Measure every set, natural, synthetic and prompts, as references against every set as queries.

    Writes into ``out``: ``embeddings/``, ``trials.parquet`` (a row per trial), ``trials_by_class.parquet`` (metric,
    reference, query, class_key, value, interval, n) and ``trials.json``.

    Args:
        natural: Natural images, or embeddings of them.
        synthetic: Synthetic sets. Those that were drawn by us bring their prompts; for other images those of the recipe
            ``name`` are assumed; embeddings that were given have none.
        out: The run folder; the same call goes on with what is there.
        spec: Classifiers beside centroids and neighbours.
        options: Encoder, measures, resources.

    Returns:
        ``sets``; ``trials``: ``number``, ``reference``, ``query`` and each figure with its classes; ``table``: the same
        as plain numbers, with ``averages``; ``views``: ``errors``, ``classes`` and ``modalities`` (M Tables 3, 4 and 5).

    Raises:
        InputError: A set cannot be read, the sets have fewer than two classes in common, or other encoders.
        FingerprintError: ``out`` holds the embeddings of other images.
        Interrupted: SIGINT or SIGTERM came; finished shards of embeddings are kept.
    """
    if not synthetic:
        raise InputError("one set has no trials; name at least two")
    run = Run(out, options or CompareOptions())
    study = run.study([natural, *synthetic])
    sets = [
        TrialSet(images.name, *both_roles(images, run.options.measure.seed))
        for images in (*study.images, *study.prompt_sets)
    ]
    with run.stage("trials"):
        asked = (spec or TrialSpec()).classifiers
        measured = measure_trials(sets, run.options.measure, asked, run.options.progress)
    table = trial_table(sets, measured)
    run.out.mkdir(parents=True, exist_ok=True)
    tables.write_trials(run.out / "trials.parquet", table)
    tables.write_measurements(run.out / "trials_by_class.parquet", [row for rows in measured for row in rows])
    skipped = [told for images in study.images for told in skipped_rows(images)[1]]
    found = _document(study, sets, measured, table) | {"warnings": [*run.warnings, *skipped]}
    write_json(run.out / "trials.json", found)
    return found


def _document(study: Study, sets: Sequence[TrialSet], measured: Sequence[Sequence[Any]], table: Any) -> dict[str, Any]:
    names, trials = study.aligned.names, by_pair(sets, measured)
    drawn_from = {name: prompts.name for name, prompts in study.prompts.items()}
    documents = []
    for row, rows in zip(table, measured, strict=True):
        place = {name: row[name] for name in ("number", "reference", "query")}
        documents.append(place | measurements_json(rows, names, row["query"]))
    return {
        "sets": [
            {"name": one.name, "modality": one.modality, "references": len(one.reference), "queries": len(one.query)}
            for one in sets
        ],
        "trials": documents,
        "table": table,
        "averages": average_view(table),
        "views": {
            "errors": error_view(trials, study.natural.name, drawn_from),
            "classes": class_view(trials, study.natural.name, drawn_from, names),
            "modalities": modality_view(trials, sets),
        },
    }
