"""The worklist ``triage.yaml``: a file of clarified prompts (``prompts.overrides``) that is decided label by label.

An undecided label has ``new`` equal to ``old`` and an empty ``who``, so the file can be drawn by at any time. A user who
writes ``who``, or another ``new``, has decided; a later triage keeps that to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from synthgap.core.counting import counted
from synthgap.core.records import ClassEntry
from synthgap.prompts.overrides import VERSION, Override, read_overrides
from synthgap.stages.triage.labels import Label
from synthgap.store.atomic import write_text
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.slugs import CLASS_KEY

HEAD = """\
# Worklist of `synthgap triage`, worst label first. Look at the pictures in triage.html, then for each label either
#   clarify: write your prompt, or the proposed one, as `new`, and your name and the date as `who`; or
#   keep:    leave `new` as it is, and write your name and the date as `who`.
# A label without `who` is undecided and draws as before. The next triage keeps what you decided.
# Draw with: synthgap generate --recipe disambiguated --overrides this-file
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A label on the worklist."""

    override: Override
    proposed: str
    """The tool's own proposal; empty where it has none."""

    @property
    def decision(self) -> str:
        """``clarify``, ``keep`` or ``undecided``."""
        return decision(self.override)

    @property
    def clarified(self) -> str:
        """The prompt to try: the user's, or the proposed one while nothing is decided; empty where there is none."""
        if self.decision == "undecided":
            return self.proposed
        return self.override.new if self.decision == "clarify" else ""

    def with_clarified(self) -> Entry:
        """The same with the clarified prompt written as ``new``."""
        return replace(self, override=replace(self.override, new=self.clarified))


def decision(override: Override) -> str:
    """What a line of the worklist says: ``clarify``, ``keep`` or ``undecided``."""
    if override.new != override.old:
        return "clarify"
    return "keep" if override.who else "undecided"


def read_decisions(path: Path, entries: Iterable[ClassEntry]) -> dict[str, Override]:
    """What was decided in an earlier worklist, by class key; nothing where there is none.

    Raises InputError, with the file and the place, where it is not as `read_overrides` expects.
    """
    if not path.exists():
        return {}
    found = read_overrides(path, entries)
    return {override.class_key: override for override in found if decision(override) != "undecided"}


def can_be_listed(class_key: str) -> bool:
    """Whether a file of clarified prompts can name the class: a WordNet id, or a key that is no plain noun."""
    if wordnet.WNID.fullmatch(class_key):
        return True
    return CLASS_KEY.fullmatch(class_key) is not None and not wordnet.sense_ids(class_key)


def worklist(labels: Sequence[Label], judge: str, decided: Mapping[str, Override], worst: int) -> list[Entry]:
    """The labels to look at, worst first; labels decided earlier stay, also where they are not among the worst now."""
    proposals = {label.entry.class_key: label.proposed for label in labels}
    listed = [label for label in labels if can_be_listed(label.entry.class_key)]
    bad = [label for label in listed if label.accuracy["n"] and label.accuracy["value"] < 1][:worst]
    own = {label.entry.class_key: _undecided(label, judge) for label in bad}
    return [Entry(override, proposals.get(key, "")) for key, override in (own | dict(decided)).items()]


def write_worklist(path: Path, entries: Sequence[Entry]) -> None:
    """Write the worklist; the same entries give the same bytes."""
    import yaml

    rows: list[dict[str, Any]] = []
    for entry in entries:
        row = asdict(entry.override)
        rows.append({"class": row.pop("class_key"), **row})
    content = {"version": VERSION, "overrides": rows}
    write_text(path, HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def _undecided(label: Label, judge: str) -> Override:
    accuracy = label.accuracy
    parts = [f"{accuracy['value']:.0%} of {counted(accuracy['n'], 'image')} are seen as this label ({judge})"]
    if label.taken_for:
        others = ", ".join(f"{row['name']} {row['share']:.0%}" for row in label.taken_for)
        parts.append(f"taken for: {others}")
    if label.proposed:
        parts.append(f"proposed: {label.proposed}")
    return Override(label.entry.class_key, label.prompt, label.prompt, "; ".join(parts), "")
