"""How results look for people: text made of what `--format json` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgap.console import duration, figure, size, table


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


def drawn(found: dict[str, Any]) -> str:
    """How many images a set holds now."""
    text = f"{found['images']} images in {found['out']}"
    if found["failed"]:
        text += f", {found['failed']} failed (the same command tries them again)"
    if found["flagged"] is not None:
        text += f", {found['flagged']} flagged by the safety checker"
    return text


def estimate(found: dict[str, Any]) -> str:
    """What a set will take."""
    splits = ", ".join(f"{count:,} {split}" for split, count in found["images_by_split"].items())
    lines = [f"images    {found['images']:,} of {found['classes']} classes ({splits})"]
    if found["images_there"]:
        lines.append(f"there     {found['images_there']:,} of an earlier run")
    if found["smallest_class"] != found["largest_class"]:
        lines.append(f"classes   {found['smallest_class']:,} to {found['largest_class']:,} train images each")
    lines.append(f"settings  {', '.join(f'{name} {value}' for name, value in found['settings'].items())}")
    lines.append(f"prompts   {found['prompts']:,} different ones, such as")
    lines += [f"          {text}" for text in found["examples"]]
    if found["seconds"] is not None:
        devices = found["devices"]
        where = devices[0] if len(devices) == 1 else f"{len(devices)} devices"
        lines.append(f"disk      {size(found['bytes'])} ({size(found['bytes_per_image'])} an image, measured)")
        lines.append(
            f"time      {duration(found['seconds'])} on {where} ({found['seconds_per_image']:.3g} s an image, measured)"
        )
    return "\n".join(lines)


def status(found: list[dict[str, Any]]) -> str:
    """A line per folder."""
    return table(
        [_status(row) for row in found], ("folder", "done", "failed", "flagged", "disk", "rows/s", "left", "last")
    )


def _status(row: dict[str, Any]) -> tuple[str, ...]:
    total = "?" if row["rows"] is None else f"{row['rows']:,}"
    left = "done" if row["finished"] else "?" if row["seconds_left"] is None else duration(row["seconds_left"])
    since = "" if row["seconds_since_last"] is None else f"{duration(row['seconds_since_last'])} ago"
    flagged = "" if row["flagged"] is None else str(row["flagged"])
    pace = "" if row["rows_per_second"] is None else f"{row['rows_per_second']:.3g}"
    return (
        row["folder"],
        f"{row['rows_done']:,} of {total}",
        str(row["failed"]),
        flagged,
        size(row["bytes"]),
        pace,
        left,
        since,
    )


def trained(found: dict[str, Any]) -> str:
    """What was trained, how well it does and how fast it went."""
    accuracy = found["accuracy"]
    score = "no images were kept apart for accuracy"
    if accuracy["value"] is not None:
        score = (
            f"accuracy {figure(accuracy['value'])} ({figure(accuracy['ci_low'])} to {figure(accuracy['ci_high'])}) "
            f"on {accuracy['n']} images ({found['validation']}); best after epoch {found['best']['epoch']}"
        )
    lines = [
        f"{found['model']} of {found['classes']} classes, {found['images']:,} images, {found['steps']:,} steps",
        score,
        f"{duration(found['seconds'])}, {found['images_per_second']:.0f} images/s, "
        f"{found['data_wait']:.1%} of it waiting for images",
    ]
    lines += [f"{count} skipped: {reason}" for reason, count in found["skipped_reasons"].items()]
    return "\n".join([*lines, f"model: {found['out']}"])


def scored(found: dict[str, Any]) -> str:
    """The figures of a classifier on a set, and its classes from the worst."""
    rows = [
        (name, figure(block["overall"]["value"]), _interval(block["overall"]), block["overall"]["n"])
        for name, block in found.items()
        if isinstance(block, dict) and "overall" in block
    ]
    blocks = [table(rows, ("measure", "value", "95 % interval", "n"))]
    classes = sorted(found["top_1"]["per_class"].items(), key=lambda item: item[1]["value"] or 0.0)
    lines = [(name, figure(one["value"]), _interval(one), one["n"]) for name, one in classes[:20]]
    blocks.append(table(lines, ("class", "top-1", "95 % interval", "n")))
    blocks += [f"note: {text}" for text in found["notes"]]
    return "\n\n".join(blocks)


def _interval(found: dict[str, Any]) -> str:
    return f"{figure(found['ci_low'])} to {figure(found['ci_high'])}"


def steering_estimate(found: dict[str, Any]) -> str:
    """What a sweep, a probe or a triage will draw."""
    rows = [
        (one["name"], one["images"], one["images_there"], "" if one["seconds"] is None else duration(one["seconds"]))
        for one in found["sets"]
    ]
    lines = [table(rows, ("set", "images", "there", "time")), f"{found['images']:,} images in all"]
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
    return f"{figure(found['value'])} ({_interval(found)})"


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
    counts = f"{found['images_redrawn']:,} images drawn again, {found['images_kept']:,} kept"
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
    halves = f"{natural['steering']:,} natural images steered, {natural['report']:,} others are reported on"
    blocks.append(f"{counts}; {halves} ({natural['how']})\nset: {found['refined_set']}")
    return "\n\n".join(block for block in blocks if block)


def _change(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row["change"].items())


def _old(row: dict[str, Any]) -> str:
    return ", ".join(str(value) for value in row["was"].values())


def _before_after(row: dict[str, Any]) -> tuple[str, ...]:
    values = [figure(row[name]) for name in ("before", "after", "difference")]
    return (REFINED[row["metric"]], *values, _interval(row), figure(row["p_value"]), figure(row["natural"]))
