"""One figure of several networks that differ by their seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scipy.stats import t as student


def over_seeds(found: Sequence[dict[str, Any]], most: float = math.inf) -> dict[str, Any]:
    """Mean over seeds, with a 95 % interval for other seeds and other test images.

    Two chances are added as variances are: that of training (Student's t over the seeds) and that of the test images (the
    mean of the networks' own intervals, which hold the same images and so do not shrink with the seeds). One network
    alone has only the second.

    Args:
        found: ``value``, ``ci_low``, ``ci_high`` and ``n`` of each seed, in order; not below 0.
        most: what the figure cannot exceed, such as 1 for a share.

    Returns:
        ``value``, ``ci_low``, ``ci_high``, ``n`` (test images) and ``seeds`` (the single values); ends of None where a
        network has none, a value of None where one has none.

    >>> over_seeds([{"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 100}])["ci_low"]
    0.4
    """
    values = [one["value"] for one in found]
    base = {"n": min(one["n"] for one in found), "seeds": values}
    if any(value is None for value in values):
        return {"value": None, "ci_low": None, "ci_high": None} | base
    mean = math.fsum(values) / len(values)
    if any(one["ci_low"] is None or one["ci_high"] is None for one in found):
        return {"value": mean, "ci_low": None, "ci_high": None} | base
    chance = _half_width(values)
    below = math.hypot(chance, math.fsum(one["value"] - one["ci_low"] for one in found) / len(found))
    above = math.hypot(chance, math.fsum(one["ci_high"] - one["value"] for one in found) / len(found))
    return {"value": mean, "ci_low": max(0.0, mean - below), "ci_high": min(most, mean + above)} | base


def _half_width(values: Sequence[float]) -> float:
    count = len(values)
    if count < 2:
        return 0.0
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return float(student.ppf(0.975, count - 1)) * spread / math.sqrt(count)
