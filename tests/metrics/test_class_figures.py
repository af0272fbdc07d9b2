"""Figures per class: the class alone, classes that a set lacks, wrong labels."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


def test_a_class_is_measured_alone(metrics: SimpleNamespace, blobs) -> None:
    (natural, own), (synthetic, drawn) = blobs(3, 20), blobs(3, 12, draw=1)
    synthetic, drawn = synthetic[drawn != 1], drawn[drawn != 1]  # a set without class 1

    def both(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
        return metrics.coverage(natural=a, synthetic=b, k=3), metrics.vendi_score(b)

    found = metrics.class_figures(both, [(natural, own), (synthetic, drawn)], 4)
    assert found.shape == (4, 2)
    assert found[[1, 3]].isnan().all()
    for key in (0, 2):
        assert found[key].tolist() == list(both(natural[own == key], synthetic[drawn == key]))


def test_wrong_arguments(metrics: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="samples: found none"):
        metrics.class_figures(lambda: [], [], 1)
    with pytest.raises(ValueError, match="labels: found 2 labels for 3 rows"):
        metrics.class_figures(lambda e: [0.0], [(torch.eye(3), torch.tensor([0, 0]))], 1)
