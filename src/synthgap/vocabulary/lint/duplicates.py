"""Classes that share their prompt, their short name or a lemma: generators and zero-shot classifiers mix them up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from synthgap.core.records import ClassEntry
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.lint.ambiguity import cues, plain
from synthgap.vocabulary.lint.records import Kind, LintFinding

SAME_PROMPT, SAME_NAME, SAME_LEMMA, SAME_SYNONYM = 1.0, 0.9, 0.8, 0.6
WITH_CUE = 0.7
"""What a cue in the prompt leaves of the severity: the images differ, short names in files and reports still collide."""


def name_key(name: str) -> str:
    """A name without capitals, punctuation, spaces and the plural's s: sunglass and sunglasses are one.

    >>> name_key("Sun-glasses") == name_key("sunglass"), name_key("brass") == name_key("bras")
    (True, False)
    """
    text = plain(name)
    stem = re.sub(r"(?<=ss|sh|ch)es$|(?<=[xz])es$", "", text)
    return stem if stem != text or text.endswith(("ss", "us", "is")) or len(text) < 4 else text.removesuffix("s")


def duplicates(entries: Iterable[ClassEntry], prompts: Mapping[str, str]) -> list[LintFinding]:
    """Findings on classes with equal prompts, equal short names or a lemma in common; the strongest for each pair.

    A class that shares with many others is found once, and names the first three.
    """
    ordered = list(entries)
    done: set[tuple[str, str]] = set()
    shared = shared_names(ordered)
    found: list[LintFinding] = []
    levels: tuple[tuple[Kind, float, Mapping[str, set[str]]], ...] = (
        ("duplicate-prompt", SAME_PROMPT, {e.class_key: {" ".join(prompts[e.class_key].split())} for e in ordered}),
        ("duplicate-name", SAME_NAME, {e.class_key: {name_key(e.name), name_key(e.lemmas[0])} for e in ordered}),
        ("shared-lemma", SAME_LEMMA, {e.class_key: {name_key(one) for one in (e.name, *e.lemmas)} for e in ordered}),
    )
    for kind, severity, keys in levels:
        found += _level(kind, severity, keys, ordered, prompts, shared, done)
    return found


def shared_names(entries: Iterable[ClassEntry]) -> frozenset[str]:
    """Names in plain spelling that more than one class bears."""
    owners: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        for name in (entry.name, *entry.lemmas):
            owners[plain(name)].add(entry.class_key)
    return frozenset(name for name, keys in owners.items() if len(keys) > 1)


def _level(
    kind: Kind,
    severity: float,
    keys: Mapping[str, set[str]],
    entries: list[ClassEntry],
    prompts: Mapping[str, str],
    shared: frozenset[str],
    done: set[tuple[str, str]],
) -> list[LintFinding]:
    """Findings of one kind; pairs in ``done`` were found at a stronger level, and new ones are added to it."""
    by_key: dict[str, list[ClassEntry]] = defaultdict(list)
    for entry in entries:
        for key in keys[entry.class_key]:
            by_key[key].append(entry)
    found, new = [], set()
    for entry in entries:
        partners = {other.class_key: other for key in keys[entry.class_key] for other in by_key[key] if other != entry}
        left = [other for key, other in sorted(partners.items()) if (entry.class_key, key) not in done]
        if not left:
            continue
        new |= {(entry.class_key, other.class_key) for other in left}
        if kind == "shared-lemma" and not any(_shares_a_first_name(entry, other) for other in left):
            base = SAME_SYNONYM
        else:
            base = severity
        value = base * WITH_CUE if _told_apart(kind, entry, prompts[entry.class_key], shared) else base
        what = _sentence(kind, entry, left, prompts)
        others = tuple(other.class_key for other in left[:3])
        found.append(LintFinding(entry.class_key, entry.name, kind, value, what, others))
    done |= new
    return found


def _shares_a_first_name(entry: ClassEntry, other: ClassEntry) -> bool:
    """Whether the first name of one is some name of the other; else they share a synonym of both."""
    names, others = ({name_key(name) for name in one.lemmas} for one in (entry, other))
    return name_key(entry.lemmas[0]) in others or name_key(other.lemmas[0]) in names


def _told_apart(kind: Kind, entry: ClassEntry, prompt: str, shared: frozenset[str]) -> bool:
    """Whether a prompt that is not the other's holds words that only this class has."""
    first_is_own = plain(entry.lemmas[0]) not in shared and len(wordnet.sense_ids(entry.lemmas[0])) == 1
    own = kind == "shared-lemma" and first_is_own
    return kind != "duplicate-prompt" and (own or bool(cues(entry, prompt, shared)))


def _sentence(kind: Kind, entry: ClassEntry, others: list[ClassEntry], prompts: Mapping[str, str]) -> str:
    other = others[0]
    more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
    whom = f"{other.class_key} ({_gist(other)}){more}"
    if kind == "duplicate-prompt":
        return f"its prompt {_short(prompts[entry.class_key])!r} is also that of {whom}"
    if kind == "duplicate-name":
        return f"its short name {entry.name!r} is also that of {whom}"
    mine = {name_key(name): name for name in (entry.name, *entry.lemmas)}
    common = next(mine[name_key(name)] for name in (other.name, *other.lemmas) if name_key(name) in mine)
    return f"its name {common!r} is also a name of {whom}"


def _gist(entry: ClassEntry) -> str:
    return _short(f"{', '.join(entry.lemmas[:2])}: {entry.definition}" if entry.definition else entry.name)


def _short(text: str) -> str:
    return text if len(text) <= 70 else text[:69].rstrip() + "…"
