"""How results look for people: text made of what `--format json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgap.console import figure, table


def summary(found: dict[str, Any], out: Path) -> str:
    """Three sentences, the classes at fault, and where the report is."""
    flagged = [row for row in found["findings"] if row["flagged"]]
    rows = [(row["name"], row["cause"], figure(row["severity"], 2), row["suggestion"]) for row in flagged]
    blocks = ["\n".join(found["sentences"])]
    if rows:
        blocks.append(table(rows, ("class", "cause", "severity", "what to change")))
    blocks += [f"note: {text}" for text in found["warnings"]]
    blocks.append(f"report: {out / 'report' / 'index.html'}")
    return "\n\n".join(blocks)


def measures(found: dict[str, Any]) -> str:
    """A line per measure of the whole set."""
    rows = []
    for metric, value in found.items():
        if isinstance(value, dict) and "overall" in value:
            rows.append((metric, value["overall"]))
        elif isinstance(value, dict):
            rows += [(f"{metric} k={k}", item["overall"]) for k, item in value.items()]
    lines = [
        (name, figure(v["value"]), f"{figure(v['ci_low'])} to {figure(v['ci_high'])}", v["n"], v.get("reason", ""))
        for name, v in rows
    ]
    return table(lines, ("measure", "value", "95 % interval", "n", "")) + "".join(
        f"\nnote: {note}" for note in found["notes"]
    )


def senses(rows: Sequence[dict[str, Any]]) -> str:
    """A line per sense of a word."""
    return "\n".join(
        f"{row['wnid']}  {row['synset']:16}  {', '.join(row['lemmas'])}: {row['definition']}"
        + (f"  [{', '.join(row['lists'])}]" if row["lists"] else "")
        for row in rows
    )


def evaluation(found: dict[str, Any]) -> str:
    """The figures of a world."""
    lines = [f"zero-shot with {form!r}: {value:.1%}" for form, value in found["encoder_zero_shot"].items()]
    lines.append(f"judge on natural images: {found['judge_natural']:.1%} of {found['n_natural']}")
    lines.append(f"centroid distance of natural images: {figure(found['natural_centroid_distance'])}")
    header = ("guidance", "judged right", "zero-shot", "centroid distance", "n")
    rows = [
        (d["guidance_scale"], f"{d['told_right']:.1%}", f"{d['zero_shot']:.1%}", figure(d["centroid_distance"]), d["n"])
        for d in found["drawings"]
    ]
    return "\n".join([*lines, table(rows, header), f"contact sheet: {found['contact_sheet']}"])
