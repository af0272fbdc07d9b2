"""A proposed prompt for a class: the shortest that WordNet and the list read in one way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from synthgap.core.records import ClassEntry
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.lint.ambiguity import holds, lemma_risk
from synthgap.vocabulary.lint.duplicates import name_key
from synthgap.vocabulary.lint.pulls import modifier_pulls, where_it_stands
from synthgap.vocabulary.lint.taxonomy import NARROW, ancestors, depth, is_kind_of
from synthgap.vocabulary.wordnet import WNID

VAGUE = {"animal", "plant", "device", "container", "implement", "equipment", "covering", "structure", "mechanism"}
"""Words of hypernyms that tell too little beside a name."""
RISKY = 0.5
"""Risk of its own from which on a hypernym is passed over for the next, where it is not its word's first sense."""


def proposals(
    entries: Sequence[ClassEntry],
    flagged: Iterable[str],
    prompts: Mapping[str, str],
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """A prompt for each flagged class, none of them another class's prompt or proposal; none outside WordNet.

    ``known`` are prompts that people have clarified; they go first. The order of the classes does not matter.
    """
    wanted = set(flagged)
    owners: dict[str, set[str]] = {}
    for entry in entries:
        for name in (entry.name, *entry.lemmas):
            owners.setdefault(name_key(name), set()).add(entry.class_key)
    taken = {name_key(text): key for key, text in sorted(prompts.items())}
    found: dict[str, str] = {}
    for entry in sorted(entries, key=lambda one: one.class_key):
        key = entry.class_key
        if key not in wanted or not WNID.fullmatch(key):
            continue
        candidates = [(known or {}).get(key, ""), *_candidates(entry, owners)]
        for text in candidates:
            if text and text != prompts[key] and taken.get(name_key(text), key) == key:
                found[key] = text
                taken[name_key(text)] = key
                break
    return found


def _candidates(entry: ClassEntry, owners: Mapping[str, set[str]]) -> Iterator[str]:
    """Prompts that say what is meant, the best first."""
    first = entry.lemmas[0]
    clear = [lemma for lemma in entry.lemmas if _is_clear(lemma, entry.class_key, owners)]
    english = [lemma for lemma in clear if not _is_latin(lemma)]
    place = where_it_stands(entry)
    yield from english[: int(english[:1] == [first])]
    yield from (lemma for lemma in english if lemma != first and holds(lemma, first))
    if place:
        yield f"{first} {place}"
    yield from _with_hypernym(entry, owners)
    yield from english
    yield from clear
    plain_definition = re.sub(r"\s*\([^)]*\)", "", entry.definition).strip()
    yield f"{first}, {re.split('[;,]', plain_definition)[0].strip()}"
    yield f"{first}, {entry.definition}"


def _is_clear(lemma: str, wnid: str, owners: Mapping[str, set[str]]) -> bool:
    return len(wordnet.sense_ids(lemma)) == 1 and owners.get(name_key(lemma), set()) <= {wnid}


def _is_latin(lemma: str) -> bool:
    """Whether a lemma looks like the scientific name of a species: *Tinca tinca*."""
    return re.fullmatch(r"[A-Z][a-z]+( [a-z]+){1,2}", lemma) is not None and lemma.rsplit(maxsplit=1)[-1].endswith(
        ("a", "us", "is", "um", "i", "ae", "es", "os", "ens", "ans", "ax", "ex", "ix")
    )


def _with_hypernym(entry: ClassEntry, owners: Mapping[str, set[str]]) -> Iterator[str]:
    """The first name with what the class is: by the head of a hypernym (crane bird), else by all of it."""
    first, key = entry.lemmas[0], entry.class_key
    rivals = {*lemma_risk(first, key).rivals, *owners.get(name_key(first), set())} - {key}
    rivals = {one for one in rivals if WNID.fullmatch(one)}
    above = ancestors(key)
    by_name = {name: one for one in reversed(above) for name in wordnet.synset(one).lemmas}
    for parent in above:
        words = wordnet.synset(parent).lemmas[0]
        head = words.split()[-1]
        if head != words and head in by_name and _tells(head, by_name[head], first, rivals):
            yield f"{first} {head}"
        if _tells(words, parent, first, rivals):
            yield f"{first}, {words}"


def _tells(words: str, sense: str, name: str, rivals: Iterable[str]) -> bool:
    """Whether a hypernym's words say something beside the name, are clear, and true of none of the other senses."""
    if depth(sense) < NARROW or words in VAGUE or name_key(words) == name_key(name) or holds(name, words):
        return False
    senses = [next(iter(wordnet.sense_ids(word)), "") for word in words.split()[:-1]]
    risk = lemma_risk(words, sense)
    if any(one and modifier_pulls(one, sense) for one in senses) or (risk.rank > 1 and risk.value >= RISKY):
        return False
    return not any(is_kind_of(rival, sense) for rival in rivals)
