"""What the vocabulary knows of the classes of a comparison: senses, prompts, proposals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from synthgap.core.records import ClassEntry
from synthgap.prompts import make_prompt, shipped_overrides
from synthgap.vocabulary import senses, synset
from synthgap.vocabulary.wordnet import WNID

MOST_SENSES = 6
"""Senses of a name that are looked at, the commonest first; the class's own is always among them."""


def entries(names: Mapping[str, str], other_keys: Mapping[str, Iterable[str]]) -> dict[str, ClassEntry]:
    """The class behind each key: the synset where the key, or the key of the same class in another set, is an id.

    A class that no set ties to a synset stands for its bare name: which sense is meant is not guessed.
    """
    found = {}
    for key, name in names.items():
        ids = [one for one in (key, *other_keys.get(key, ())) if WNID.fullmatch(one)]
        plain = name.replace("_", " ")
        found[key] = synset(ids[0]) if ids else ClassEntry(key, plain, (plain,))
    return found


def noun_senses(classes: Mapping[str, ClassEntry]) -> dict[str, list[ClassEntry]]:
    """All noun senses of each class's name, for names with more than one; the class's own first.

    A sense that is a class of the comparison itself bears that class's key.
    """
    own_key = {entry.class_key: key for key, entry in classes.items()}
    found = {}
    for key, entry in classes.items():
        others = [sense for sense in senses(entry.name) if sense.class_key != entry.class_key]
        known = bool(entry.definition)
        if len(others) + known > 1:
            listed = ([entry] if known else []) + others
            found[key] = [replace(sense, class_key=own_key.get(sense.class_key, sense.class_key)) for sense in listed]
    return found


def sense_texts(classes: Mapping[str, ClassEntry]) -> list[tuple[str, str, str]]:
    """(class key, sense in words, text to embed) of every class whose sense is known and whose name has others.

    The class's own sense comes first. The text is name and definition, as the recipe 'definition' writes them.
    """
    rows = []
    for key, found in noun_senses(classes).items():
        if classes[key].definition:
            for sense in found[:MOST_SENSES]:
                text = make_prompt("definition", sense, 0, 0, {})
                rows.append((key, f"{sense.name}: {sense.definition}", text))
    return rows


def name_prompts(classes: Mapping[str, ClassEntry]) -> list[tuple[str, str, str]]:
    """(class key, name, prompt) by the recipe 'name', for a set whose prompts are not known."""
    return [(key, entry.name, make_prompt("name", entry, 0, 0, {})) for key, entry in classes.items()]


def proposals(classes: Mapping[str, ClassEntry]) -> dict[str, str]:
    """A prompt that says what is meant: the shipped clarified one, else the recipe 'hypernym'; of known senses only."""
    clarified = shipped_overrides()
    known = {key: entry for key, entry in classes.items() if entry.hypernyms}
    return {
        key: clarified.get(entry.class_key) or make_prompt("hypernym", entry, 0, 0, {}) for key, entry in known.items()
    }
