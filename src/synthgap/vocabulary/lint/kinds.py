"""Classes that are a kind of another class of the list: an image of the one is an image of the other."""

from __future__ import annotations

from collections.abc import Sequence

from synthgap.core.records import ClassEntry
from synthgap.vocabulary.lint.records import LintFinding
from synthgap.vocabulary.lint.taxonomy import ancestors
from synthgap.vocabulary.wordnet import WNID

KIND_OF = 0.7


def kinds_of_others(entries: Sequence[ClassEntry]) -> list[LintFinding]:
    """Findings on classes that stand below another class of the list in WordNet; parts are not known to the table."""
    by_key = {entry.class_key: entry for entry in entries if WNID.fullmatch(entry.class_key)}
    found = []
    for key, entry in by_key.items():
        above = [by_key[one] for one in ancestors(key) if one in by_key]
        if above:
            names = ", ".join(f"{other.name} ({other.class_key})" for other in above[:3])
            what = f"it is a kind of {names}, which is a class of the list too: images of that class may show it"
            others = tuple(other.class_key for other in above[:3])
            found.append(LintFinding(key, entry.name, "kind-of-another", KIND_OF, what, others))
    return found
