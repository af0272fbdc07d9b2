"""How varied the images of a class are: the Vendi score, and the share of natural variance that is covered."""

from __future__ import annotations

import math

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.within import by_class, few, members, per_class


def measure_vendi(pair: Pair) -> list[Measurement]:
    """Vendi score of the query set's classes; the reference set has no part in it."""
    least = pair.spec.min_per_class
    order = pair.spec.vendi_order
    found = [(index, (few(pair, b),)) for index, (_, b) in enumerate(members(pair)) if len(b) >= least]
    return per_class(
        pair, ["vendi_score"], lambda e: [metrics.vendi_score(e, q=order)], found, (0, least), (1.0, math.inf)
    )


def measure_covered(pair: Pair) -> list[Measurement]:
    """Share of the reference set's variance, class by class, that the query set has too; on unit vectors."""
    found = [(index, (a, b)) for index, a, b in by_class(pair)]
    return per_class(
        pair,
        ["covered_share"],
        lambda a, b: [metrics.covered_share(natural=a, synthetic=b)],
        found,
        pair.enough,
        (0.0, 1.0),
    )
