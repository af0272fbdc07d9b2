"""Means per class: empty and unscored classes, against a dictionary of lists."""

from __future__ import annotations

import statistics
from types import SimpleNamespace

import pytest
import torch


def test_against_lists(metrics: SimpleNamespace) -> None:
    values = torch.rand(200, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(7, (200,), generator=torch.Generator().manual_seed(1))
    groups: dict[int, list[float]] = {}
    for value, label in zip(values.tolist(), labels.tolist(), strict=True):
        groups.setdefault(label, []).append(value)
    for label, mean in enumerate(metrics.class_means(values, labels, 7).tolist()):
        assert mean == pytest.approx(statistics.fmean(groups[label]))


def test_what_was_not_scored_is_left_out(metrics: SimpleNamespace) -> None:
    values = torch.tensor([1.0, torch.nan, torch.nan])
    means = metrics.class_means(values, torch.tensor([0, 0, 1]), 3)
    assert means[0] == 1
    assert means[1:].isnan().all()


def test_no_image_at_all(metrics: SimpleNamespace) -> None:
    assert metrics.class_means(torch.empty(0), torch.empty(0, dtype=torch.long), 2).isnan().all()
