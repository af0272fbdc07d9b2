"""What clarified prompts win, in pairs of images that share their noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from synthgap import metrics
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import MeasureSpec
from synthgap.stages.triage.labels import Seen, share

Row = dict[str, Any]


def measure_gain(
    images: Mapping[str, Sequence[str]], before: Seen, after: Seen, spec: MeasureSpec, permutations: int
) -> Row:
    """Compare what a judge sees before and after, image by image.

    Args:
        images: Keys of the images of each label; those that were judged before and after are pairs.
        before: What is seen on images by the old prompts.
        after: The same by the new ones, under the same keys.
        spec: Resamples and seed.
        permutations: Sign flips of the paired tests.

    Returns:
        ``overall`` and ``per_class`` (by key): accuracy ``before`` and ``after``, ``gain`` with its bootstrap interval over
        the pairs, ``p_value``, and per label ``p_holm``, which holds for all labels together. NaN below two pairs.
    """
    pairs = {
        label: [key for key in keys if key in before.right and key in after.right] for label, keys in images.items()
    }
    rows = {label: _compare(keys, before, after, spec, permutations) for label, keys in pairs.items()}
    known = [row for row in rows.values() if row["gain"]["n"] >= 2]
    corrected = metrics.holm(torch.tensor([row["p_value"] for row in known], dtype=torch.float64)) if known else ()
    for row, p in zip(known, corrected, strict=True):
        row["p_holm"] = float(p)
    whole = _compare([key for keys in pairs.values() for key in keys], before, after, spec, permutations)
    return {"judge": before.judge, "overall": whole, "per_class": rows}


def _compare(keys: Sequence[str], before: Seen, after: Seen, spec: MeasureSpec, permutations: int) -> Row:
    old, new = ([seen.right[key] for key in keys] for seen in (before, after))
    now, then = (torch.tensor(values, dtype=torch.float64) for values in (new, old))
    seed, n = derived_seed(spec.seed, "triage"), len(keys)
    test = metrics.paired_test(now, then, permutations=permutations, seed=seed)
    low = high = float("nan")
    if n >= 2:
        labels = torch.zeros(n, dtype=torch.long)
        low, high = metrics.bootstrap_interval(now - then, labels, resamples=spec.bootstrap, seed=seed)
    return {
        "before": share(sum(old), n),
        "after": share(sum(new), n),
        "gain": {"value": test.statistic, "ci_low": low, "ci_high": high, "n": n},
        "p_value": test.p_value,
    }
