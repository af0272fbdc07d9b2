"""The shipped class lists (``scripts/build_class_lists.py`` makes them; ``data/README.md`` tells where they are from).

A list is a text file: first line its description as a comment, then one class per line, the class key and, where it
differs from the synset's first lemma or the class is not a synset, the class's name after a tab.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib.resources import files

from synthgap.core.records import ClassEntry
from synthgap.vocabulary.wordnet import WNID, synset

NAMES = ("cifar-10", "imagenet-100", "imagenet-1k", "imagenet-a", "imagenet-r", "places365")


@cache
def _lines(name: str) -> tuple[str, ...]:
    return tuple((files(__package__) / "data" / "lists" / f"{name}.txt").read_text("utf-8").splitlines())


def _rows(name: str) -> list[tuple[str, str]]:
    """Class key and given name (empty when there is none) of each class."""
    pairs = (line.partition("\t") for line in _lines(name) if not line.startswith("#"))
    return [(key, given) for key, _, given in pairs]


def shipped_lists() -> dict[str, str]:
    """Name and one-line description of each shipped class list.

    >>> shipped_lists()["cifar-10"]
    'CIFAR-10: 6 animals and 4 vehicles, in its order of labels.'
    """
    return {name: _lines(name)[0].removeprefix("# ") for name in NAMES}


def find_list(text: str) -> str | None:
    """Name of the shipped list that a text names, whatever its capitals and hyphens; None if it names none."""
    wanted = re.sub(r"[-_ ]", "", text.lower())
    return next((name for name in NAMES if name.replace("-", "") == wanted), None)


@cache
def shipped_keys(name: str) -> frozenset[str]:
    """Class keys of a shipped list."""
    return frozenset(key for key, _ in _rows(name))


def shipped_entries(name: str) -> list[ClassEntry]:
    """Classes of a shipped list, in its order of labels."""
    entries = []
    for key, given in _rows(name):
        if WNID.fullmatch(key):
            entry = synset(key)
            entries.append(replace(entry, name=given) if given else entry)
        else:
            entries.append(ClassEntry(key, given, (given,)))
    return entries


def lists_with(class_key: str) -> list[str]:
    """Names of the shipped lists that a class is part of.

    >>> lists_with("n02123045")
    ['imagenet-100', 'imagenet-1k', 'imagenet-r']
    """
    return [name for name in NAMES if class_key in shipped_keys(name)]


def places365() -> list[str]:
    """The 365 scenes of Places as words, in its order: ``"airfield"``, ``"outdoor apartment building"``.

    They are the backgrounds of S 4.3.
    """
    return [name for _, name in _rows("places365")]
