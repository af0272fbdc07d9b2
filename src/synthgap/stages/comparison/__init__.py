"""Comparison: from the tables of a run to its summary, with three plain sentences on top."""

from __future__ import annotations

from synthgap.stages.comparison.sentences import Outcome, sentences
from synthgap.stages.comparison.summary import SetFacts, left_out_rows, skipped_rows, summarise, write_findings_by_set

__all__ = ["Outcome", "SetFacts", "left_out_rows", "sentences", "skipped_rows", "summarise", "write_findings_by_set"]
