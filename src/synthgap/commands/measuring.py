"""Embedding and measuring what is there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from synthgap import views
from synthgap.commands.options import Encoder, Flat, How, Measures, Output, command_line, located
from synthgap.console import Progress, emit, hint
from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec, MeasureSpec, Resources, TrialSpec


def compare(
    natural: Path,
    synthetic: Path,
    *,
    out: Path,
    encoder: Encoder = None,
    measures: Measures = None,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Compare two sets of images: how far apart they are, why, class by class, and what to change.

    Parameters
    ----------
    natural: Path
        Class-per-folder image folder, set folder, Parquet with Hugging Face features, embeddings, or 'lab:NAME'.
    synthetic: Path
        The same.
    out: Path
        Folder for summary.json, measurements.parquet, findings.parquet and report/index.html.
    """
    from synthgap import pipeline

    options = pipeline.CompareOptions(
        encoder=encoder or EncoderSpec(),
        measure=measures or MeasureSpec(),
        resources=resources or Resources(),
        progress=Progress(),
        command=command_line(),
    )
    summary = pipeline.compare(located(natural), located(synthetic), out, options)
    emit(summary, output, lambda found: views.summary(found, out))


def trials(
    natural: Path,
    synthetic: list[Path],
    /,
    *,
    out: Path,
    spec: Annotated[TrialSpec | None, Flat] = None,
    encoder: Encoder = None,
    measures: Measures = None,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Measure every set against every set, images and the prompts they were drawn from: references x queries.

    Parameters
    ----------
    natural: Path
        Class-per-folder image folder, set folder, Parquet with Hugging Face features, embeddings, or 'lab:NAME'.
    synthetic: list[Path]
        One or more of the same.
    out: Path
        Folder for trials.parquet, trials_by_class.parquet and trials.json.
    """
    from synthgap import pipeline

    options = pipeline.CompareOptions(
        encoder=encoder or EncoderSpec(),
        measure=measures or MeasureSpec(),
        resources=resources or Resources(),
        progress=Progress(),
        command=command_line(),
    )
    inputs = [pipeline.SetInput(located(path)) for path in (natural, *synthetic)]
    found = pipeline.cross_trials(inputs[0], inputs[1:], out, spec, options)
    emit(found, output, views.trials)


def measure(
    *,
    reference: Path,
    query: Path,
    measures: Measures = None,
    output: Output = "human",
) -> None:
    """Measure embeddings against embeddings: centroid and k-NN accuracy, similarity, distance, shift, separability.

    Parameters
    ----------
    reference: Path
        Embedding folder or .npz (embeddings n x d, labels n, optional class_names, modality).
    query: Path
        The same.
    """
    from synthgap.pipeline import measure_files

    found = measure_files(reference, query, measures)
    emit(found, output, views.measures)


def embed(
    images: Path,
    *,
    out: Path,
    prompts: bool = False,
    encoder: Encoder = None,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Embed the images of a set, or its prompts, into an embedding folder.

    Parameters
    ----------
    images: Path
        Image folder, set folder or Parquet.
    out: Path
        Embedding folder; the same command continues.
    prompts: bool
        Embed the set's prompts instead of its images.
    """
    from synthgap.stages.embedding import embed_images, embed_prompts
    from synthgap.store.embeddings import load_embeddings

    action: Any = embed_prompts if prompts else embed_images
    action(located(images), encoder or EncoderSpec(), out, resources, Progress())
    found = load_embeddings(out)
    told = [
        f"{counted(times, found.modality)} skipped: {why}"
        for why, times in Counter(one.reason for one in found.skipped).most_common(5)
    ]
    if not len(found):
        raise InputError(f"{images}: nothing could be embedded; {'; '.join(told)}")
    for text in told:
        hint(f"note: {text}")
    result = {"out": str(out), "rows": len(found), "dim": int(found.embeddings.shape[1]), "skipped": len(found.skipped)}
    emit(
        result,
        output,
        lambda r: f"{counted(r['rows'], 'embedding')} of {r['dim']} numbers in {r['out']}, {r['skipped']} skipped",
    )
