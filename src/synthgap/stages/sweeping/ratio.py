"""Diversity over that of natural images: the ratio of centroid distances, corrected for the number of images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from synthgap.core.records import OVERALL, Measurement

METRIC = "diversity"
NAN = float("nan")


def diversity_rows(synthetic: Sequence[Measurement], natural: Sequence[Measurement]) -> list[Measurement]:
    """Rows ``diversity`` of a synthetic set, overall and per class.

    A centroid taken from n images lies nearer to them than the true one by (n - 1) / n, and so a centroid distance,
    which is squared, is smaller by that squared; both sides are corrected. The ends combine those of the two
    distances on the logarithm, by adding the squares of their distances from the value.

    Args:
        synthetic: Rows of the set, of which those of ``centroid_distance`` are read.
        natural: The same of the natural images, of the same classes.

    Returns:
        Rows whose ``reference`` is the natural set; NaN with the reason where either side has no figure.
    """
    below = {row.class_key: row for row in natural if row.metric == "centroid_distance"}
    above = {row.class_key: row for row in synthetic if row.metric == "centroid_distance"}
    known = [key for key in above if key != OVERALL and key in below and _defined(above[key], below[key])]
    rows = [_ratio(row, below[key]) for key, row in above.items() if key != OVERALL and key in below]
    if OVERALL not in above or OVERALL not in below:
        return rows
    whole = above[OVERALL], below[OVERALL]
    names = ("diversity", whole[1].query, whole[0].query, OVERALL)
    if not known:
        return [Measurement(*names, NAN, n=whole[0].n, reason="no class has a diversity of its own"), *rows]
    value = _mean(above, known) / _mean(below, known)
    return [Measurement(*names, value, *_ends(value, *whole), n=whole[0].n), *rows]


def _mean(rows: Mapping[str, Measurement], keys: Sequence[str]) -> float:
    return sum(_corrected(rows[key]) for key in keys) / len(keys)


def _corrected(row: Measurement) -> float:
    return row.value * (row.n / (row.n - 1)) ** 2


def _defined(synthetic: Measurement, natural: Measurement) -> bool:
    return min(synthetic.n, natural.n) >= 2 and math.isfinite(synthetic.value) and natural.value > 0


def _ratio(synthetic: Measurement, natural: Measurement) -> Measurement:
    names = (METRIC, natural.query, synthetic.query, synthetic.class_key)
    if not _defined(synthetic, natural):
        alike = "all natural images of the class are alike" if natural.value == 0 else "too few images"
        return Measurement(*names, NAN, n=synthetic.n, reason=synthetic.reason or natural.reason or alike)
    value = _corrected(synthetic) / _corrected(natural)
    reason = synthetic.reason or natural.reason
    return Measurement(*names, value, *_ends(value, synthetic, natural), n=synthetic.n, reason=reason)


def _ends(value: float, synthetic: Measurement, natural: Measurement) -> tuple[float, float]:
    down = math.hypot(_log(synthetic.value, synthetic.ci_low), _log(natural.ci_high, natural.value))
    up = math.hypot(_log(synthetic.ci_high, synthetic.value), _log(natural.value, natural.ci_low))
    return value * math.exp(-down), value * math.exp(up)


def _log(upper: float, lower: float) -> float:
    """Logarithm of a ratio: infinite where the lower end is 0 or below, NaN where an end is not known."""
    if math.isnan(upper) or math.isnan(lower):
        return NAN
    if upper <= 0:
        return 0.0  # all images are one: there is nothing below
    return math.log(upper / lower) if lower > 0 else math.inf
