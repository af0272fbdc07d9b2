"""Evaluation: a trained classifier scored on an image set."""

from synthgap.stages.evaluation.evaluation import evaluate

__all__ = ["evaluate"]
