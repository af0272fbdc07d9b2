"""Training: a classifier learns from image sets, synthetic, natural or both."""

from synthgap.stages.training.examples import ImageShare
from synthgap.stages.training.training import step_count, train

__all__ = ["ImageShare", "step_count", "train"]
