"""What the networks of one training set score on one test set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from synthgap.core.records import OVERALL
from synthgap.stages.proof.seeds import over_seeds

STANDINGS = pa.schema(
    [(name, pa.string()) for name in ("metric", "train_set", "test_set", "class_key")]
    + [("images", pa.int64())]
    + [(name, pa.float64()) for name in ("value", "ci_low", "ci_high")]
    + [(name, pa.int64()) for name in ("n", "seeds")]
)
"""A row per figure, training set and its size, test set and class (``overall`` for all): images learned from, value,
95 % interval, test images, networks."""


SHARES = ("top_1", "top_5", "expected_calibration_error", "sparsity", "redundancy")
"""Figures that cannot exceed 1."""


@dataclass(frozen=True)
class Standing:
    """The figures of the networks that learned from one set, on one test set."""

    trained_on: str
    images: int
    """Learned from."""
    tested_on: str
    figures: dict[str, dict[str, dict[str, Any]]]
    """Measure, then ``overall`` or the name of a class, then the figure over the seeds."""


def standing(trained_on: str, images: int, tested_on: str, scores: Sequence[dict[str, Any]]) -> Standing:
    """Put the evaluations of several seeds together.

    Args:
        trained_on: name of the training set.
        images: how many were learned from.
        tested_on: name of the test set.
        scores: what `evaluate` found for each seed, on the same images.
    """
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for metric in (name for name, block in scores[0].items() if isinstance(block, dict) and OVERALL in block):
        blocks = [{OVERALL: one[metric][OVERALL], **one[metric].get("per_class", {})} for one in scores]
        most = 1.0 if metric in SHARES else math.inf
        figures[metric] = {name: over_seeds([block[name] for block in blocks], most) for name in blocks[0]}
    return Standing(trained_on, images, tested_on, figures)


def standing_rows(standings: Sequence[Standing]) -> Iterator[dict[str, Any]]:
    """Rows of the table."""
    for one in standings:
        place = {"train_set": one.trained_on, "images": one.images, "test_set": one.tested_on}
        for metric, classes in one.figures.items():
            for key, figure in classes.items():
                numbers = {name: figure[name] for name in ("value", "ci_low", "ci_high", "n")}
                yield place | numbers | {"metric": metric, "class_key": key, "seeds": len(figure["seeds"])}
