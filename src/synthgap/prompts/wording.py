"""The words of a class that recipes put into prompts: its names, its parents and its definition (S 4.1, 4.2)."""

from __future__ import annotations

from synthgap.core.records import ClassEntry


def name_prompt(entry: ClassEntry) -> str:
    """All lemmas of the class, comma separated: S's ``c``, M's *Synset* prompt.

    >>> from synthgap.vocabulary import synset
    >>> name_prompt(synset("n01558993"))
    'robin, American robin, Turdus migratorius'
    """
    return ", ".join(entry.lemmas)


def hypernym_words(entry: ClassEntry) -> str:
    """First lemma of each parent, comma separated: S's ``h_c``; empty for a class without parents.

    The first lemma, because S prints "toy dog" for Shih-Tzu, whose parent has the lemmas "toy dog, toy".

    >>> from synthgap.vocabulary import synset
    >>> hypernym_words(synset("n02086240"))
    'toy dog'
    """
    return ", ".join(dict.fromkeys(lemmas[0] for lemmas in entry.hypernyms))


def hypernym_prompt(entry: ClassEntry) -> str:
    """``c, h_c`` (S 4.2); the names alone for a class without parents."""
    return ", ".join(filter(None, [name_prompt(entry), hypernym_words(entry)]))


def definition_prompt(entry: ClassEntry) -> str:
    """``c, d_c`` (S 4.2); the names alone for a class without definition."""
    return ", ".join(filter(None, [name_prompt(entry), entry.definition]))
