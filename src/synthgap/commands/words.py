"""Classes and prompts, without drawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from synthgap import views
from synthgap.commands.options import Output
from synthgap.console import emit, hint


def prompts(
    *,
    classes: str | None = None,
    recipe: str | None = None,
    template: tuple[str, ...] | None = None,
    captions: Path | None = None,
    overrides: Path | None = None,
    adjustments: Path | None = None,
    seed: int | None = None,
    preset: str | None = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    output: Output = "human",
) -> None:
    """Show the prompts of a set's first images without drawing, as `generate` would write them.

    Parameters
    ----------
    classes: str
        A shipped list, a file, or comma-separated names, synsets or WordNet ids.
    recipe: str
        Prompt recipe, or several with commas that take turns (all-six: those of S).
    template: tuple[str, ...]
        Your own prompt for the recipe template, with {name}, {first}, {hypernym}, {definition}; repeat for more.
    captions: Path
        Prompts per class for the recipe captions: YAML, JSON, JSON Lines, CSV or Parquet.
    overrides: Path
        YAML of clarified prompts for the recipes disambiguated and augmented.
    adjustments: Path
        YAML of single classes' own recipe or prompts, such as refine writes.
    seed: int
        Run seed; it draws the modifiers of the recipe augmented.
    preset: str
        Settings of a paper's set, such as m-promptaug; what you give goes first.
    limit: int
        Prompts per class at most.
    """
    from synthgap.core.config import load_spec
    from synthgap.core.specs import GenerateSpec
    from synthgap.prompts import PromptWriter
    from synthgap.stages.presets import load_preset
    from synthgap.vocabulary import resolve

    given = {
        "classes": classes,
        "recipe": recipe,
        "template": template,
        "captions": captions,
        "overrides": overrides,
        "adjustments": adjustments,
        "seed": seed,
    }
    settings = load_preset(preset) if preset else {}
    spec = load_spec(GenerateSpec, settings | {key: value for key, value in given.items() if value is not None})
    found = resolve(spec.classes)
    writer = PromptWriter.of(spec, found.entries)
    for note in (*found.notes, *writer.notes):
        hint(f"note: {note}")
    rows = [
        {"class_key": prompt.class_key, "index": prompt.index, "prompt": prompt.text, "recipe": prompt.recipe}
        for entry in found.entries
        for prompt in writer.first(entry, limit)
    ]
    emit(rows, output, _prompt_lines)


def _prompt_lines(rows: Sequence[dict[str, Any]]) -> str:
    """One line per prompt, with its recipe where several take turns."""
    names = {row["recipe"] for row in rows}
    width = max(map(len, names)) if len(names) > 1 else 0
    shown = ((f"{row['recipe']:{width}}  " if width else "", " ".join(row["prompt"].split())) for row in rows)
    return "\n".join(f"{row['class_key']}  {recipe}{text}" for row, (recipe, text) in zip(rows, shown, strict=True))


def classes_show(word: str, *, output: Output = "human") -> None:
    """List the senses of a word, with their WordNet ids and the shipped lists that hold them.

    Parameters
    ----------
    word: str
        A word, a synset (crane.n.05) or a WordNet id.
    """
    from synthgap.vocabulary import show

    emit(show(word), output, views.senses)


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
