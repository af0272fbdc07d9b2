"""Plain records that pass between the layers."""

from __future__ import annotations

from dataclasses import dataclass

OVERALL = "overall"
"""The ``class_key`` of a row that speaks of the whole set."""


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """A class is a sense, not a string: a WordNet synset, or a user's own name under a slug."""

    class_key: str
    """WordNet id such as ``n02121620``, or a slug of the user's name."""
    name: str
    """Short name for people, such as ``cat``."""
    lemmas: tuple[str, ...]
    """All names of the sense, first the commonest; ``(name,)`` for a class that is not in WordNet."""
    definition: str = ""
    hypernyms: tuple[tuple[str, ...], ...] = ()
    """Lemmas of each parent sense, in WordNet's order."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of one class, made by a recipe."""

    class_key: str
    index: int
    """Image index within the class."""
    text: str
    recipe: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its size and interval. NaN with a reason where it is not defined."""

    metric: str
    reference: str
    query: str
    class_key: str
    """A class, or ``overall``."""
    value: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    n: int = 0
    reason: str = ""
    """Why there is no value; beside a value, why to doubt it."""
    classes_ci_low: float = float("nan")
    """Interval of a mean over classes had other classes been chosen; of the whole set only."""
    classes_ci_high: float = float("nan")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one class of a synthetic set, with its evidence and what to change."""

    class_key: str
    cause: str
    """``ambiguous``, ``over-adherent``, ``under-adherent``, ``low-diversity``, ``concept-missing``, ``wrong-concept`` or
    ``sound``."""
    severity: float
    """In [0, 1]."""
    flagged: bool
    suggestion: str
    evidence: str
    """The numbers behind it, in a sentence."""
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    change: str = ""
    """What the suggestion says, as a JSON object with one key that `synthgap refine` applies: ``guidance_scale``,
    ``recipe``, ``prompt`` or ``drop_copies``; empty where no setting of the generation does it."""
