"""Triage as one command: judge the images of every label, list the worst, and try the clarified prompts (M reason 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.specs import GenerateSpec, TriageSpec
from synthgap.models.classifiers import Classifier, load_classifier
from synthgap.models.devices import pick_device
from synthgap.pipeline.drawn import Note, beside, check_alike, draw, dry_run, embed, embed_given, embed_texts
from synthgap.pipeline.run import CompareOptions, Run
from synthgap.stages import class_words
from synthgap.stages.alignment import matched_to
from synthgap.stages.evaluation.predicting import predict
from synthgap.stages.inputs import SetInput
from synthgap.stages.measurement import check_comparable
from synthgap.stages.measurement.roles import reference_rows
from synthgap.stages.strip import read_pictures
from synthgap.stages.triage import (
    Entry,
    Label,
    Seen,
    first_images,
    measure_gain,
    rank_labels,
    read_decisions,
    see_by_centroids,
    worklist,
    write_page,
    write_worklist,
)
from synthgap.store.atomic import write_json
from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.manifest import kind_of, read_manifest
from synthgap.store.match import align_classes
from synthgap.store.sources import ImageSource, open_images

ENCODER = "encoder"
ZERO_SHOT, CENTROIDS = "zero-shot", "natural centroids"
RECIPES = ("name", "disambiguated", "augmented")
"""Recipes that have a clarified side: by ``name`` the other is ``disambiguated``."""
Row = dict[str, Any]


@dataclass(frozen=True)
class _Judges:
    """Everyone who is asked what an image shows, the one who ranks first."""

    classifier: Classifier | None
    natural: EmbeddingSet | None
    names: EmbeddingSet | None
    """Embedded names of the labels."""
    workers: int


@dataclass(frozen=True)
class _Subject:
    """The images that are looked at."""

    source: ImageSource
    entries: dict[str, ClassEntry]
    drawn: bool
    """Whether this call drew them, by the spec at hand."""


def triage(
    spec: GenerateSpec,
    out: Path,
    target: SetInput | None = None,
    natural: SetInput | None = None,
    asked: TriageSpec | None = None,
    options: CompareOptions | None = None,
    note: Note | None = None,
    *,
    apply: bool = False,
) -> Row:
    """Rank the labels of a set by how often judges see them in their images, and put the worst up for review.

    Judges: a classifier where one is named; the nearest centroid of natural images where these are given; the encoder's
    zero-shot over the labels' names where it reads text. The first of them ranks.

    Writes into ``out``: ``triage.yaml`` (the worklist, read by the recipe ``disambiguated``; what the user decided in it is
    kept), ``triage.html`` (the worst labels with pictures) and ``triage.json``; ``set/`` where the images are drawn; with
    ``apply`` what clarified prompts win, in pairs on the same noise, from ``apply/``.

    Args:
        spec: Classes to draw where there is no ``target``; and how ``apply`` draws.
        out: The folder; the same call goes on with what is there.
        target: The set to look at.
        natural: Natural images or embeddings.
        asked: How many images, which judge, how many labels.
        options: Encoder, measures, resources.
        note: Told what the user should know before anything is drawn.
        apply: Draw the labels on the worklist by their clarified prompts, the proposed ones where nothing is decided.

    Returns:
        ``labels`` worst first, ``judges``, ``worklist``, ``gain`` (None without ``apply``), ``notes``, names of the files.

    Raises:
        InputError: Nobody can judge, a set or model cannot be read, an earlier worklist is damaged, or nothing to apply.
        RunError: Too many images failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    asked = asked or TriageSpec()
    run = Run(out, options or CompareOptions())
    if apply and spec.recipe not in RECIPES:
        raise InputError(
            f"--apply knows no clarified side of the recipe {spec.recipe!r}; expected {', '.join(RECIPES)}"
        )
    if apply:
        check_alike(spec)
    subject = _subject(run, spec, target, asked, note)
    path = run.out / "triage.yaml"
    decided = read_decisions(path, subject.entries.values())
    with run.stage("judges"):
        judges = _judges(run, subject, natural, asked)
        seen = _see(run, judges, subject.source, beside(run.out / "embeddings" / "images", subject.source.fingerprint))
    prompts = {key: prompt for key, _, prompt in class_words.name_prompts(subject.entries)}
    # Senses are those of WordNet's name; shown is the set's own.
    senses = class_words.noun_senses(subject.entries)
    named = {key: replace(entry, name=subject.source.classes[key]) for key, entry in subject.entries.items()}
    labels = rank_labels(
        named,
        prompts,
        _keys(subject.source),
        seen,
        senses=senses,
        proposals=class_words.proposals(subject.entries),
    )
    listed = worklist(labels, seen[0].judge, decided, asked.worst)
    write_worklist(path, listed)
    tried = _apply(run, spec, subject, judges, seen[0], listed, asked) if apply else None
    return _write(run, spec, subject, labels, listed, seen, tried, asked)


def triage_estimate(
    spec: GenerateSpec, out: Path, asked: TriageSpec | None, options: CompareOptions, *, trial: bool
) -> Row:
    """What a triage of classes will draw and how long it will take; nothing is written."""
    own = _drawn_spec(spec, asked or TriageSpec())
    return dry_run([(spec.classes, own, out.expanduser() / "set")], options.resources, trial=trial)


def _drawn_spec(spec: GenerateSpec, asked: TriageSpec) -> GenerateSpec:
    return spec.model_copy(update={"per_class": asked.per_label, "eval_per_class": 0})


def _subject(run: Run, spec: GenerateSpec, target: SetInput | None, asked: TriageSpec, note: Note | None) -> _Subject:
    if target is None:
        source = draw(_drawn_spec(spec, asked), run.out / "set", run.options, "images drawn", note)
    else:
        source = open_images(target.path)
    chosen = first_images(source, asked.per_label)
    here = {key: name for key, name in chosen.classes.items() if key not in chosen.empty_classes}
    entries = class_words.entries(here, {})
    plain = [entry.name for entry in entries.values() if not entry.definition]
    if plain:
        run.warnings.append(
            f"{counted(len(plain), 'label')} without a WordNet id ({', '.join(plain[:3])}{', …' if len(plain) > 3 else ''}): nothing is "
            "known of their senses, and no prompt is proposed"
        )
    return _Subject(chosen, entries, target is None)


def _judges(run: Run, subject: _Subject, natural: SetInput | None, asked: TriageSpec) -> _Judges:
    folder = run.out / "embeddings"
    classifier = None
    if asked.judge != ENCODER:
        device = run.options.resources.device
        classifier = load_classifier(asked.judge, pick_device(None if device is None else device.partition(",")[0]))
    reference = None
    if natural is not None:
        reference = reference_rows(embed_given(natural, folder / "natural", run.options)[1])
    names = (
        embed_texts(_name_texts(subject.entries), folder / "names", run.options) if len(subject.entries) > 1 else None
    )
    found = _Judges(classifier, reference, names, run.options.resources.workers)
    if classifier is None and reference is None and names is None:
        raise InputError(
            "nobody can judge: zero-shot needs two labels and an encoder that reads text; name a classifier as --judge, or "
            "natural images as --natural"
        )
    if classifier is None and reference is None:
        run.warnings.append(
            "zero-shot by names alone: the encoder may misread a name as the generator does; --natural or --judge knows better"
        )
    return found


def _name_texts(entries: Mapping[str, ClassEntry]) -> list[tuple[str, str, str]]:
    """The names of the labels; with their parents where two labels have the same names."""
    rows = class_words.name_prompts(entries)
    prompts = [prompt for *_, prompt in rows]
    proposed = class_words.proposals(entries)
    return [
        (key, name, proposed.get(key, prompt) if prompts.count(prompt) > 1 else prompt) for key, name, prompt in rows
    ]


def _see(run: Run, judges: _Judges, source: ImageSource, folder: Path) -> list[Seen]:
    """What each judge sees in the images; the classifier first, then natural centroids, then names."""
    seen = []
    if judges.classifier is not None:
        seen.append(_by_classifier(run, judges.classifier, source, judges.workers))
    if judges.natural is None and judges.names is None:
        return seen
    images = embed(source, source.name, folder, run.options)
    for name, reference in ((CENTROIDS, judges.natural), (ZERO_SHOT, judges.names)):
        if reference is not None:
            matched = matched_to(reference, images)
            check_comparable(reference, matched)
            seen.append(see_by_centroids(name, reference, matched, run.options.measure.seed))
    return seen


def _by_classifier(run: Run, classifier: Classifier, source: ImageSource, workers: int) -> Seen:
    """All outputs of the classifier compete, also of classes that are no label here."""
    keys, names = list(classifier.classes), list(classifier.classes.values())
    pairs, lacking, _ = align_classes(source.classes, classifier.classes)
    if not pairs:
        raise InputError(
            f"{classifier.name}: has none of the labels of {source.name}; expected a classifier of its classes"
        )
    if lacking:
        run.warnings.append(f"{classifier.name} does not know {len(lacking)} of the labels; they are not ranked by it")
    place = {own: keys.index(other) for own, other, _ in pairs}
    total = sum(counts[key] for counts in source.counts.values() for key in place)
    found = predict(
        classifier,
        source.rows(),
        place,
        torch.arange(len(keys)),
        workers=workers,
        total=total,
        progress=run.options.progress,
    )
    best = found.logits.argmax(dim=1).tolist()
    predicted = {key: names[one] for key, one in zip(found.keys, best, strict=True)}
    right = {key: one == own for key, one, own in zip(found.keys, best, found.labels.tolist(), strict=True)}
    return Seen(classifier.name, predicted, right)


def _keys(source: ImageSource) -> dict[str, list[str]]:
    """Image keys of each label."""
    found: dict[str, list[str]] = {}
    for row in source.rows():
        found.setdefault(row.class_key, []).append(row.image_key)
    return found


@dataclass(frozen=True)
class _Tried:
    """Clarified prompts that were drawn and judged."""

    gain: Row
    after: ImageSource


def _apply(
    run: Run,
    spec: GenerateSpec,
    subject: _Subject,
    judges: _Judges,
    before: Seen,
    listed: Sequence[Entry],
    asked: TriageSpec,
) -> _Tried:
    """Draw the labels with a clarified prompt by it, and by the old one where this call did not draw them."""
    tried = [entry for entry in listed if entry.clarified and entry.override.class_key in subject.entries]
    if not tried:
        raise InputError(f"{run.out / 'triage.yaml'}: no label has a clarified prompt to apply; write one as 'new'")
    folder = run.out / "apply"
    clarified = folder / "clarified.yaml"
    write_worklist(clarified, [entry.with_clarified() for entry in tried])
    keys = [entry.override.class_key for entry in tried]
    recipe = "disambiguated" if spec.recipe == "name" else spec.recipe
    own = _drawn_spec(spec, asked)
    if not subject.drawn:
        old = draw(
            _of_classes(own, keys, folder / "before", subject), folder / "before", run.options, "drawn before", None
        )
        before = _see(run, judges, old, run.out / "embeddings" / "before")[0]
    new_spec = own.model_copy(update={"recipe": recipe, "overrides": clarified})
    after = draw(
        _of_classes(new_spec, keys, folder / "after", subject), folder / "after", run.options, "drawn after", None
    )
    seen = _see(run, judges, after, run.out / "embeddings" / "after")[0]
    images = {key: found for key, found in _keys(after).items() if key in set(keys)}
    with run.stage("gain"):
        gain = measure_gain(images, before, seen, run.options.measure, asked.permutations)
    prompts = {entry.override.class_key: entry for entry in tried}
    for key, row in gain["per_class"].items():
        entry = prompts[key]
        row |= {"name": subject.source.classes[key], "old": entry.override.old, "new": entry.clarified}
        row["decision"] = entry.decision
    return _Tried(gain, after)


def _of_classes(spec: GenerateSpec, keys: Sequence[str], folder: Path, subject: _Subject) -> GenerateSpec:
    """The spec for these classes, after those that the folder holds already: a set grows and does not shrink."""
    there = list(read_manifest(folder).classes) if kind_of(folder) == "image-set" else []
    every = dict.fromkeys([*there, *keys])
    # A class of the user's own is read by its name; its key is made from it.
    own = {key: entry.name for key, entry in subject.entries.items() if not entry.definition}
    names = [own.get(key, key) for key in every]
    return spec.model_copy(update={"classes": ",".join(names)})


def _write(
    run: Run,
    spec: GenerateSpec,
    subject: _Subject,
    labels: Sequence[Label],
    listed: Sequence[Entry],
    seen: Sequence[Seen],
    tried: _Tried | None,
    asked: TriageSpec,
) -> Row:
    shown = labels[: asked.pictured]
    wanted = [key for label in shown for key in label.image_keys[: asked.pictures]]
    entries = {entry.override.class_key: entry for entry in listed}
    facts = {
        "title": spec.classes if subject.drawn else subject.source.name,
        "judge": seen[0].judge,
        "labels": len(labels),
        "listed": len(listed),
        "notes": run.warnings,
    }
    write_page(
        run.out / "triage.html",
        shown,
        listed,
        read_pictures(subject.source, wanted),
        after={} if tried is None else read_pictures(tried.after, wanted),
        gain=None if tried is None else tried.gain,
        facts=facts,
    )
    document = {
        "set": str(subject.source.path),
        "judges": [one.judge for one in seen],
        "labels": [
            label.as_dict() | {"decision": entries[key].decision if (key := label.entry.class_key) in entries else None}
            for label in labels
        ],
        "worklist": {
            name: sum(entry.decision == name for entry in listed) for name in ("undecided", "clarify", "keep")
        },
        "gain": None if tried is None else tried.gain,
        "notes": run.warnings,
        "files": {name: str(run.out / f"triage.{name}") for name in ("yaml", "html", "json")},
        "seconds": run.seconds,
        "command": run.options.command,
    }
    write_json(run.out / "triage.json", document)
    return document
