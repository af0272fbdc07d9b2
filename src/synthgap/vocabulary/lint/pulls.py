"""Hypernyms and definitions that pull a prompt elsewhere (S 4.2, App. C: toy dog, shed, sarong).

Heuristics, each with what it is for:

* a word before the hypernym's head that commonly names a thing of another domain: *toy* dog;
* a hypernym that is itself commonly something else;
* a class that is its hypernym in a certain place, which the hypernym alone leaves out: a shed at the edge of a river;
* a definition that names another class of the list, or people and their bodies where the class is clothing.

They know words and not images: that 'papillon' is French for a butterfly, or that a definition reads well and draws
badly, is not in WordNet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from synthgap.core.records import ClassEntry
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.lint.ambiguity import describe, lemma_risk, plain
from synthgap.vocabulary.lint.records import LEAST, LintFinding
from synthgap.vocabulary.lint.taxonomy import domain, is_kind_of, related
from synthgap.vocabulary.wordnet import WNID

MODIFIER, PLACE, NAMES_CLASS, PEOPLE = 0.6, 0.4, 0.5, 0.4
HYPERNYM_RISK = 0.5
"""Share of a hypernym's own risk that is left beside the class's name."""
UNUSED = 0.5
"""What is left of a severity where the recipe in use adds neither hypernym nor definition."""

THINGS = ("animal", "plant", "food", "artifact")
COLOUR, CLOTHING = "n04956594", "n03051540"
_PLACED = r"(?:located |standing |situated )?(?:at|in|on|by|near|beside|under|along|over|above) (?:the|a|an) [^;,(]+"
_PEOPLE = r"\b(?:men|women|man|woman|girls?|boys?|body|bodies|hips|breasts?|buttocks|torso|waist|nude|naked)\b"


@dataclass(frozen=True, slots=True)
class Pull:
    """One reason why added words may pull elsewhere."""

    severity: float
    what: str
    other: tuple[str, ...] = ()


def hypernym_pulls(entries: Iterable[ClassEntry], factor: float = 1.0) -> list[LintFinding]:
    """Findings on the first lemma of each hypernym, which the recipe 'hypernym' adds; the strongest of each class."""
    found = []
    for entry in entries:
        if not WNID.fullmatch(entry.class_key):
            continue
        pulls = [pull for parent in wordnet.parent_ids(entry.class_key) for pull in _hypernym(entry, parent)]
        best = max(pulls, key=lambda pull: pull.severity, default=None)
        if best is not None and best.severity * factor >= LEAST:
            severity = best.severity * factor
            found.append(LintFinding(entry.class_key, entry.name, "hypernym-pulls", severity, best.what, best.other))
    return found


def _hypernym(entry: ClassEntry, parent: str) -> Iterator[Pull]:
    words = wordnet.synset(parent).lemmas[0]
    for modifier in words.split()[:-1]:
        sense = next(iter(wordnet.sense_ids(modifier)), "")
        if sense and not modifier.endswith("ing") and modifier_pulls(sense, parent):
            yield Pull(
                MODIFIER,
                f"its hypernym {words!r} holds {modifier!r}, which first means {describe(sense)}",
                (sense,),
            )
    risk = lemma_risk(words, parent)
    if risk.rank > 1:
        what = f"its hypernym {words!r} has {risk.count} noun senses and this is number {risk.rank}; also {describe(risk.rivals[0])}"
        yield Pull(risk.value * HYPERNYM_RISK, what, risk.rivals[:3])
    place = where_it_stands(entry)
    if place:
        yield Pull(PLACE, f"it is a {words!r} {place}, and the hypernym alone leaves that out", (parent,))


def modifier_pulls(sense: str, parent: str) -> bool:
    """Whether the commonest sense of a modifier is a thing of another domain than what it modifies.

    Persons do not count: 'domestic', 'white' and 'Welsh' are nouns of persons first, and mostly read as adjectives.
    """
    mine = domain(parent)
    return domain(sense) in THINGS and mine in THINGS and domain(sense) != mine and not wordnet.is_instance(sense)


def where_it_stands(entry: ClassEntry) -> str:
    """Words of the definition that place the class, where all before them is its hypernym; empty where none do.

    >>> where_it_stands(wordnet.synset("n02859443"))
    'at the edge of a river or lake'
    """
    for lemma in (lemma for lemmas in entry.hypernyms for lemma in lemmas):
        found = re.match(rf"(?:an? |the )?{re.escape(lemma)} ({_PLACED})", entry.definition)
        if found:
            return found[1].strip()
    return ""


def definition_pulls(entries: Sequence[ClassEntry], factor: float = 1.0) -> list[LintFinding]:
    """Findings on definitions that name another class of the list, or people; the strongest of each class."""
    names = _names(entries)
    found = []
    for entry in entries:
        if WNID.fullmatch(entry.class_key):
            pulls = [*_other_classes(entry, names), *_people(entry)]
            best = max(pulls, key=lambda pull: pull.severity, default=None)
            if best is not None and best.severity * factor >= LEAST:
                severity = best.severity * factor
                found.append(
                    LintFinding(entry.class_key, entry.name, "definition-pulls", severity, best.what, best.other)
                )
    return found


def _names(entries: Iterable[ClassEntry]) -> dict[str, ClassEntry]:
    """Class by first name, for names whose commonest sense is the class and that name no colour (orange)."""
    found: dict[str, ClassEntry] = {}
    for entry in entries:
        ids = wordnet.sense_ids(entry.lemmas[0])
        if ids[:1] == [entry.class_key] and not any(is_kind_of(one, COLOUR) for one in ids):
            found[wordnet.base_form(entry.lemmas[0]) or ""] = entry
    return found


def _other_classes(entry: ClassEntry, names: dict[str, ClassEntry]) -> Iterator[Pull]:
    words = re.findall(r"\w+(?:-\w+)*", entry.definition.lower())
    own = plain(" ".join(entry.lemmas))
    for start in range(len(words)):
        for length in (3, 2, 1):
            text = " ".join(words[start : start + length])
            other = names.get(text) or names.get(wordnet.base_form(text) or "")
            if other is None or start + length > len(words):
                continue
            if plain(text) not in own and not related(entry.class_key, other.class_key):
                severity = NAMES_CLASS * (1 - start / len(words))
                what = f"its definition ({_short(entry.definition)}) names {text!r}, another class of the list"
                yield Pull(severity, what, (other.class_key,))
            break


def _people(entry: ClassEntry) -> Iterator[Pull]:
    found = re.findall(_PEOPLE, entry.definition)
    if found and is_kind_of(entry.class_key, CLOTHING):
        words = " and ".join(repr(word) for word in dict.fromkeys(found[:2]))
        yield Pull(
            PEOPLE, f"its definition ({_short(entry.definition)}) names {words}: people may be drawn, also unclothed"
        )


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79].rstrip() + "…"
