"""A whole study: what it takes, and what its parts found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthgap.console import duration, size, table
from synthgap.views.comparing import summary
from synthgap.views.proving import matrix, scaling
from synthgap.views.transferring import transferred


def study(found: dict[str, Any], out: Path) -> str:
    """The summary of the comparison, then each part as its own command shows it."""
    parts = {"classifiers": matrix, "scaling": scaling, "transfer": transferred}
    return "\n\n".join([summary(found, out), *(show(found[name]) for name, show in parts.items() if name in found)])


def study_estimate(found: dict[str, Any]) -> str:
    """A line per set, the networks, and what is yet to be given."""
    blocks = [table([_set(one) for one in found["sets"]], ("set", "images", "there", "classes", "disk", "time"))]
    drawn = [one for one in found["sets"] if one["drawn"]]
    lines = [f"to draw    {sum(one['images'] - one['images_there'] for one in drawn):,} images of {len(drawn)} sets"]
    if (nets := found["networks"]) is not None:
        steps = "steps by the size of the first set" if nets["steps"] is None else f"{nets['steps']:,} steps"
        lines.append(
            f"networks   {nets['networks']:,} of {nets['model']} (recipe {nets['recipe']}), {steps} of {nets['batch_size']:,} "
            f"images each: {nets['sets']} sets, {nets['seeds']} a set, scored on {nets['tests']} test sets"
        )
    if found["transfers"]:
        lines.append(f"transfer   {found['transfers']:,} networks on targets")
    return "\n\n".join([*blocks, "\n".join([*lines, *(f"note: {text}" for text in found["notes"])])])


def _set(one: dict[str, Any]) -> tuple[str, ...]:
    if one["images"] is None:
        return one["name"], "?", "", "", "", ""
    disk = "" if one["bytes"] is None else ("" if one["bytes_measured"] else "about ") + size(one["bytes"])
    time = "" if one["seconds"] is None else f"{duration(one['seconds'])} on one device"
    there = f"{one['images_there']:,}" if one["images_there"] else ""
    return one["name"], f"{one['images']:,}", there, f"{one['classes']:,}", disk, time
