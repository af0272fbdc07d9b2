"""Measurement: every measure of one set of embeddings against another, with n, interval and reason (design section 5)."""

from __future__ import annotations

from synthgap.stages.measurement.as_json import figure_json, measurements_json
from synthgap.stages.measurement.measuring import measure
from synthgap.stages.measurement.pair import check_comparable
from synthgap.stages.measurement.scores import measure_attribution
from synthgap.stages.measurement.study import measure_baseline, measure_study
from synthgap.stages.measurement.trials import TrialSet, measure_trials, trial_table

__all__ = [
    "TrialSet",
    "check_comparable",
    "figure_json",
    "measure",
    "measure_attribution",
    "measure_baseline",
    "measure_study",
    "measure_trials",
    "measurements_json",
    "trial_table",
]
