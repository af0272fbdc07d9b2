"""The lint of a class list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthgap.commands.options import Output
from synthgap.console import emit, figure, hint, table
from synthgap.core.counting import counted

SHOWN, WIDEST = 40, 40
"""Findings, and characters of a proposal, that the table shows."""
STRICT = 0.5
"""Severity from which on ``--strict`` fails."""


def lint(
    classes: str,
    *,
    recipe: str = "name",
    template: tuple[str, ...] = (),
    captions: Path | None = None,
    overrides: Path | None = None,
    tokenizer: str = "clip",
    write: Path | None = None,
    replace: bool = False,
    strict: bool = False,
    output: Output = "human",
) -> None:
    """Look for ambiguous and duplicate names, and prompts that pull elsewhere, before anything is drawn.

    Parameters
    ----------
    classes: str
        A shipped list, a file, or comma-separated names, synsets or WordNet ids.
    recipe: str
        Prompt recipe whose prompts are looked at.
    template: tuple[str, ...]
        Your own prompt for the recipe template; repeat for more.
    captions: Path
        Prompts per class for the recipe captions.
    overrides: Path
        YAML of clarified prompts for the recipes disambiguated and augmented.
    tokenizer: str
        clip (Stable Diffusion 1.x has it too), a model folder, or a Hub id.
    write: Path
        YAML file for the proposed prompts, as --overrides takes it.
    replace: bool
        Replace the file of --write where it exists.
    strict: bool
        Exit with 1 where a finding has severity 0.5 or more.
    """
    from synthgap.core.config import load_spec
    from synthgap.core.errors import RunError
    from synthgap.core.specs import GenerateSpec
    from synthgap.stages.linting import lint_classes, write_clarified

    settings = {
        "classes": classes,
        "recipe": recipe,
        "template": template,
        "captions": captions,
        "overrides": overrides,
    }
    report = lint_classes(load_spec(GenerateSpec, settings), tokenizer)
    if write is not None:
        by_key = {entry.class_key: entry for entry in report.entries}
        count = write_clarified(write, report.findings, by_key, replace=replace)
        hint(
            f"{counted(count, 'proposed prompt')} in {write}; read them, then draw with --recipe disambiguated --overrides {write}"
        )
    emit(report.as_dict(), output, _lines)
    worst = sum(finding.severity >= STRICT for finding in report.findings)
    if strict and worst:
        raise RunError(f"{worst} findings of severity {STRICT} or more; clarify those prompts, or leave out --strict")


def _lines(found: dict[str, Any]) -> str:
    """The worst findings as a table, then the counts and the notes."""
    rows = [
        (figure(row["severity"], 2), row["class_key"], row["name"], row["kind"], _short(row["proposal"]), row["what"])
        for row in found["findings"][:SHOWN]
    ]
    header = ("severity", "class", "name", "kind", "proposed prompt", "what")
    blocks = [table(rows, header)] if rows else []
    left = len(found["findings"]) - len(rows)
    if left:
        blocks.append(f"and {left:,} more; --format json shows all")
    counts = ", ".join(f"{count} {kind}" for kind, count in found["counts"].items()) or "nothing found"
    blocks.append(f"{counted(found['classes'], 'class')}: {counts}")
    blocks.append("\n".join(f"note: {note}" for note in found["notes"]))
    return "\n\n".join(blocks)


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1].rstrip() + "…"
