"""The probe as one command: one class, several prompts, the same noise, measured against a set (M App. B)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec, ProbeSpec
from synthgap.pipeline.drawn import Note, check_alike, draw, dry_run, embed, embed_given, embed_texts
from synthgap.pipeline.run import CompareOptions, Run
from synthgap.stages.alignment import matched_to
from synthgap.stages.generation import plan_set
from synthgap.stages.inputs import SetInput
from synthgap.stages.measurement import check_comparable
from synthgap.stages.measurement.roles import reference_rows
from synthgap.stages.prompt_probe import PromptImages, probe_prompts
from synthgap.stages.strip import StripRow, draw_strip, read_pictures
from synthgap.store.atomic import write_bytes, write_json
from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.keys import safe_key
from synthgap.store.sources import ImageSource

OF_NATURAL = ("centroid_accuracy", "centroid_shift", "centroid_cosine")
"""Figures that say something else against natural images; the others are the images' own."""
Row = dict[str, Any]


def probe(
    spec: GenerateSpec,
    prompts: Sequence[str],
    out: Path,
    against: SetInput,
    natural: SetInput | None = None,
    probed: ProbeSpec | None = None,
    options: CompareOptions | None = None,
    note: Note | None = None,
) -> Row:
    """Draw one class by several prompts with the same noise, and measure each against all classes of a set.

    Writes into ``out``: ``sets/`` (a set folder per prompt), ``embeddings/``, ``probe.json`` and ``strip.png`` (rows:
    prompts, columns: noises). Further prompts may be added later.

    Args:
        spec: The generator and its settings; ``classes`` names one class.
        prompts: At least one; the others are compared with the first.
        out: The folder; the same call goes on with what is there.
        against: The set whose class centroids are the references.
        natural: Natural images or embeddings, as further references.
        probed: How many images.
        options: Encoder, measures, resources.
        note: Told what the user should know before anything is drawn.

    Returns:
        ``prompts``: the rows of `probe_prompts`, each with ``natural`` where natural images are given; names.

    Raises:
        InputError: Not one class, no or equal prompts, or a set without the class.
        RunError: Too many images failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    probed = probed or ProbeSpec()
    run = Run(out, options or CompareOptions())
    sets = _planned(spec, prompts, run.out, probed)
    with run.stage("references"):
        references = {"against": _reference(run, against, "against", spec)}
        if natural is not None:
            references["natural"] = _reference(run, natural, "natural", spec)
    key = next(iter(plan_set(sets[0][1]).class_names))
    drawn: list[tuple[ImageSource, EmbeddingSet]] = []
    for number, (prompt, own, folder) in enumerate(sets):
        source = draw(own, folder, run.options, f"{prompt}: images drawn", note if number == 0 else None)
        drawn.append((source, embed(source, prompt, run.out / "embeddings" / folder.name, run.options)))
    with run.stage("measurement"):
        rows = _measure(run, references, prompts, [images for _, images in drawn], probed)
    document = {
        "class": drawn[0][0].classes[key],
        "class_key": key,
        "against": references["against"].name,
        "natural": references["natural"].name if natural is not None else None,
        "prompts": [row | {"set": str(folder)} for row, (_, _, folder) in zip(rows, sets, strict=True)],
        "notes": run.warnings,
        "files": {"strip": str(run.out / "strip.png")},
        "seconds": run.seconds,
        "command": run.options.command,
    }
    write_bytes(run.out / "strip.png", _strip(prompts, drawn, probed))
    write_json(run.out / "probe.json", document)
    return document


def probe_estimate(
    spec: GenerateSpec,
    prompts: Sequence[str],
    out: Path,
    probed: ProbeSpec | None,
    options: CompareOptions,
    *,
    trial: bool,
) -> Row:
    """What a probe will draw and how long it will take; nothing is written."""
    return dry_run(_planned(spec, prompts, out.expanduser(), probed or ProbeSpec()), options.resources, trial=trial)


def _planned(
    spec: GenerateSpec, prompts: Sequence[str], out: Path, probed: ProbeSpec
) -> list[tuple[str, GenerateSpec, Path]]:
    """Prompt, spec and folder of each set."""
    check_alike(spec)
    if not prompts:
        raise InputError("no prompt to probe; write them as --prompts 'school bus' 'yellow school bus'")
    twice = next((prompt for prompt in prompts if list(prompts).count(prompt) > 1), None)
    if twice is not None:
        raise InputError(f"the prompt {twice!r} was given twice; write each once")
    found = []
    for prompt in prompts:
        text = prompt.replace("{", "{{").replace("}", "}}")
        change = {"recipe": "template", "template": (text,), "per_class": probed.images, "eval_per_class": 0}
        found.append((prompt, spec.model_copy(update=change), out / "sets" / safe_key(prompt)))
    classes = plan_set(found[0][1]).classes
    if len(classes) != 1:
        raise InputError(f"{spec.classes!r} names {len(classes)} classes; a probe looks at one")
    return found


def _reference(run: Run, item: SetInput, role: str, spec: GenerateSpec) -> EmbeddingSet:
    one, images = embed_given(item, run.out / "embeddings" / role, run.options)
    if one.setting("seed") == spec.seed:
        run.warnings.append(
            f"{one.name} was drawn with the same seed ({spec.seed}): its images of the class share their noise with these, "
            "which favours the prompt that it was drawn by; probe with another --seed"
        )
    return reference_rows(images)


def _measure(
    run: Run,
    references: dict[str, EmbeddingSet],
    prompts: Sequence[str],
    images: Sequence[EmbeddingSet],
    probed: ProbeSpec,
) -> list[Row]:
    texts = embed_texts(
        [("prompt", prompt, prompt) for prompt in prompts], run.out / "embeddings" / "prompts", run.options
    )
    if texts is None:
        run.warnings.append("the encoder is of images only: there is no cosine to the prompt")
    found = {}
    for role, reference in references.items():
        matched = [matched_to(reference, one) for one in images]
        for one in matched:
            check_comparable(reference, one)
        if len(set(reference.class_keys)) == 1:
            run.warnings.append(
                f"{reference.name} has images of one class only: every image is nearest to its centroid"
            )
        sets = [
            PromptImages(prompt, one, None if texts is None else texts.embeddings[number])
            for number, (prompt, one) in enumerate(zip(prompts, matched, strict=True))
        ]
        key = matched[0].class_keys[0]
        found[role] = probe_prompts(reference, key, sets, run.options.measure, probed.permutations)
    if "natural" not in found:
        run.warnings.append("no natural images were given: which prompt is nearest to them cannot be known")
        return found["against"]
    return [row | {"natural": _of_natural(other)} for row, other in zip(*found.values(), strict=True)]


def _of_natural(row: Row) -> Row:
    parts = {
        part: {name: row[part][name] for name in OF_NATURAL if name in row[part]} for part in ("figures", "differences")
    }
    return parts | {"taken_for": row["taken_for"]}


def _strip(prompts: Sequence[str], drawn: Sequence[tuple[ImageSource, EmbeddingSet]], probed: ProbeSpec) -> bytes:
    keys = sorted({key for _, images in drawn for key in images.image_keys})[: probed.shown]
    rows = []
    for prompt, (source, _) in zip(prompts, drawn, strict=True):
        pictures = read_pictures(source, keys)
        rows.append(StripRow(prompt, [pictures.get(key) for key in keys]))
    return draw_strip((), rows)
