"""The small print: what was skipped, and everything needed to make the run again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from synthgap.stages.report import formats
from synthgap.stages.report.figures import Figures, as_float, mapping
from synthgap.stages.report.tables import RunTables

MAX_SKIPPED = 50
MAX_WARNINGS = 40

SECTION_TABLES = {
    "findings": "Causes and suggestions",
    "thumbnails": "The image strips",
    "map": "The map of the embeddings",
    "trials": "The trials",
    "classifier": "What a classifier learns",
}
"""Tables whose absence leaves a section out, and that section's name."""
PROOF_TABLES = {
    "proof/matrix": "The classifiers trained from scratch",
    "proof/scaling": "Their scores along the number of images",
    "transfer/transfer": "Their features on other sets",
}
"""Tables that most runs do not have: told only where one is there and cannot be shown."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Images that could not be used: how many, why, and the first of them."""

    total: int
    reasons: list[tuple[str, str]]
    rows: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Stage:
    """Seconds of one stage, and its share of the longest."""

    name: str
    text: str
    width: float


@dataclass(frozen=True, slots=True)
class Notes:
    """The small print of a run."""

    warnings: list[str]
    more_warnings: int
    skipped: Skipped | None
    stages: list[Stage]
    total_time: str
    settings: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    command: str
    left_out: list[tuple[str, str]]
    """(section, why it is not on the page)."""


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as dotted names and short texts."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _skipped(entries: list[Mapping[str, Any]], figures: Figures) -> Skipped | None:
    if not entries:
        return None
    reasons = Counter(str(entry.get("reason") or "no reason given") for entry in entries)
    rows = [
        {
            "set": str(entry.get("set") or ""),
            "image": str(entry.get("image_key") or ""),
            "class": figures.name(str(entry.get("class_key") or "")),
            "reason": str(entry.get("reason") or "no reason given"),
        }
        for entry in entries[:MAX_SKIPPED]
    ]
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return Skipped(len(entries), [(formats.count(number), reason) for reason, number in ordered[:MAX_SKIPPED]], rows)


def _stages(seconds: Mapping[str, Any]) -> list[Stage]:
    times = {
        str(name): as_float(value) for name, value in seconds.items() if formats.is_number(value) and name != "total"
    }
    longest = max([*times.values(), 1e-9])
    return [Stage(name, formats.seconds(time), round(100 * time / longest, 2)) for name, time in times.items()]


def _left_out(tables: RunTables, shown: Mapping[str, bool]) -> list[tuple[str, str]]:
    """The sections that are not on the page, with the reason."""
    unusable = {name: f"nothing in {name}.parquet can be shown" for name, present in shown.items() if not present}
    reasons = unusable | {name: why for name, why in tables.missing.items() if name not in tables.optional}
    return [(section, reasons[name]) for name, section in (SECTION_TABLES | PROOF_TABLES).items() if name in reasons]


def notes(tables: RunTables, figures: Figures, shown: Mapping[str, bool]) -> Notes:
    """Collect the small print; whatever the run did not write is simply not there.

    ``shown`` says of tables whose rows may all be unusable whether anything of them stands on the page.
    """
    summary = tables.summary
    seconds = mapping(summary.get("seconds"))
    warnings = [str(warning) for warning in summary.get("warnings") or []]
    total = as_float(
        seconds.get("total", sum(as_float(value) for value in seconds.values() if formats.is_number(value)))
    )
    return Notes(
        warnings=warnings[:MAX_WARNINGS],
        more_warnings=max(0, len(warnings) - MAX_WARNINGS),
        skipped=_skipped([entry for entry in summary.get("skipped") or [] if isinstance(entry, Mapping)], figures),
        stages=_stages(seconds),
        total_time=formats.seconds(total) if seconds else "",
        settings=list(_flat(mapping(summary.get("settings")))),
        versions=[("synthgap", str(summary.get("version") or "unknown")), *_flat(mapping(summary.get("versions")))],
        command=str(summary.get("command") or ""),
        left_out=_left_out(tables, shown),
    )
