"""The command line: one subcommand per public function. No logic, no defaults of its own; heavy imports wait until a command runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from synthgap import __version__, views
from synthgap.console import Format, Progress, emit, guarded, hint
from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec, GenerateSpec, LabSpec, MeasureSpec, Resources

Flat = Parameter(name="*")
Output = Annotated[Format, Parameter(name="--format")]
How = Annotated[Resources | None, Flat]
Encoder = Annotated[EncoderSpec | None, Flat]
Measures = Annotated[MeasureSpec | None, Flat]


def _one_line(error: CycloptsError) -> str:
    """A usage error as one line with the next step, such as pydantic's own, which takes five."""
    from pydantic import ValidationError

    cause = error.__cause__
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        option = "--" + ".".join(str(part) for part in first["loc"]).replace("_", "-")
        return f"{option}: {first['msg'].lower()}, found {first['input']!r}"
    return " ".join(str(error).split()).removesuffix(".") + "; see synthgap --help"


app = App(
    name="synthgap",
    version=__version__,
    help="Make labelled image sets from text-to-image models, measure how far they are from natural images, and learn why, class by class, and what to change.",
)
lab = App(name="lab", help="The miniature world: train one on any labelled image set, and evaluate it.")
classes = App(name="classes", help="Class lists and the senses of a word.")
app.command(lab)
app.command(classes)


@app.command
def demo(
    *,
    out: Path = Path("runs/demo"),
    resources: How = None,
    output: Output = "human",
) -> None:
    """Run the main job on the shipped real images: how far, why, and what to change.

    Parameters
    ----------
    out: Path
        Run folder; the same command continues.
    """
    run("demo", out=out, resources=resources, output=output)


@app.command
def run(
    study: str,
    *,
    out: Path,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", help="Override a key of the study: a.b=c.")] = (),
    print_config: bool = False,
    resources: How = None,
    output: Output = "human",
) -> None:
    """Run a study: draw its sets, compare each with the natural images, report.

    Parameters
    ----------
    study: str
        A YAML file, or the name of a shipped study (demo).
    out: Path
        Run folder; the same command continues.
    print_config: bool
        Print the resolved study and stop.
    """
    from synthgap.study import load_study, run_study

    spec = load_study(study, set_)
    if print_config:
        import yaml

        print(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False), end="")
        return
    summary = run_study(spec, out, resources, Progress(), _command())
    emit(summary, output, lambda found: views.summary(found, out))


@app.command
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
        Class-per-folder image folder, set folder, Parquet with Hugging Face features, or .npz embeddings.
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
        command=_command(),
    )
    summary = pipeline.compare(natural, synthetic, out, options)
    emit(summary, output, lambda found: views.summary(found, out))


@app.command
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


@app.command
def generate(
    *,
    out: Path,
    spec: Annotated[GenerateSpec | None, Flat] = None,
    world: Annotated[
        str, Parameter(help="World that gives the generator: lab, or a folder of `synthgap lab train`.")
    ] = "lab",
    resources: How = None,
    output: Output = "human",
) -> None:
    """Draw a synthetic set from names, synsets or a class list.

    Parameters
    ----------
    out: Path
        Set folder; the same command continues.
    """
    from synthgap.stages.generation import generate as draw
    from synthgap.store.sets import ImageSet
    from synthgap.vocabulary.lists import resolve

    wanted = spec or GenerateSpec()
    if world != "lab" and wanted.generator == "lab":
        wanted = wanted.model_copy(update={"generator": str(Path(world) / "generator")})
    for note in resolve(wanted.classes).notes:
        hint(f"note: {note}")
    draw(wanted, out, resources, Progress())
    done = ImageSet(out).done_shards().values()
    result = {
        "out": str(out),
        "images": sum(d.ok for d in done),
        "failed": sum(d.failed for d in done),
        "shards": len(done),
    }
    emit(
        result,
        output,
        lambda r: f"{r['images']} images in {r['out']}" + (f", {r['failed']} failed" if r["failed"] else ""),
    )


@app.command
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
    action(images, encoder or EncoderSpec(), out, resources, Progress())
    found = load_embeddings(out)
    result = {"out": str(out), "rows": len(found), "dim": int(found.embeddings.shape[1]), "skipped": len(found.skipped)}
    emit(
        result, output, lambda r: f"{r['rows']} embeddings of {r['dim']} numbers in {r['out']}, {r['skipped']} skipped"
    )


@app.command
def report(run: Path) -> None:
    """Write the report of a run folder again, from its tables.

    Parameters
    ----------
    run: Path
        Run folder of compare, run or demo.
    """
    from synthgap.stages.report import write_report

    print(write_report(run))


@app.command
def prompts(
    *,
    classes: str,
    recipe: str = "name",
    limit: int = 20,
    seed: int = 0,
    overrides: Path | None = None,
    output: Output = "human",
) -> None:
    """Show the prompts of a recipe without drawing.

    Parameters
    ----------
    classes: str
        A shipped list, a file, or comma-separated names, synsets or WordNet ids.
    recipe: str
        Prompt recipe.
    limit: int
        Prompts per class at most.
    overrides: Path
        YAML of clarified prompts.
    """
    from synthgap.prompts import list_prompts, load_overrides
    from synthgap.vocabulary.lists import resolve

    found = resolve(classes)
    for note in found.notes:
        hint(f"note: {note}")
    clarified = load_overrides(overrides, found.entries) if overrides else None
    rows = [
        {"class_key": p.class_key, "index": p.index, "prompt": p.text, "recipe": p.recipe}
        for p in list_prompts(found.entries, recipe, limit, seed, clarified)
    ]
    emit(rows, output, lambda items: "\n".join(f"{row['class_key']}  {row['prompt']}" for row in items))


@classes.command(name="show")
def classes_show(word: str, *, output: Output = "human") -> None:
    """List the senses of a word, with their WordNet ids and the shipped lists that hold them.

    Parameters
    ----------
    word: str
        A word, a synset (crane.n.05) or a WordNet id.
    """
    from synthgap.vocabulary import show

    emit(show(word), output, views.senses)


@classes.command(name="list")
def classes_list(name: str | None = None, *, output: Output = "human") -> None:
    """List the shipped class lists, or the classes of one.

    Parameters
    ----------
    name: str
        A shipped list, a file, or comma-separated classes.
    """
    from synthgap.vocabulary.lists import resolve
    from synthgap.vocabulary.shipped import shipped_lists

    if name is None:
        emit(shipped_lists(), output, lambda found: "\n".join(f"{key:14} {what}" for key, what in found.items()))
        return
    rows = [
        {"class_key": e.class_key, "name": e.name, "lemmas": list(e.lemmas), "definition": e.definition}
        for e in resolve(name).entries
    ]
    emit(
        rows,
        output,
        lambda items: "\n".join(
            f"{row['class_key']}  {', '.join(row['lemmas'])}: {row['definition']}" for row in items
        ),
    )


@lab.command(name="train")
def lab_train(
    images: Path,
    *,
    out: Path,
    spec: Annotated[LabSpec | None, Flat] = None,
    part: Literal["all", "tokenizer", "autoencoder", "denoiser", "encoder", "judge"] = "all",
    threads: int | None = None,
) -> None:
    """Train a world (generator, encoder, judge) on a labelled image set; the same command continues.

    Parameters
    ----------
    images: Path
        Image folder, set folder or Parquet of natural photographs.
    out: Path
        World folder.
    part: str
        Train this part only.
    threads: int
        Processor threads; all by default.
    """
    from synthgap.lab.train import train_world

    train_world(images, out, spec or LabSpec(), part, Progress(), threads)
    print(out)


@lab.command(name="evaluate")
def lab_evaluate(
    images: Path,
    *,
    out: Path,
    world: str = "lab",
    classes: str = "cifar-10",
    per_class: int = 50,
    output: Output = "human",
) -> None:
    """Evaluate a world on natural images it never saw: zero-shot, judged images at each guidance, a contact sheet.

    Parameters
    ----------
    images: Path
        Natural images that the world was not trained on; 'lab:natural' for the shipped ones.
    out: Path
        Folder for evaluation.json and contact_sheet.png.
    """
    from synthgap.lab.evaluate import evaluate_world
    from synthgap.models import lab_path
    from synthgap.store.atomic import write_json
    from synthgap.study import lab_images

    folder = lab_path("generator").parent if world == "lab" else Path(world)
    source = lab_images(str(images).removeprefix("lab:")) if str(images).startswith("lab:") else images
    found = evaluate_world(folder, source, out, classes=classes, per_class=per_class, report=Progress()).as_dict()
    write_json(out / "evaluation.json", found)
    emit(found, output, views.evaluation)


def _command() -> str:
    return shlex.join(["synthgap", *sys.argv[1:]])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0, 1 (ran, failed), 2 (wrong input) or 130 (interrupted)."""
    sys.exit(guarded(lambda: _dispatch(arguments)))


def _knn_apart(tokens: list[str]) -> list[str]:
    """Turn ``--knn 1,5`` into ``--knn 1 --knn 5``, as the parser takes lists."""
    apart: list[str] = []
    for token in tokens:
        if apart and apart[-1] == "--knn" and "," in token:
            apart += [item for value in token.split(",") for item in (value, "--knn")][:-1]
        else:
            apart.append(token)
    return apart


def _dispatch(arguments: Sequence[str] | None) -> None:
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(_knn_apart(tokens), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise InputError(_one_line(error)) from error
