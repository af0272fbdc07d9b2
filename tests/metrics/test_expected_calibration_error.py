"""Calibration error: closed forms, a calibrated classifier, the edges of the bins, wrong values."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binned_statistic

from synthgap.metrics import expected_calibration_error


def test_always_sure_errs_by_the_share_of_errors(metrics: SimpleNamespace) -> None:
    correct = torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert metrics.expected_calibration_error(torch.ones(4), correct, bins=15) == pytest.approx(0.25)


def test_a_calibrated_classifier_errs_by_chance_only(metrics: SimpleNamespace) -> None:
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(200_000, generator=generator)
    correct = (torch.rand(200_000, generator=generator) < confidence).double()
    assert metrics.expected_calibration_error(confidence, correct, bins=15) < 0.005
    assert metrics.expected_calibration_error(confidence.sqrt(), correct, bins=15) == pytest.approx(1 / 6, abs=0.01)


def test_it_is_the_gap_of_scipys_bins(metrics: SimpleNamespace) -> None:
    generator = torch.Generator().manual_seed(1)
    confidence, correct = torch.rand(500, generator=generator), torch.rand(500, generator=generator).round()
    edges = np.linspace(0, 1, 11)
    means = [binned_statistic(confidence, values, "mean", edges).statistic for values in (confidence, correct)]
    sizes = np.histogram(confidence, edges)[0]
    expected = np.nansum(np.abs(means[0] - means[1]) * sizes) / 500
    assert metrics.expected_calibration_error(confidence, correct, bins=10) == pytest.approx(expected, rel=1e-6)


def test_bins_are_closed_above(metrics: SimpleNamespace) -> None:
    """0.5 and 0.4 share the bin (0, 0.5] of two, so their gaps cancel out; 0.6 is in the other."""
    found = metrics.expected_calibration_error(torch.tensor([0.5, 0.4]).double(), torch.tensor([0.9, 0.0]), bins=2)
    assert found == pytest.approx(0.0, abs=1e-7)
    found = metrics.expected_calibration_error(torch.tensor([0.6, 0.4]).double(), torch.tensor([1.0, 0.0]), bins=2)
    assert found == pytest.approx(0.4)
    assert metrics.expected_calibration_error(torch.tensor([0.0]), torch.tensor([0.0]), bins=3) == 0


def test_calibration_of_known_answers() -> None:
    right = torch.tensor([1.0] * 8 + [0.0] * 2)
    assert expected_calibration_error(torch.full((10,), 0.8), right, bins=15) == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(torch.full((10,), 1.0), right, bins=15) == pytest.approx(0.2)
    # two bins that are wrong in opposite ways do not make up for each other; one bin does
    confidence, mixed = torch.tensor([0.95, 0.95, 0.55, 0.55]), torch.tensor([0.0, 1.0, 1.0, 1.0])
    assert expected_calibration_error(confidence, mixed, bins=10) == pytest.approx(0.45)
    assert expected_calibration_error(confidence, mixed, bins=1) == pytest.approx(0.0, abs=1e-6)


@given(st.integers(0, 1000))
def test_calibration_does_not_depend_on_the_order(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    confidence, right = torch.rand(40, generator=generator), torch.rand(40, generator=generator).round()
    places = torch.randperm(40, generator=generator)
    found = expected_calibration_error(confidence, right, bins=15)
    assert found == pytest.approx(expected_calibration_error(confidence[places], right[places], bins=15), abs=1e-9)
    assert 0 <= found <= 1


def test_wrong_values(metrics: SimpleNamespace) -> None:
    assert math.isnan(metrics.expected_calibration_error(torch.empty(0), torch.empty(0), bins=3))
    with pytest.raises(ValueError, match="confidence: 1 of 2 values are outside"):
        metrics.expected_calibration_error(torch.tensor([1.2, 0.0]), torch.ones(2), bins=3)
    with pytest.raises(ValueError, match="correct: 1 of 2 values are outside"):
        metrics.expected_calibration_error(torch.ones(2), torch.tensor([torch.nan, 0.0]), bins=3)
    with pytest.raises(ValueError, match="correct: found 3 values for 2 confidences"):
        expected_calibration_error(torch.ones(2), torch.ones(3), bins=3)
