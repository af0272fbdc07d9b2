"""Classes and prompts, without drawing."""

from __future__ import annotations

from pathlib import Path

from synthgap import views
from synthgap.commands.options import Output
from synthgap.console import emit, hint


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
