"""The sweep as one command: draw at each setting, embed, measure against natural images, find where diversity meets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthgap.core.errors import InputError
from synthgap.core.records import OVERALL, Measurement
from synthgap.core.specs import GenerateSpec, SweepSpec
from synthgap.pipeline.drawn import Note, check_alike, draw, dry_run, embed, embed_given
from synthgap.pipeline.run import CompareOptions, Run
from synthgap.stages.alignment import matched_to
from synthgap.stages.inputs import SetInput
from synthgap.stages.measurement import check_comparable, measure, measurements_json
from synthgap.stages.measurement.measuring import measure_own
from synthgap.stages.plot import Panel, Series, draw_plot
from synthgap.stages.strip import draw_strip, first_keys, read_pictures, rows_of
from synthgap.stages.sweeping import Curve, Meeting, Setting, diversity_rows, meet_natural
from synthgap.stages.sweeping import settings as sweep_settings
from synthgap.store.atomic import write_bytes, write_json, write_text
from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.sources import ImageSource
from synthgap.store.tables import write_table

SHOWN = ("diversity", "centroid_distance", "centroid_shift", "centroid_accuracy", "coverage", "precision", "recall",
         "density", "average_cosine_similarity", "frechet_distance")  # fmt: skip
"""Figures that are kept with a natural set; without one ``ALONE``."""
ALONE = ("centroid_distance", "vendi_score")
SWEEP = pa.schema(
    [
        ("setting", pa.string()),
        ("guidance_scale", pa.float64()),
        ("num_inference_steps", pa.int64()),
        ("metric", pa.string()),
        ("class_key", pa.string()),
        *((name, pa.float64()) for name in ("value", "ci_low", "ci_high")),
        ("n", pa.int64()),
        ("reason", pa.string()),
    ]
)
WITHOUT_NATURAL = (
    "no natural images were given: whether this diversity is too little or too much, how far the centroids have moved, "
    "and what accuracy and coverage it costs cannot be known; give them as --natural"
)

Row = dict[str, Any]


@dataclass(frozen=True)
class _Point:
    """A setting that was drawn and measured."""

    setting: Setting
    source: ImageSource
    images: EmbeddingSet
    rows: list[Measurement]

    def figures(self, metric: str) -> dict[str, Measurement]:
        """The rows of a metric by class key."""
        return {row.class_key: row for row in self.rows if row.metric == metric}


def sweep(
    spec: GenerateSpec,
    out: Path,
    natural: SetInput | None = None,
    varied: SweepSpec | None = None,
    options: CompareOptions | None = None,
    note: Note | None = None,
) -> Row:
    """Draw the same classes, prompts and noise at each setting, and measure each set against natural images.

    Writes into ``out``: ``sets/`` (a set folder per setting), ``embeddings/``, ``sweep.parquet`` (a row per setting,
    metric and class), ``sweep.json``, ``strip.png`` (rows: classes, columns: settings) and ``sweep.svg``.

    Args:
        spec: What to draw; without guidance, which is swept.
        out: The folder; the same call goes on with what is there.
        natural: Natural images or embeddings. All its classes take part in the accuracy, also those not drawn.
        varied: Guidance and steps.
        options: Encoder, measures, resources.
        note: Told what the user should know before anything is drawn.

    Returns:
        ``settings``: each with its ``figures``; ``meeting``: for each number of steps the guidance that meets natural
        diversity, ``overall`` and ``per_class``; ``notes``; names of the files.

    Raises:
        InputError: The spec fixes what is swept, a set cannot be read, or no class drawn is in the natural set.
        FingerprintError: ``out`` holds sets of other settings.
        RunError: Too many images failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    varied = varied or SweepSpec()
    run = Run(out, options or CompareOptions())
    check_alike(spec)
    planned = sweep_settings(spec, varied)
    known = None if natural is None else _natural(run, natural)
    drawn = [_draw(run, setting, note if number == 0 else None) for number, setting in enumerate(planned)]
    with run.stage("measurement"):
        points = _alone(run, drawn) if known is None else _against(run, known, drawn)
    names = points[0].images.classes
    document = _document(run, points, names, known)
    write_table(run.out / "sweep.parquet", _table(points), SWEEP)
    write_bytes(run.out / "strip.png", _strip(points, names, varied))
    write_text(run.out / "sweep.svg", _plot(points, names, document["meeting"]))
    write_json(run.out / "sweep.json", document)
    return document


def sweep_estimate(
    spec: GenerateSpec, out: Path, varied: SweepSpec | None, options: CompareOptions, *, trial: bool
) -> Row:
    """What a sweep will draw and how long it will take; nothing is written."""
    planned = sweep_settings(spec, varied or SweepSpec())
    sets = [(one.label, one.spec, out.expanduser() / "sets" / one.name) for one in planned]
    return dry_run(sets, options.resources, trial=trial)


def _natural(run: Run, item: SetInput) -> EmbeddingSet:
    with run.stage("natural images"):
        return embed_given(item, run.out / "embeddings" / "natural", run.options)[1]


def _draw(run: Run, setting: Setting, note: Note | None) -> tuple[Setting, ImageSource, EmbeddingSet]:
    with run.stage(f"guidance {setting.label}"):
        what = f"guidance {setting.label}: images drawn"
        source = draw(setting.spec, run.out / "sets" / setting.name, run.options, what, note)
        return setting, source, embed(source, setting.name, run.out / "embeddings" / setting.name, run.options)


Drawn = tuple[Setting, ImageSource, EmbeddingSet]


def _alone(run: Run, drawn: Sequence[Drawn]) -> list[_Point]:
    run.warnings.append(WITHOUT_NATURAL)
    spec = run.options.measure.model_copy(update={"extra": ("variety",)})
    points = []
    for setting, source, images in drawn:
        rows = measure_own(images, images, spec)
        points.append(_Point(setting, source, images, [row for row in rows if row.metric in ALONE]))
    return points


def _against(run: Run, natural: EmbeddingSet, drawn: Sequence[Drawn]) -> list[_Point]:
    spec = run.options.measure.model_copy(update={"knn": (), "extra": ("overlap",)})
    matched = [(setting, source, matched_to(natural, images)) for setting, source, images in drawn]
    for *_, images in matched:
        check_comparable(natural, images)
    common = _common(run, natural, [images for *_, images in matched])
    shared = natural.select(class_keys=common)
    own = measure_own(shared, shared, spec)
    points = []
    for number, (setting, source, every) in enumerate(matched, start=1):
        images = every.select(class_keys=common)
        found = [*diversity_rows(measure_own(images, images, spec), own), *measure(natural, images, spec)]
        kept = [row for row in found if row.query == images.name and row.class_key in {OVERALL, *common}]
        points.append(_Point(setting, source, images, [row for row in kept if row.metric in SHOWN]))
        run.tell(number, len(matched), "settings measured")
    return points


def _common(run: Run, natural: EmbeddingSet, sets: Sequence[EmbeddingSet]) -> list[str]:
    """The drawn classes that natural images and all sets have, under natural keys."""
    present = [set(images.class_keys) for images in (natural, *sets)]
    common = [key for key in sets[0].classes if all(key in keys for keys in present)]
    for key, name in sets[0].classes.items():
        if key not in common:
            where = natural.name if key not in present[0] else "some setting"
            run.warnings.append(f"class {name!r} was left out: it has no images in {where}")
    if not common:
        raise InputError(f"{natural.name}: none of the drawn classes is in it; give both the same class names")
    return common


def _document(run: Run, points: Sequence[_Point], names: Mapping[str, str], natural: EmbeddingSet | None) -> Row:
    settings = [
        {
            "name": one.setting.name,
            "guidance_scale": one.setting.guidance_scale,
            "num_inference_steps": one.setting.num_inference_steps,
            "set": str(run.out / "sets" / one.setting.name),
            "figures": measurements_json(one.rows, names, one.images.name),
        }
        for one in points
    ]
    files = {"strip": str(run.out / "strip.png"), "plot": str(run.out / "sweep.svg")}
    return {
        "natural": None if natural is None else natural.name,
        "classes": dict(names),
        "settings": settings,
        "meeting": [] if natural is None else _meetings(points, names),
        "notes": run.warnings,
        "files": files,
        "seconds": run.seconds,
        "command": run.options.command,
    }


def _lines(points: Sequence[_Point]) -> dict[int | None, list[_Point]]:
    """The points of each number of steps, by rising guidance."""
    found: dict[int | None, list[_Point]] = {}
    for point in points:
        found.setdefault(point.setting.num_inference_steps, []).append(point)
    return found


def _meetings(points: Sequence[_Point], names: Mapping[str, str]) -> list[Row]:
    rows = []
    for steps, line in _lines(points).items():
        found = {key: _meeting_json(meet_natural(_curve(line, key))) for key in (OVERALL, *names)}
        per_class = {names[key]: found[key] for key in names}
        rows.append({"num_inference_steps": steps, "overall": found[OVERALL], "per_class": per_class})
    return rows


def _curve(line: Sequence[_Point], key: str) -> Curve:
    diversity, accuracy = (
        [point.figures(metric)[key] for point in line] for metric in ("diversity", "centroid_accuracy")
    )
    return Curve([point.setting.guidance_scale for point in line], diversity, accuracy)


def _meeting_json(found: Meeting) -> Row:
    def number(value: tuple[float, float, float]) -> Row:
        return dict(zip(("value", "ci_low", "ci_high"), value, strict=True)) | {"n": found.n}

    guidance = number(found.guidance_scale) | ({"reason": found.reason} if found.reason else {})
    return {
        "guidance_scale": guidance,
        "accuracy": number(found.accuracy),
        "cost": found.cost,
        "nearest_in_sweep": found.nearest,
    }


def _table(points: Sequence[_Point]) -> list[Row]:
    kept = ("metric", "class_key", "value", "ci_low", "ci_high", "n", "reason")
    return [
        {
            "setting": point.setting.name,
            "guidance_scale": point.setting.guidance_scale,
            "num_inference_steps": point.setting.num_inference_steps,
            **{name: value for name, value in asdict(row).items() if name in kept},
        }
        for point in points
        for row in point.rows
    ]


def _strip(points: Sequence[_Point], names: Mapping[str, str], varied: SweepSpec) -> bytes:
    first = points[0].images
    keys = first_keys(first.image_keys, first.class_keys, varied.rows)
    labels = dict(list(names.items())[: varied.shown])
    wanted = [key for own in labels for key in keys.get(own, ())]
    columns = [read_pictures(point.source, wanted) for point in points]
    heads = [point.setting.label if varied.steps else f"guidance {point.setting.label}" for point in points]
    return draw_strip(heads, rows_of(labels, keys, columns))


def _plot(points: Sequence[_Point], names: Mapping[str, str], meetings: Sequence[Mapping[str, Any]]) -> str:
    lines = _lines(points)
    found = [one["overall"]["guidance_scale"]["value"] for one in meetings]
    marks = [mark for mark in found if math.isfinite(mark)]
    if not meetings:
        return draw_plot([Panel("Centroid distance", _series(lines, "centroid_distance", names))])
    return draw_plot(
        [
            Panel("Diversity (natural images: 1)", _series(lines, "diversity", names), 1.0, marks),
            Panel("Centroid accuracy, by natural images", _series(lines, "centroid_accuracy", names), None, marks),
            Panel("Coverage of natural images", _series(lines, "coverage", names), None, marks),
            Panel("Centroid shift from natural images", _series(lines, "centroid_shift", names), None, marks),
        ]
    )


def _series(lines: Mapping[int | None, Sequence[_Point]], metric: str, names: Mapping[str, str]) -> list[Series]:
    """The whole set's line of each number of steps; and a thin one per class where there is one number only."""
    found = []
    for steps, line in lines.items():
        label = "whole set" if len(lines) == 1 else f"{steps} steps"
        keys = [*(names if len(lines) == 1 else ()), OVERALL]
        for key in keys:
            rows = [point.figures(metric)[key] for point in line]
            values = [(row.value, row.ci_low, row.ci_high) for row in rows]
            guidance = [point.setting.guidance_scale for point in line]
            found.append(Series(label if key == OVERALL else "", guidance, values))
    return found


__all__ = ["sweep", "sweep_estimate"]
