"""Training: a classifier learns from image sets, synthetic, natural or both."""

from synthgap.stages.training.examples import ImageShare
from synthgap.stages.training.training import check_training, step_count, train

__all__ = ["ImageShare", "check_training", "step_count", "train"]
