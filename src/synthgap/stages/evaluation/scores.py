"""Figures of predictions: top-k per image, and how far confidence is from accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from synthgap.metrics import bootstrap_classes, bootstrap_interval, bootstrap_statistic, expected_calibration_error

TOP_5_CLASSES = 6
"""With fewer classes every prediction is among the first five."""


def within_top(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether each image's class is among the k highest logits, (n,) float64 of 0 and 1.

    A logit that equals the class's own ranks before it, so a model that says the same of all classes is never right
    by the order of the classes.
    """
    own = logits.gather(1, labels.view(-1, 1))
    return ((logits >= own).sum(1) <= k).double()


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
    for k in (1, 5) if len(names) >= TOP_5_CLASSES else (1,):
        found[f"top_{k}"] = _shares(within_top(logits, labels, k), labels, names, resamples, seed)
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
