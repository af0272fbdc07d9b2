"""What judges see on the images of each label, and which labels are the worst."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import binomtest

from synthgap.core.records import ClassEntry

MOST_NAMES = 3
"""Other labels named for what the images of a label are taken for."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What one judge sees: for each image the class it names."""

    judge: str
    """For people: ``zero-shot``, ``natural centroids``, or a classifier's name."""
    predicted: Mapping[str, str]
    """Name of the class seen, by image key; without the images it could not judge."""
    right: Mapping[str, bool]
    """Whether that is the image's label, by image key."""


@dataclass(frozen=True)
class Label:
    """One label with what is seen on its images."""

    entry: ClassEntry
    """Under the set's own class key."""
    prompt: str
    """By the recipe ``name``."""
    image_keys: tuple[str, ...]
    accuracy: Row
    """By the judge that ranks: value, ends of Wilson's interval, n."""
    by_judge: dict[str, Row]
    taken_for: list[Row]
    """By the judge that ranks: ``name`` and ``share`` of the classes seen instead, the commonest first."""
    senses: list[ClassEntry] = field(default_factory=list)
    """Of its name, where it has several."""
    proposed: str = ""
    """A prompt that says what is meant; empty where the sense is not known."""

    def as_dict(self) -> Row:
        """For JSON."""
        return {
            "class_key": self.entry.class_key,
            "name": self.entry.name,
            "accuracy": self.accuracy,
            "by_judge": self.by_judge,
            "taken_for": self.taken_for,
            "senses": [f"{sense.name}: {sense.definition}" for sense in self.senses],
            "old": self.prompt,
            "proposed": self.proposed,
        }


def rank_labels(
    entries: Mapping[str, ClassEntry],
    prompts: Mapping[str, str],
    images: Mapping[str, Sequence[str]],
    seen: Sequence[Seen],
    *,
    senses: Mapping[str, list[ClassEntry]],
    proposals: Mapping[str, str],
) -> list[Label]:
    """The labels, worst first: by the accuracy of the first judge, then by that of the others, then by key.

    Args:
        entries: The class behind each label's key.
        prompts: Prompt by the recipe ``name`` of each.
        images: Image keys of each.
        seen: At least one judge; the first ranks.
        senses: Senses of the names that have several.
        proposals: Clarified prompts.

    Returns:
        A label that a judge cannot judge (the judge has no such class) has NaN there; unranked labels come last.
    """
    labels = []
    for key, entry in entries.items():
        keys = tuple(images.get(key, ()))
        by_judge = {judge.judge: _accuracy(judge, keys) for judge in seen}
        proposed = proposals.get(key, "")
        labels.append(
            Label(
                entry,
                prompts[key],
                keys,
                by_judge[seen[0].judge],
                by_judge,
                _taken_for(seen[0], keys),
                senses.get(key, []),
                proposed if proposed != prompts[key] else "",
            )
        )
    return sorted(labels, key=lambda label: (*map(_rank, label.by_judge.values()), label.entry.class_key))


def share(hits: int, n: int) -> Row:
    """A share with Wilson's interval; NaN for no image."""
    if n == 0:
        return {"value": math.nan, "ci_low": math.nan, "ci_high": math.nan, "n": 0}
    ends = binomtest(hits, n).proportion_ci(method="wilson")
    return {"value": hits / n, "ci_low": float(ends.low), "ci_high": float(ends.high), "n": n}


def _accuracy(seen: Seen, keys: Sequence[str]) -> Row:
    judged = [seen.right[key] for key in keys if key in seen.right]
    return share(sum(judged), len(judged))


def _rank(accuracy: Row) -> float:
    return float(accuracy["value"]) if accuracy["n"] else math.inf


def _taken_for(seen: Seen, keys: Sequence[str]) -> list[Row]:
    judged = [key for key in keys if key in seen.right]
    wrong = Counter(seen.predicted[key] for key in judged if not seen.right[key])
    return [{"name": name, "share": count / len(judged)} for name, count in wrong.most_common(MOST_NAMES)]
