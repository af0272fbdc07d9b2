"""What a refinement came to, as JSON and as the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from synthgap.core.records import OVERALL
from synthgap.pipeline.refine_judging import Tried
from synthgap.stages.before_after import Difference, as_json
from synthgap.stages.generation import Adjustment

CERTAIN = 0.05
"""p-value below which a loss of the whole set is warned of."""
COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("half", "class_key", "name", "cause", "change")),
        ("round", pa.int64()),
        ("kept", pa.bool_()),
        ("metric", pa.string()),
        *((name, pa.float64()) for name in ("before", "after", "difference", "ci_low", "ci_high", "p_value")),
        ("n", pa.int64()),
        ("natural", pa.float64()),
    ]
)


def table_row(half: str, row: Difference, names: Mapping[str, str], one: Tried | None = None) -> dict[str, Any]:
    """One figure of a class that was tried, or of the whole set, as a row of `COLUMNS`."""
    told = {"cause": "", "change": "", "round": 0, "kept": True}
    if one is not None:
        cause = one.finding.cause if one.finding else ""
        told = {"cause": cause, "change": _words(one.adjustment), "round": one.round, "kept": one.kept}
    return {"half": half, "name": names.get(row.class_key, row.class_key), **told, **as_json(row)}


def tried_json(one: Tried) -> dict[str, Any]:
    """One class drawn otherwise, with its figures by half."""
    return {
        "class_key": one.class_key,
        "name": one.name,
        "round": one.round,
        "cause": one.finding.cause if one.finding else "",
        "change": one.adjustment.changes,
        "was": dict(one.adjustment.was),
        "reason": one.adjustment.reason,
        "kept": one.kept,
        "outcome": one.outcome,
        **{half: [as_json(row) for row in rows] for half, rows in one.rows.items()},
    }


def doubts(classifier: Sequence[Difference]) -> list[str]:
    """What speaks against the refined set as a whole, though each class on its own did not get worse."""
    whole = [row for row in classifier if row.class_key == OVERALL and row.difference < 0 and row.p_value < CERTAIN]
    return [
        f"a linear classifier trained on the refined set is right less often ({row.before:.3f} before, {row.after:.3f} "
        f"after, p {row.p_value:.2g}, steering half): to train on, keep the old set"
        for row in whole
    ]


def _words(adjustment: Adjustment) -> str:
    return ", ".join(f"{name} {value}" for name, value in adjustment.changes.items())
