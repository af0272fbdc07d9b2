"""What WordNet knows of a word, for ``synthgap classes show``."""

from __future__ import annotations

import re
from typing import Any

from synthgap.core.errors import InputError
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.shipped import lists_with


def show(word: str) -> list[dict[str, Any]]:
    """Describe every noun sense of a word, in WordNet's order, or the one sense of a WordNet id or a synset name.

    Each has ``wnid``, ``synset``, ``name``, ``lemmas``, ``definition``, ``hypernyms`` (each with ``wnid``, ``synset``
    and ``lemmas``), ``instance`` (a named individual and not a kind), ``lists`` (shipped lists it is part of) and
    ``imagenet`` (those of them that are ImageNet's). Raises InputError for an unknown word, with the nearest.

    >>> [(sense["wnid"], sense["imagenet"]) for sense in show("crane")][3:]
    [('n03126707', ['imagenet-1k']), ('n02012849', ['imagenet-1k'])]
    """
    text = " ".join(word.split())
    if re.fullmatch(r"n\d{5,}", text.lower()):
        return [_sense(text.lower())]
    if wordnet.SYNSET_NAME.fullmatch(text):
        return [_sense(wordnet.synset_id(text))]
    ids = wordnet.sense_ids(text)
    if not ids:
        hint = wordnet.nearest_lemma(text) or "; write a noun, a synset such as crane.n.05, or an id such as n02012849"
        raise InputError(f"{text[:60]!r} is not a WordNet noun{hint}")
    return [_sense(wnid) for wnid in ids]


def _sense(wnid: str) -> dict[str, Any]:
    entry = wordnet.synset(wnid)
    lists = lists_with(wnid)
    return {
        "wnid": wnid,
        "synset": wordnet.synset_name(entry),
        "name": entry.name,
        "lemmas": list(entry.lemmas),
        "definition": entry.definition,
        "hypernyms": [_parent(parent) for parent in wordnet.parent_ids(wnid)],
        "instance": wordnet.is_instance(wnid),
        "lists": lists,
        "imagenet": [name for name in lists if name.startswith("imagenet")],
    }


def _parent(wnid: str) -> dict[str, Any]:
    entry = wordnet.synset(wnid)
    return {"wnid": wnid, "synset": wordnet.synset_name(entry), "lemmas": list(entry.lemmas)}
