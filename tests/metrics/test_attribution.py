"""Attribution: the paper's own figures, unscored queries, planted faults."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch


def hits(share: float, n: int = 1000) -> torch.Tensor:
    return (torch.arange(n) < round(share * n)).double()


def test_the_papers_own_split(metrics: SimpleNamespace) -> None:
    # M Table 3: experiment 17 has 74.9 %, experiment 15 has 82.0 %
    found = metrics.attribution(hits(0.749), hits(0.820))
    assert found == pytest.approx((0.251, 0.180, 0.071))


def test_only_queries_scored_in_both_count(metrics: SimpleNamespace) -> None:
    prompts = torch.tensor([1.0, torch.nan, 0.0, 0.0])
    own = torch.tensor([1.0, 0.0, 1.0, torch.nan])
    assert metrics.attribution(prompts, own) == pytest.approx((0.5, 0.0, 0.5))
    found = metrics.class_attribution(prompts, own, torch.tensor([0, 0, 1, 1]), 3)
    assert found.total[:2].tolist() == [0, 1]
    assert found.diversity[:2].tolist() == [0, 0]
    assert torch.stack(found)[:, 2].isnan().all()


def test_nothing_scored(metrics: SimpleNamespace) -> None:
    assert all(math.isnan(part) for part in metrics.attribution(torch.tensor([torch.nan]), torch.tensor([1.0])))
    assert all(math.isnan(part) for part in metrics.attribution(torch.empty(0), torch.empty(0)))


@pytest.mark.parametrize("fault", ["shift", "diversity"])
def test_a_planted_fault_is_put_down_to_its_cause(metrics: SimpleNamespace, fault: str) -> None:
    """Three classes on three axes: wrong prompts are a shift, wide images are diversity."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(200)
    prompts = torch.eye(3, 8)
    spread = 0.9 if fault == "diversity" else 0.1
    train, query = (torch.eye(3, 8)[labels] + spread * torch.randn(600, 8, generator=generator) for _ in range(2))
    if fault == "shift":
        prompts = prompts.roll(1, dims=0)
    by_prompts = metrics.centroid_accuracy(prompts, torch.arange(3), query, labels, 3, 0)
    by_own = metrics.centroid_accuracy(train, labels, query, labels, 3, 0)
    found = metrics.attribution(by_prompts, by_own)
    larger, smaller = (found.shift, found.diversity) if fault == "shift" else (found.diversity, found.shift)
    assert larger > 0.2
    assert abs(smaller) < 0.1
