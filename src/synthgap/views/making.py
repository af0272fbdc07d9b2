"""Words, sets and how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthgap.console import duration, size, table
from synthgap.core.counting import counted


def senses(rows: Sequence[dict[str, Any]]) -> str:
    """A line per sense of a word."""
    return "\n".join(
        f"{row['wnid']}  {row['synset']:16}  {', '.join(row['lemmas'])}: {row['definition']}"
        + (f"  [{', '.join(row['lists'])}]" if row["lists"] else "")
        for row in rows
    )


def drawn(found: dict[str, Any]) -> str:
    """How many images a set holds now."""
    text = f"{counted(found['images'], 'image')} in {found['out']}"
    if found["failed"]:
        text += f", {found['failed']} failed (the same command tries them again)"
    if found["flagged"] is not None:
        text += f", {found['flagged']} flagged by the safety checker"
    return text


def estimate(found: dict[str, Any]) -> str:
    """What a set will take."""
    splits = ", ".join(f"{count:,} {split}" for split, count in found["images_by_split"].items())
    lines = [f"images    {found['images']:,} of {counted(found['classes'], 'class')} ({splits})"]
    if found["images_there"]:
        lines.append(f"there     {found['images_there']:,} of an earlier run")
    if found["smallest_class"] != found["largest_class"]:
        lines.append(f"classes   {found['smallest_class']:,} to {counted(found['largest_class'], 'train image')} each")
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
