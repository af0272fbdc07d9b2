"""Worlds, classifiers and their scores."""

from __future__ import annotations

from typing import Any

from synthgap.console import duration, figure, interval, table
from synthgap.core.counting import counted


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


def trained(found: dict[str, Any]) -> str:
    """What was trained, how well it does and how fast it went."""
    accuracy = found["accuracy"]
    score = "no images were kept apart for accuracy"
    if accuracy["value"] is not None:
        score = (
            f"accuracy {figure(accuracy['value'])} ({figure(accuracy['ci_low'])} to {figure(accuracy['ci_high'])}) "
            f"on {counted(accuracy['n'], 'image')} ({found['validation']}); best after epoch {found['best']['epoch']}"
        )
    lines = [
        f"{found['model']} of {counted(found['classes'], 'class')}, {counted(found['images'], 'image')}, {counted(found['steps'], 'step')}",
        score,
        f"{duration(found['seconds'])}, {found['images_per_second']:.0f} images/s, "
        f"{found['data_wait']:.1%} of it waiting for images",
    ]
    lines += [f"{count} skipped: {reason}" for reason, count in found["skipped_reasons"].items()]
    return "\n".join([*lines, f"model: {found['out']}"])


def scored(found: dict[str, Any]) -> str:
    """The figures of a classifier on a set, and its classes from the worst; or its figures on several sets."""
    if "sets" in found:
        return _scored_sets(found)
    rows = [
        (name, figure(block["overall"]["value"]), interval(block["overall"]), block["overall"]["n"])
        for name, block in found.items()
        if isinstance(block, dict) and "overall" in block
    ]
    name = " ".join(filter(None, (found.get("benchmark"), found.get("variant"))))
    blocks = [f"{found['model']} on {name or found['set']}", table(rows, ("measure", "value", "95 % interval", "n"))]
    classes = sorted(found["top_1"]["per_class"].items(), key=lambda item: item[1]["value"] or 0.0)
    lines = [(name, figure(one["value"]), interval(one), one["n"]) for name, one in classes[:20]]
    blocks.append(table(lines, ("class", "top-1", "95 % interval", "n")))
    blocks += [f"note: {text}" for text in found["notes"]]
    return "\n\n".join(blocks)


def _scored_sets(found: dict[str, Any]) -> str:
    """A row per set, as in S Table 2, and their mean."""
    rows = []
    for one in found["sets"]:
        cells = [_share(one.get(name, {}).get("overall")) for name in ("top_1", "top_5")]
        error = figure(one["expected_calibration_error"]["overall"]["value"])
        rows.append((one["label"], *cells, error, one["classes"]["scored"], one["top_1"]["overall"]["n"]))
    mean = found["mean"]
    rows.append(
        (
            f"mean of {counted(mean['top_1']['n'], 'set')}",
            *(_share(mean.get(n)) for n in ("top_1", "top_5")),
            "",
            "",
            "",
        )
    )
    blocks = [table(rows, (found["model"], "top-1 %", "top-5 %", "calibration error", "classes", "n"))]
    blocks += [f"note: {one['label']}: {text}" for one in found["sets"] for text in one["notes"]]
    return "\n".join(blocks)


def _share(found: dict[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    ends = "" if found["ci_low"] is None else f" ({100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f})"
    return f"{100 * found['value']:.1f}{ends}"
