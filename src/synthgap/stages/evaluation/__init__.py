"""Evaluation: a trained classifier scored on image sets, ImageNet's five test sets among them."""

from synthgap.stages.evaluation.evaluation import evaluate, evaluate_sets
from synthgap.stages.evaluation.opening import ScoredSet, open_scored, with_name

__all__ = ["ScoredSet", "evaluate", "evaluate_sets", "open_scored", "with_name"]
