"""Triage: which labels draw something else than they mean, put up for review worst first (M reason 1)."""

from synthgap.stages.triage.gain import measure_gain
from synthgap.stages.triage.labels import Label, Seen, rank_labels
from synthgap.stages.triage.page import write_page
from synthgap.stages.triage.sample import first_images
from synthgap.stages.triage.seeing import see_by_centroids
from synthgap.stages.triage.worklist import Entry, read_decisions, worklist, write_worklist

__all__ = [
    "Entry",
    "Label",
    "Seen",
    "first_images",
    "measure_gain",
    "rank_labels",
    "read_decisions",
    "see_by_centroids",
    "worklist",
    "write_page",
    "write_worklist",
]
