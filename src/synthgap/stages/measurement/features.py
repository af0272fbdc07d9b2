"""Feature analysis of the query set's embeddings (S App. B.1): sparsity, spread, redundancy, coding length."""

from __future__ import annotations

import torch

from synthgap import metrics
from synthgap.core.records import Measurement
from synthgap.stages.measurement.pair import NAN, Intervals, Pair
from synthgap.stages.measurement.within import few


def measure_features(pair: Pair) -> list[Measurement]:
    """Sparsity and intra-class distance per class and of the set, redundancy and coding length of the set."""
    e, labels, count = pair.b, pair.query_labels, len(pair.order)
    sparse = metrics.sparsity(e)
    least = (0, pair.spec.min_per_class)
    intervals = pair.intervals(sparse, labels)
    apart = metrics.intra_class_distance(e, labels, count)
    nothing = Intervals((NAN, NAN), torch.full_like(apart, NAN), torch.full_like(apart, NAN))
    rows = [
        *pair.table("sparsity", float(sparse.mean()), metrics.class_means(sparse, labels, count), intervals, least),
        *pair.table("intra_class_distance", float(apart.nanmean()), apart, nothing, least),
    ]
    for name, statistic in (("redundancy", metrics.redundancy), ("coding_length", metrics.coding_length)):
        low, high = metrics.jackknife_interval(
            lambda x, of=statistic: [of(x)], [few(pair, e)], seed=pair.seed("jackknife")
        )
        interval = (float(low), float(high)) if pair.spec.bootstrap else (NAN, NAN)
        rows.append(
            pair.overall(name, statistic(few(pair, e)), interval, len(few(pair, e)), "the set needs two images")
        )
    return rows
