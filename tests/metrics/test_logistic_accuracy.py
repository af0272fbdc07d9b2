"""Logistic accuracy: the probe of unit vectors, missing classes."""

from __future__ import annotations

from types import SimpleNamespace

import torch


def test_it_is_the_probe_of_unit_vectors(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, own) = blobs(5, 30, spread=2.5), blobs(5, 40, draw=1, spread=2.5)
    found = metrics.logistic_accuracy(reference, labels, query, own, 5, seed=0)
    probe = metrics.linear_probe(metrics.uvec(reference), labels, metrics.uvec(query), 5, seed=0)
    assert found.tolist() == (probe == own).double().tolist()
    assert 0.3 < found.mean() < 1
    lengths = torch.rand(len(reference), 1, generator=torch.Generator().manual_seed(0)) + 0.1
    assert torch.equal(metrics.logistic_accuracy(reference * lengths, labels, query * 9, own, 5, seed=0), found)


def test_a_class_without_references_is_not_scored(metrics: SimpleNamespace, blobs) -> None:
    (reference, labels), (query, own) = blobs(3, 20, spread=0.4), blobs(3, 10, draw=1, spread=0.4)
    correct = metrics.logistic_accuracy(reference[labels > 0], labels[labels > 0], query, own, 3, seed=0)
    assert correct.isnan().tolist() == (own == 0).tolist()
    assert correct[own > 0].all()
