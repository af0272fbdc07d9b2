"""The summary of a run, ``summary.json``: all that a program or the report needs, NaN as null with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synthgap.core.records import Finding, Measurement
from synthgap.stages.comparison.sentences import Outcome, sentences
from synthgap.store import tables
from synthgap.store.embeddings import EmbeddingSet

SKIPPED_SHOWN = 1000
"""Skipped images of a set that are named; the others are counted."""


@dataclass(frozen=True)
class SetFacts:
    """A set of the run and what is said of it."""

    images: EmbeddingSet
    description: str = ""
    path: str = ""
    """Where its images are, for `synthgap refine`; empty for prompts."""


def summarise(
    outcome: Outcome,
    measurements: Mapping[str, Any],
    baseline: Mapping[str, Any],
    sets: Sequence[SetFacts],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Put the summary together.

    Args:
        outcome: The main pair's numbers.
        measurements: The main pair's measurements as JSON.
        baseline: Those of natural images against natural images.
        sets: Every image and prompt set of the run.
        facts: ``encoder``, ``warnings``, ``skipped``, ``command``, ``settings`` and whatever else is to be kept.

    Returns:
        A dictionary that JSON can hold.
    """
    return {
        "version": _version(),
        "natural": outcome.natural,
        "synthetic": outcome.synthetic,
        "sentences": sentences(outcome),
        "classes": dict(outcome.names),
        "sets": [
            {
                "name": one.images.name,
                "modality": one.images.modality,
                "n": len(one.images),
                "classes": len(set(one.images.class_keys)),
                "description": one.description,
            }
            | ({"path": one.path} if one.path else {})
            for one in sets
        ],
        "measurements": measurements,
        "baseline": baseline,
        "findings": [finding_json(finding, outcome.names) for finding in outcome.findings],
        **facts,
    }


def finding_json(finding: Finding, names: Mapping[str, str]) -> dict[str, Any]:
    """A finding with its class's name; a severity that is not defined is null, and the evidence says why."""
    plain = {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in asdict(finding).items()
    }
    return {"class_key": finding.class_key, "name": names.get(finding.class_key, finding.class_key), **plain}


def write_findings_by_set(path: Path, found: Mapping[str, Sequence[Finding]]) -> None:
    """Write the findings of every set, with the column ``set`` before those of ``findings.parquet``."""
    schema = tables.FINDINGS.insert(0, pa.field("set", pa.string()))
    rows = ({"set": name, **asdict(finding)} for name, findings in found.items() for finding in findings)
    tables.write_table(path, rows, schema)


def skipped_rows(images: EmbeddingSet) -> tuple[list[dict[str, Any]], list[str]]:
    """The images of a set that have no embedding, the first `SKIPPED_SHOWN` of them, and a warning if there are any."""
    rows = [
        {"set": images.name, "image_key": row.image_key, "class_key": row.class_key, "reason": row.reason}
        for row in images.skipped[:SKIPPED_SHOWN]
    ]
    if not rows:
        return [], []
    reason, times = Counter(row.reason for row in images.skipped).most_common(1)[0]
    total = len(images.skipped)
    noun = "image was" if total == 1 else "images were"
    most = f", {times} of them: {reason}" if times < total else f": {reason}"
    return rows, [f"{images.name}: {total} {noun} left out{most}"]


def left_out_rows(
    left_out: Mapping[str, tuple[str, str]], measured: Iterable[Measurement]
) -> tuple[list[Measurement], list[str]]:
    """A row of NaN with the reason for each metric of a class that took no part, and a warning per class."""
    metrics = {(row.metric, row.reference, row.query): None for row in measured}
    nan = float("nan")
    rows = [
        Measurement(metric, reference, query, key, nan, reason=why)
        for key, (_, why) in left_out.items()
        for metric, reference, query in metrics
    ]
    return rows, [f"class '{name}' was left out: {why}" for name, why in left_out.values()]


def _version() -> str:
    try:
        return version("synthgap")
    except PackageNotFoundError:
        return "unknown"
