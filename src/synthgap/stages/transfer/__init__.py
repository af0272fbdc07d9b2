"""Transfer: a linear classifier on a frozen network's features, tuned on validation images, scored once on test images."""

from synthgap.stages.transfer.known import KNOWN_SETS, KnownSet
from synthgap.stages.transfer.scoring import TransferTask, transfer
from synthgap.stages.transfer.summary import averages

__all__ = ["KNOWN_SETS", "KnownSet", "TransferTask", "averages", "transfer"]
