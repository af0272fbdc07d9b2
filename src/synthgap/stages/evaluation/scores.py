"""Figures of predictions: top-k per image, and how far confidence is from accuracy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from synthgap.metrics import bootstrap_classes, bootstrap_interval, bootstrap_statistic, expected_calibration_error

TOP_5_CLASSES = 6
"""With fewer classes every prediction is among the first five."""


def within_top(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether each image's class is among the k highest logits, (n,) float64 of 0 and 1.

    A logit that equals the class's own ranks before it, so a model that says the same of all classes is never right
    by the order of the classes; nor is one whose logits are no numbers.
    """
    own = logits.gather(1, labels.view(-1, 1))
    return ((~(logits < own)).sum(1) <= k).double()


Hits = dict[str, Tensor]
"""Whether each image's class is among the first, (n,) float64 of 0 and 1, by ``top_1`` and ``top_5``."""


def hits(logits: Tensor, labels: Tensor) -> Hits:
    """Top-1 and, from six classes on, top-5 of each image; ``logits`` are (n, c) of the common classes only."""
    depths = (1, 5) if logits.shape[1] >= TOP_5_CLASSES else (1,)
    return {f"top_{k}": within_top(logits, labels, k) for k in depths}


def mean_over_sets(right: Sequence[Hits], groups: Sequence[str], *, resamples: int, seed: int) -> dict[str, Any]:
    """Mean of each figure that all sets have, over groups of sets of equal weight, with a 95 % interval.

    Sets of one group (variants of one test set) are averaged first. The interval is of other images of these sets:
    each set is resampled on its own, over all its classes alike.

    Args:
        right: hits on each set.
        groups: which sets are one.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    sizes = Counter(groups)
    weights = [1 / (sizes[group] * len(sizes)) for group in groups]
    found = {}
    for name in (name for name in right[0] if all(name in one for one in right)):

        def mean(*samples: Tensor) -> list[float]:
            return [sum(weight * float(one.mean()) for weight, one in zip(weights, samples, strict=True))]

        columns = [one[name].unsqueeze(1) for one in right]
        low, high = bootstrap_statistic(mean, columns, resamples=resamples, seed=seed)
        found[name] = _number(
            mean(*columns)[0], float(low.clamp_min(0.0)[0]), float(high.clamp_max(1.0)[0]), len(sizes)
        )
    return found


def figures(
    logits: Tensor, labels: Tensor, names: Mapping[str, str], *, bins: int, resamples: int, seed: int
) -> dict[str, Any]:
    """Top-1, top-5 (from six classes on) and calibration error, with 95 % intervals stratified by class.

    Args:
        logits: (n, c) of the common classes only.
        labels: (n,) in [0, c).
        names: what each class is shown as, in the order of the logits.
        bins: of the calibration error.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    found: dict[str, Any] = {}
    for name, right in hits(logits, labels).items():
        found[name] = _shares(right, labels, names, resamples, seed)
    confidence, predicted = logits.double().softmax(1).max(1)
    pairs = torch.stack([confidence, (predicted == labels).double()], dim=1)

    def error(sample: Tensor) -> list[float]:
        return [expected_calibration_error(sample[:, 0], sample[:, 1], bins=bins)]

    low, high = bootstrap_statistic(error, [pairs], resamples=resamples, seed=seed)
    overall = _number(error(pairs)[0], float(low.clamp_min(0.0)[0]), float(high[0]), len(labels))
    return found | {"expected_calibration_error": {"overall": overall}}


def _shares(right: Tensor, labels: Tensor, names: Mapping[str, str], resamples: int, seed: int) -> dict[str, Any]:
    low, high = bootstrap_interval(right, labels, resamples=resamples, seed=seed)
    classes = bootstrap_classes(right, labels, len(names), resamples=resamples, seed=seed)
    per_class = {}
    for number, name in enumerate(names.values()):
        own = right[labels == number]
        value = float(own.mean()) if len(own) else float("nan")
        per_class[name] = _number(value, float(classes.low[number]), float(classes.high[number]), len(own))
    return {"overall": _number(float(right.mean()), low, high, len(right)), "per_class": per_class}


def _number(value: float, low: float, high: float, n: int) -> dict[str, Any]:
    ends = {"value": value, "ci_low": low, "ci_high": high}
    reason = {"reason": "no image of this class"} if n == 0 else {}
    return {name: number if math.isfinite(number) else None for name, number in ends.items()} | {"n": n} | reason
