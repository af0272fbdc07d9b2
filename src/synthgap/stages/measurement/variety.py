"""How varied the images of a class are: the Vendi score, and the share of natural variance that is covered."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.metrics.covered_share import stacked_covered_share
from synthgap.metrics.jackknife import jackknife_stack
from synthgap.metrics.stacks import Stacks
from synthgap.metrics.vendi_score import stacked_vendi_score
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.within import class_by_class, few, members, per_class, with_jackknife


def measure_vendi(pair: Pair) -> list[Measurement]:
    """Vendi score of the query set's classes; the reference set has no part in it."""
    least, order = pair.spec.min_per_class, pair.spec.vendi_order
    stacks = Stacks([(pair.b, pair.query_labels)], len(pair.order), least=least, scaled=True)

    def score(e: Tensor) -> list[float]:
        return [metrics.vendi_score(e, q=order)]

    found = class_by_class(
        pair,
        stacks,
        lambda stack: jackknife_stack(partial(stacked_vendi_score, q=order), stack, seed=pair.jackknife_seed),
        lambda index: with_jackknife(pair, score, [few(pair, pair.b[stacks.members[0][index]])]),
    )
    return per_class(pair, ["vendi_score"], found, (0, least), (1.0, math.inf))


def measure_covered(pair: Pair) -> list[Measurement]:
    """Share of the reference set's variance, class by class, that the query set has too; on unit vectors."""

    def share(a: Tensor, b: Tensor) -> list[float]:
        return [metrics.covered_share(natural=a, synthetic=b)]

    found = class_by_class(
        pair,
        pair.stacks,
        lambda stack: jackknife_stack(stacked_covered_share, stack, seed=pair.jackknife_seed),
        lambda index: with_jackknife(pair, share, [few(pair, e) for e in members(pair, index, pair.units)]),
    )
    return per_class(pair, ["covered_share"], found, pair.enough, (0.0, 1.0))
