"""What the lint finds, and the weights that it ranks by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "duplicate-prompt",
    "duplicate-name",
    "shared-lemma",
    "several-senses",
    "known-unclear",
    "hypernym-pulls",
    "definition-pulls",
    "kind-of-another",
    "split-word",
    "long-prompt",
]

LEAST = 0.15
"""Severity below which nothing is reported."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing that may go wrong with a class before anything is drawn."""

    class_key: str
    name: str
    kind: Kind
    severity: float
    """In [0, 1]; ranks findings and is no probability."""
    what: str
    """One sentence with the facts."""
    other: tuple[str, ...] = ()
    """Keys of the classes or senses that it is about, the nearest first."""
    proposal: str = ""
    """A prompt that says what is meant; empty where WordNet has none to give."""
