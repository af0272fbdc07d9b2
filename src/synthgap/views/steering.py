"""Sweeps, probes, triage and refinement."""

from __future__ import annotations

import math
from typing import Any

from synthgap.console import duration, figure, interval, size, table
from synthgap.core.counting import counted


def steering_estimate(found: dict[str, Any]) -> str:
    """What a sweep, a probe or a triage will draw."""
    rows = [
        (one["name"], one["images"], one["images_there"], "" if one["seconds"] is None else duration(one["seconds"]))
        for one in found["sets"]
    ]
    lines = [table(rows, ("set", "images", "there", "time")), f"{counted(found['images'], 'image')} in all"]
    if found["seconds"] is not None:
        lines.append(f"{duration(found['seconds'])} and {size(found['bytes'])}, by a measured batch")
    return "\n".join(lines)


SWEPT = {
    "diversity": "diversity",
    "centroid_distance": "distance",
    "centroid_accuracy": "accuracy",
    "centroid_shift": "shift",
    "coverage": "coverage",
    "precision": "precision",
    "vendi_score": "Vendi",
}


def swept(found: dict[str, Any]) -> str:
    """A line per setting, and the guidance that meets natural diversity, of the set and per class."""
    columns = {name: title for name, title in SWEPT.items() if name in found["settings"][0]["figures"]}
    rows = [
        (
            f"{one['guidance_scale']:g}",
            "" if one["num_inference_steps"] is None else one["num_inference_steps"],
            *(_with_ends(one["figures"][name]["overall"]) for name in columns),
        )
        for one in found["settings"]
    ]
    blocks = [table(rows, ("guidance", "steps", *columns.values()))]
    for line in found["meeting"]:
        steps = "" if line["num_inference_steps"] is None else f" with {line['num_inference_steps']} steps"
        lines = [_meeting("whole set", line["overall"])]
        lines += [_meeting(name, one) for name, one in line["per_class"].items()]
        header = ("", "guidance", "95 % interval", "accuracy there", "cost", "")
        blocks.append(f"Guidance at which diversity is that of {found['natural']}{steps}:\n" + table(lines, header))
    blocks += [f"note: {text}" for text in found["notes"]]
    return "\n\n".join([*blocks, f"pictures: {found['files']['strip']}\nplot: {found['files']['plot']}"])


def _meeting(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    guidance = found["guidance_scale"]
    return (
        name,
        figure(guidance["value"], 2),
        f"{figure(guidance['ci_low'], 2)} to {figure(guidance['ci_high'], 2)}",
        figure(found["accuracy"]["value"]),
        figure(found["cost"]),
        guidance.get("reason", ""),
    )


def _with_ends(found: dict[str, Any]) -> str:
    if found["value"] is None or not math.isfinite(found["value"]):
        return "–"
    return f"{figure(found['value'])} ({interval(found)})"


PROBED = {
    "centroid_accuracy": "accuracy",
    "centroid_distance": "distance",
    "centroid_shift": "shift",
    "centroid_cosine": "cosine to centroid",
    "prompt_cosine": "to prompt",
}


def probed(found: dict[str, Any]) -> str:
    """A line per prompt, and below its differences to the first with their p-values."""
    first = found["prompts"][0]
    columns = {name: title for name, title in PROBED.items() if name in first["figures"]}
    rows = [(one["prompt"], *(_with_ends(one["figures"][name]) for name in columns)) for one in found["prompts"]]
    blocks = [f"{found['class']} against {found['against']}:\n" + table(rows, ("prompt", *columns.values()))]
    apart = [
        (one["prompt"], *(_difference(one["differences"].get(name)) for name in columns))
        for one in found["prompts"][1:]
    ]
    if apart:
        title = f"Differences to {first['prompt']!r}, in pairs on the same noise (p by Holm's method):\n"
        blocks.append(title + table(apart, ("prompt", *columns.values())))
    if found["natural"] is not None:
        named = [name for name in columns if name in first["natural"]["figures"]]
        rows = [
            (one["prompt"], *(_with_ends(one["natural"]["figures"][name]) for name in named))
            for one in found["prompts"]
        ]
        title = f"Against {found['natural']}:\n"
        blocks.append(title + table(rows, ("prompt", *(columns[name] for name in named))))
    blocks += [f"note: {text}" for text in found["notes"]]
    return "\n\n".join([*blocks, f"pictures: {found['files']['strip']}"])


def _difference(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['value']:+.3f} (p {figure(found['p_holm'], 2)})"


TRIAGED = 20
"""Labels that the table shows."""


def triaged(found: dict[str, Any]) -> str:
    """The worst labels, what clarified prompts won, and where the worklist is."""
    rows = [
        (
            one["name"],
            *(_with_ends(one["by_judge"][judge]) for judge in found["judges"]),
            ", ".join(f"{row['name']} {row['share']:.0%}" for row in one["taken_for"]),
            one["proposed"],
            one["decision"] or "",
        )
        for one in found["labels"][:TRIAGED]
    ]
    blocks = [table(rows, ("label", *found["judges"], "taken for", "proposed prompt", "decision"))]
    left = len(found["labels"]) - TRIAGED
    if left > 0:
        blocks.append(f"and {left:,} more labels; --format json shows all")
    if found["gain"] is not None:
        blocks.append(_gain(found["gain"]))
    blocks += [f"note: {text}" for text in found["notes"]]
    counts = ", ".join(f"{count} {name}" for name, count in found["worklist"].items())
    blocks.append(f"worklist: {found['files']['yaml']} ({counts})\npictures: {found['files']['html']}")
    return "\n\n".join(blocks)


def _gain(found: dict[str, Any]) -> str:
    rows = [("all", "", found["overall"]), *((one["name"], one["new"], one) for one in found["per_class"].values())]
    lines = [
        (
            name,
            new,
            figure(one["before"]["value"]),
            figure(one["after"]["value"]),
            _with_ends(one["gain"]),
            figure(one.get("p_holm", one["p_value"])),
            one["gain"]["n"],
        )
        for name, new, one in rows
    ]
    header = ("label", "clarified prompt", "before", "after", "gain", "p", "pairs")
    return f"Clarified prompts, judged by {found['judge']}, in pairs on the same noise:\n" + table(lines, header)


REFINED = {
    "centroid_accuracy": "accuracy",
    "coverage": "coverage",
    "centroid_distance_ratio": "spread over natural",
    "centroid_shift": "shift",
    "linear_classifier": "linear classifier",
}


def refined(found: dict[str, Any]) -> str:
    """What was changed, before and after in pairs on the report half, and what was left."""
    left = [f"left: {row['name']}: {row['why']}" for row in found["left"]]
    counts = f"{counted(found['images_redrawn'], 'image')} drawn again, {found['images_kept']:,} kept"
    if found.get("dry_run"):
        rows = [(row["name"], _change(row), _old(row), row["images"], row["reason"]) for row in found["changes"]]
        header = ("class", "change", "was", "images", "why")
        counts = counts.replace("drawn again", "to draw again").replace("kept", "to keep")
        blocks = [table(rows, header)] if rows else []
        blocks += ["\n".join(left), f"{counts}\nread or edit {found['adjustments']}, then leave out --dry-run"]
        return "\n\n".join(block for block in blocks if block)
    natural = found["natural"]
    blocks = []
    lines = [
        (one["name"], _change(one), "kept" if one["kept"] else "brought back", *_before_after(row))
        for one in found["changes"]
        for row in one["report"]
    ]
    columns = ("before", "after", "difference", "95 % interval", "p", "natural")
    if lines:
        blocks.append(table(lines, ("class", "change", "", "measure", *columns)))
        whole = [
            *found["overall"]["report"],
            *(r for r in found["classifier"]["report"] if r["class_key"] == "overall"),
        ]
        blocks.append("All classes:\n" + table([_before_after(row) for row in whole], ("measure", *columns)))
    blocks += [f"{one['name']}: {one['outcome']}" for one in found["changes"] if not one["kept"]]
    blocks += [f"note: {text}" for text in found["warnings"]]
    blocks.append("\n".join(left))
    halves = f"{counted(natural['steering'], 'natural image')} to steer by, {natural['report']:,} others to report on"
    blocks.append(f"{counts}; {halves} ({natural['how']})\nset: {found['refined_set']}")
    return "\n\n".join(block for block in blocks if block)


def _change(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row["change"].items())


def _old(row: dict[str, Any]) -> str:
    return ", ".join(str(value) for value in row["was"].values())


def _before_after(row: dict[str, Any]) -> tuple[str, ...]:
    values = [figure(row[name]) for name in ("before", "after", "difference")]
    return (REFINED[row["metric"]], *values, interval(row), figure(row["p_value"]), figure(row["natural"]))
