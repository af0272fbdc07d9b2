"""Figures of predictions, and the averages over sets of S Table 3."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synthgap.metrics import bootstrap_classes, bootstrap_interval, bootstrap_statistic, class_means


@dataclass(frozen=True)
class Scored:
    """One network on one set."""

    result: dict[str, Any]
    """For JSON."""
    right: Tensor
    """(m,) share of the repeats in which each test image was named rightly."""


def figures(result: dict[str, Any], right: Tensor, truth: Sequence[str], *, resamples: int, seed: int) -> Scored:
    """Add top-1 and mean per-class accuracy to a result.

    The value is the mean over the repeats; the 95 % interval is a bootstrap over the test images within their classes.
    It speaks of other test images; ``over_repeats`` holds the deviation between validation splits and trials.

    Args:
        result: what is told besides.
        right: (repeats, m) 1 where a test image was named rightly, else 0.
        truth: class key of each test image.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    present = {key: number for number, key in enumerate(sorted(set(truth)))}
    labels = torch.tensor([present[key] for key in truth])
    mean = right.mean(dim=0)
    low, high = bootstrap_interval(mean, labels, resamples=resamples, seed=seed)
    classes = bootstrap_classes(mean, labels, len(present), resamples=resamples, seed=seed)
    per_class = float(class_means(mean, labels, len(present)).mean())
    each = right.mean(dim=1)
    found = {
        "accuracy": number(float(mean.mean()), low, high, len(truth)),
        "mean_per_class": number(per_class, *classes.overall, len(truth)),
        "over_repeats": float(each.std()) if len(each) > 1 else None,
    }
    return Scored(result | found, mean)


def averages(scored: Sequence[Scored], *, resamples: int, seed: int) -> dict[str, Any]:
    """Mean accuracy of one network over all sets (S Table 3, ``Avg.``) and over each group of S's sets.

    The plain mean of the sets' accuracies; the interval resamples the test images of each set. ``n`` counts sets.
    """
    groups = {"all": list(scored)}
    for one in scored:
        if one.result["group"]:
            groups.setdefault(one.result["group"], []).append(one)
    return {name: _average(members, resamples, seed) for name, members in groups.items()}


def _average(members: Sequence[Scored], resamples: int, seed: int) -> dict[str, Any]:
    def mean(*samples: Tensor) -> list[float]:
        return [sum(float(sample.mean()) for sample in samples) / len(samples)]

    samples = [one.right.unsqueeze(1) for one in members]
    low, high = bootstrap_statistic(mean, samples, resamples=resamples, seed=seed)
    return number(mean(*samples)[0], float(low[0]), float(high[0]), len(members))


def number(value: float, low: float, high: float, n: int) -> dict[str, Any]:
    """A figure as JSON holds it; what is not defined is None."""
    ends = {"value": value, "ci_low": low, "ci_high": high}
    return {name: one if math.isfinite(one) else None for name, one in ends.items()} | {"n": n}
