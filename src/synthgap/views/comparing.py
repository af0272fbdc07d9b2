"""Comparisons, measurements and trials."""

from __future__ import annotations

import math
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


TRIAL_COLUMNS = {
    "centroid_accuracy": "centroid",
    "gaussian_shared_accuracy": "Gauss",
    "gaussian_own_accuracy": "Gauss own",
    "kernel_density_accuracy": "density",
    "logistic_accuracy": "logistic",
    "average_cosine_similarity": "cos own",
    "nearest_cosine_similarity": "cos near",
}


def trials(found: dict[str, Any]) -> str:
    """The table of all trials, and the three views of it."""
    first = found["table"][0]
    neighbours = {name: name.replace("knn_", "k=") for name in first if name.startswith("knn_")}
    columns = {name: title for name, title in (TRIAL_COLUMNS | neighbours).items() if name in first}
    columns = dict(sorted(columns.items(), key=lambda item: list(first).index(item[0])))
    rows = [
        (row["number"], row["reference"], row["query"], *(_figure(row, name) for name in columns), row["n"])
        for row in found["table"]
    ]
    averages = found["averages"]
    mean = ("", f"mean of {averages['trials']}", "", *(_figure(averages, name) for name in columns), "")
    errors = [
        (row["set"], row["prompts"], *(_figure(row, name) for name in ERRORS)) for row in found["views"]["errors"]
    ]
    classes = [
        (row["set"], row["class"], _figure(row, "prompts_on_natural"), _figure(row, "prompts_on_own"))
        for row in found["views"]["classes"]
    ]
    kinds = [
        (row["kind"], row["trials"], _figure(row, "centroid_accuracy"), _figure(row, "average_cosine_similarity"))
        for row in found["views"]["modalities"]
    ]
    blocks = [table([*rows, mean], ("", "references", "queries", *columns.values(), "n"))]
    if errors:
        blocks.append("Where the error comes from:\n" + table(errors, ("set", "prompts", *ERRORS.values())))
    if classes:
        header = ("set", "class", "natural images found", "own images found")
        blocks.append("Classes that the prompts find worst:\n" + table(classes, header))
    blocks.append("Within and across modalities:\n" + table(kinds, ("", "trials", "centroid accuracy", "cosine")))
    return "\n\n".join([*blocks, *(f"note: {text}" for text in found["warnings"])])


ERRORS = {
    "prompts_on_natural": "natural found",
    "prompts_on_own": "own found",
    "own_on_own": "by own centroids",
    "error_total": "error",
    "error_diversity": "by diversity",
    "error_shift": "by shift",
}


def _figure(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None or not math.isfinite(value):
        return "n/a"
    return f"{value:.4f}" if "cosine" in name else f"{value:.1%}"
