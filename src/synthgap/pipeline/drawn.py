"""What the steering commands share: sets that they draw themselves, and the embeddings of any set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.encoder import source_has_text
from synthgap.models.folders import locate_encoder
from synthgap.pipeline.run import CompareOptions
from synthgap.stages.alignment import without_direction
from synthgap.stages.embedding import embed_images, embed_prompts
from synthgap.stages.generation import Estimate, estimate, generate
from synthgap.stages.inputs import OpenedSet, SetInput, open_set
from synthgap.store.embeddings import EmbeddingSet, load_embeddings
from synthgap.store.sources import ImageSource, open_images

Note = Callable[[str], None]
"""Told what the user should know before anything is drawn, a line each."""


def check_alike(spec: GenerateSpec) -> None:
    """Refuse a spec that draws single classes by settings of their own: they would not follow what is varied."""
    if spec.adjustments is not None:
        raise InputError(
            f"--adjustments {spec.adjustments} sets single classes apart, and they would not follow what is varied here; "
            "leave it out"
        )


def draw(spec: GenerateSpec, folder: Path, options: CompareOptions, what: str, note: Note | None) -> ImageSource:
    """Draw a set, or go on with it; ``what`` is said of it in the progress."""
    tell = options.progress
    said = None if tell is None else lambda done, total, _: tell(done, total, what)
    generate(spec, folder, options.resources, said, note)
    return open_images(folder)


def embed(source: ImageSource, name: str, folder: Path, options: CompareOptions) -> EmbeddingSet:
    """Embeddings of images, in ``folder``; rows without a direction are skipped."""
    embed_images(source, options.encoder, folder, options.resources, options.progress)
    return without_direction(load_embeddings(folder).renamed(name))


def embed_given(item: SetInput, folder: Path, options: CompareOptions) -> tuple[OpenedSet, EmbeddingSet]:
    """A set that the user named, with its embeddings, computed where they are not given."""
    one = open_set(item)
    if one.given is not None:
        return one, without_direction(one.given)
    return one, embed(open_images(item.path), one.name, folder, options)


def embed_texts(rows: Sequence[tuple[str, str, str]], folder: Path, options: CompareOptions) -> EmbeddingSet | None:
    """Embeddings of (class key, name, text), in order; None for an encoder of images only.

    Other texts get another folder beside it, so that prompts can be added to a run.
    """
    if not source_has_text(locate_encoder(options.encoder)):
        return None
    place = beside(folder, fingerprint(list(rows)))
    embed_prompts(rows, options.encoder, place, options.resources, options.progress)
    return load_embeddings(place)


def beside(folder: Path, content: str) -> Path:
    """The folder of this content (a fingerprint) among those of one name."""
    return folder.with_name(f"{folder.name}-{content[:8]}")


def dry_run(sets: Sequence[tuple[str, GenerateSpec, Path]], resources: Resources, *, trial: bool) -> dict[str, Any]:
    """What drawing several sets will take; nothing is written.

    With a trial, one set of each number of steps, with guidance and without it, is timed: the others take as long.

    Returns:
        ``sets`` (each with ``name``, ``images``, ``images_there``, ``seconds``), and the sums of all.
    """
    known: dict[tuple[int | None, bool], Estimate] = {}
    rows: list[dict[str, Any]] = []
    for name, spec, folder in sets:
        how = (spec.num_inference_steps, spec.guidance_scale is not None and spec.guidance_scale <= 1)
        found = estimate(spec, folder, resources, trial=trial and how not in known)
        timed = known.setdefault(how, found)
        left = found.images - found.images_there
        seconds = None if timed.seconds_per_image is None else timed.seconds_per_image * left / len(timed.devices)
        size = None if timed.bytes_per_image is None else timed.bytes_per_image * left
        rows.append(
            {
                "name": name,
                "images": found.images,
                "images_there": found.images_there,
                "classes": found.classes,
                "examples": found.examples,
                "seconds": seconds,
                "bytes": size,
            }
        )
    sums = {name: sum(row[name] for row in rows) for name in ("images", "images_there")}
    times = {name: sum(row[name] for row in rows) if trial else None for name in ("seconds", "bytes")}
    return {"sets": rows, **sums, **times}
