"""Transfer: models by sets, and the averages."""

from __future__ import annotations

from typing import Any

from synthgap.console import duration, figure, interval, table


def transferred(found: dict[str, Any]) -> str:
    """A table of every model on every set, the averages, the settings and the notes."""
    results = found["results"]
    rows = [
        (
            one["model"],
            one["set"],
            figure(one["accuracy"]["value"]),
            interval(one["accuracy"]),
            figure(one["mean_per_class"]["value"]),
            one["accuracy"]["n"],
        )
        for one in results
    ]
    several = len({one["set"] for one in results}) > 1
    for model, groups in found["average"].items() if several else ():
        rows += [
            (model, f"mean of {one['n']} ({name})", figure(one["value"]), interval(one), "", "")
            for name, one in groups.items()
            if one["n"] > 1
        ]
    blocks = [table(rows, ("model", "set", "top-1", "95 % interval", "per class", "test images"))]
    lines = [
        (
            one["model"],
            one["set"],
            one["solver"],
            "; ".join(_settings(run["settings"]) for run in one["runs"]),
            duration(sum(one["seconds"].values())),
        )
        for one in results
    ]
    blocks.append(table(lines, ("model", "set", "solver", "settings of each repeat", "time")))
    notes = dict.fromkeys(f"note: {one['set']} {text}" for one in results for text in one["notes"])
    return "\n\n".join([*blocks, "\n".join([*notes, f"result: {found['out']}"])])


def _settings(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in settings.items())
