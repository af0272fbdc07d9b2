"""From what a user writes to classes: a shipped list, a file, or names, synsets and WordNet ids.

A class is a sense, so a bare word with several noun senses is read predictably and visibly: the commonest sense that
is a kind of thing (a class of images is not the writer Stephen Crane), with a note that says which and how to choose
another.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from dataclasses import dataclass, replace

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.shipped import NAMES, find_list, lists_with, places365, shipped_entries, shipped_lists
from synthgap.vocabulary.slugs import clean_name, slug
from synthgap.vocabulary.userlists import Item, file_items, names_a_file, text_items

__all__ = ["Resolution", "class_list", "places365", "resolve", "shipped_lists"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The classes that a text names, and what the user should know about how they were read."""

    entries: list[ClassEntry]
    notes: list[str]
    """One line for each word that had several senses, or is not in WordNet; for stderr."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What one item became."""

    item: Item
    entries: list[ClassEntry]
    note: str = ""


def class_list(text: str) -> list[ClassEntry]:
    """Classes of a shipped list, of a file, or of comma-separated names, synsets and WordNet ids, in their order.

    ``resolve`` says the same with notes on ambiguous and unknown words. Raises InputError for a missing or unreadable
    file, an unknown id or synset, a hostile name, and two names of one class.

    >>> [entry.class_key for entry in class_list("crane.n.05, n03126707, my new widget")]
    ['n02012849', 'n03126707', 'my_new_widget']
    """
    return resolve(text).entries


def resolve(text: str) -> Resolution:
    """Classes that a text names, in their order, with a note for each word that was read by a rule.

    >>> resolve("jay").notes
    ["jay: 2 noun senses, took jay.n.02 (crested largely blue bird); 'synthgap classes show jay' lists them"]
    """
    text = text.strip()
    if not text:
        raise InputError(f"no classes given; write a shipped list ({', '.join(NAMES)}), a file, or names as cat,dog")
    is_file = names_a_file(text) and find_list(text) is None and not wordnet.sense_ids(text)
    items = file_items(text) if is_file else text_items(text)
    read = [_read(item) for item in items]
    _refuse_duplicates(read)
    entries = [entry for result in read for entry in result.entries]
    if not entries:
        raise InputError(f"{text[:60]!r} names no class; write names, synsets or WordNet ids separated by commas")
    return Resolution(entries, [result.note for result in read if result.note])


def _read(item: Item) -> _Read:
    try:
        return _lookup(item)
    except InputError as error:
        raise InputError(f"{item.where}: {error}") from None


def _lookup(item: Item) -> _Read:
    """The one order in which a text is understood: list, id, synset name, lemmas of a synset, word, own name."""
    text = clean_name(item.text)
    listed = find_list(text)
    if listed:
        return _Read(item, shipped_entries(listed))
    if re.fullmatch(r"n\d{5,}", text.lower()):
        result = _Read(item, [wordnet.synset(text.lower())])
    elif wordnet.SYNSET_NAME.fullmatch(text):
        result = _Read(item, [wordnet.synset(wordnet.synset_id(text))])
    elif "," in text:
        result = _Read(item, [_by_lemmas(text)])
    else:
        result = _by_word(item, text)
    if item.name:
        result = replace(result, entries=[replace(entry, name=clean_name(item.name)) for entry in result.entries])
    return result


def _by_lemmas(text: str) -> ClassEntry:
    """The synset whose lemmas a line lists, as ImageNet's label files do (``tench, Tinca tinca``)."""
    lemmas = {part.strip().lower() for part in text.split(",")}
    first = text.partition(",")[0].strip()
    found = [entry for entry in wordnet.senses(first) if lemmas <= {lemma.lower() for lemma in entry.lemmas}]
    if len(found) != 1:
        raise InputError(f"{text!r} names no single synset; write one class per line, such as n01440764 or tench.n.01")
    return found[0]


def _by_word(item: Item, word: str) -> _Read:
    ids = wordnet.sense_ids(word)
    if not ids:
        return _own_class(item, word)
    taken = next((wnid for wnid in ids if not wordnet.is_instance(wnid)), ids[0])
    entry = wordnet.synset(taken)
    return _Read(item, [entry], _ambiguity_note(word, ids, entry) if len(ids) > 1 else "")


def _ambiguity_note(word: str, ids: list[str], entry: ClassEntry) -> str:
    """Say which sense was taken, and which other sense is a class of a shipped list and may have been meant."""
    name = wordnet.synset_name(entry)
    others = [wnid for wnid in ids if wnid != entry.class_key and lists_with(wnid)]
    base = wordnet.base_form(word) or word
    note = f"{word}: {len(ids)} noun senses, took {name} ({_short(entry.definition)})"
    if others:
        number = ids.index(others[0]) + 1
        other = f"{base.replace(' ', '_')}.n.{number:02d}"
        note += f"; write {other} for {_short(wordnet.synset(others[0]).definition)!r}"
    return f"{note}; 'synthgap classes show {base}' lists them"


def _own_class(item: Item, name: str) -> _Read:
    """A class outside WordNet: its key is a slug. A name very near a shipped list's is a slip of the pen."""
    if difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.8):
        raise InputError(f"{name!r} is neither a WordNet noun nor a shipped list; the lists are {', '.join(NAMES)}")
    key = slug(name)
    note = f"{name}: not a WordNet noun, kept as a class of its own ({key}) without definition or hypernym"
    return _Read(item, [ClassEntry(key, name, (name,))], note + wordnet.nearest_lemma(name))


def _refuse_duplicates(read: list[_Read]) -> None:
    seen: dict[str, Item] = {}
    for result in read:
        for entry in result.entries:
            first = seen.setdefault(entry.class_key, result.item)
            if first is not result.item:
                raise InputError(
                    f"{first.text!r} ({first.where}) and {result.item.text!r} ({result.item.where}) are the same "
                    f"class {entry.class_key} ({entry.name}); keep one"
                )


def _short(definition: str) -> str:
    return textwrap.shorten(definition, 60, placeholder="…")
