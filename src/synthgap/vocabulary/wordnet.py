"""WordNet 3.0's nouns: synsets, the senses of a word, their definitions and parents.

The table is one shipped text file (``scripts/build_wordnet.py`` describes and makes it). Its rows are sorted, so a
lookup is a bisection; nothing is indexed at load time and the first use takes about a tenth of a second.
"""

from __future__ import annotations

import gzip
import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry

WNID = re.compile(r"n\d{8}")
SYNSET_NAME = re.compile(r"(?P<lemma>.+)\.(?P<part>[nvasr])\.(?P<number>\d{1,2})")

_PLURAL_ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
"""Morphy's detachment rules for nouns (WordNet's morphy(7)), tried in this order."""


@dataclass(frozen=True, slots=True)
class _Table:
    synsets: list[str]
    """``wnid, lemmas, hypernyms, definition`` separated by tabs."""
    lemmas: list[str]
    """``lemma in lower case, wnids in WordNet's order of senses``."""
    plurals: list[str]
    """``irregular plural, singular``."""


@cache
def _table() -> _Table:
    packed = (files(__package__) / "data" / "nouns.txt.gz").read_bytes()
    _, synsets, lemmas, plurals = gzip.decompress(packed).decode("ascii").rstrip("\n").split("\n\n")
    return _Table(synsets.split("\n"), lemmas.split("\n"), plurals.split("\n"))


def _row(rows: list[str], key: str) -> list[str]:
    """The columns of the row with this first column, or an empty list."""
    place = bisect_left(rows, f"{key}\t")
    if place < len(rows) and rows[place].startswith(f"{key}\t"):
        return rows[place].split("\t")
    return []


def _keys_from(rows: list[str], prefix: str) -> list[str]:
    """First columns of all rows that start with a prefix."""
    first, last = bisect_left(rows, prefix), bisect_left(rows, f"{prefix}\x7f")
    return [row.partition("\t")[0] for row in rows[first:last]]


def _synset_row(wnid: str) -> list[str]:
    row = _row(_table().synsets, wnid)
    if not row:
        hint = nearest(wnid, _keys_from(_table().synsets, wnid[:6]))
        raise InputError(f"{wnid!r} is not the id of a WordNet 3.0 noun{hint or '; ids look like n02012849'}")
    return row


def wnids() -> list[str]:
    """The ids of all 82,115 noun synsets, sorted."""
    return [row.partition("\t")[0] for row in _table().synsets]


def synset(wnid: str) -> ClassEntry:
    """Return the noun synset with a WordNet 3.0 id such as ``n02012849`` (the number in ImageNet's ids).

    Raises InputError, with the nearest id, when there is none.

    >>> synset("n02012849").lemmas, synset("n02012849").hypernyms
    (('crane',), (('wading bird', 'wader'),))
    """
    _, names, _, definition = _synset_row(wnid)
    lemmas = tuple(names.split(", "))
    parents = tuple(tuple(_synset_row(parent)[1].split(", ")) for parent in parent_ids(wnid))
    return ClassEntry(wnid, lemmas[0], lemmas, definition, parents)


def parent_ids(wnid: str) -> list[str]:
    """Ids of the hypernyms, or of what an individual is an instance of, in WordNet's order."""
    return [parent.rstrip("i") for parent in _synset_row(wnid)[2].split()]


def is_instance(wnid: str) -> bool:
    """Whether the synset is a named individual (a person, a place) and not a kind of thing."""
    return _synset_row(wnid)[2].endswith("i")


def sense_ids(lemma: str) -> list[str]:
    """Ids of the noun senses of a word in WordNet's order, the commonest first; empty when it has none.

    The word may be written with underscores, capitals, without or with hyphens, or in the plural.
    """
    base = base_form(lemma)
    return _row(_table().lemmas, base)[1].split() if base else []


def senses(lemma: str) -> list[ClassEntry]:
    """Noun senses of a word in WordNet's order; empty when it has none.

    >>> [synset_name(sense) for sense in senses("cranes")]
    ['crane.n.01', 'crane.n.02', 'grus.n.01', 'crane.n.04', 'crane.n.05']
    """
    return [synset(wnid) for wnid in sense_ids(lemma)]


def synset_name(entry: ClassEntry) -> str:
    """Name of a synset, such as ``crane.n.05``: first lemma, part of speech, number of the sense.

    A class that is not in WordNet has no such name; its ``class_key`` is returned.
    """
    if not WNID.fullmatch(entry.class_key):
        return entry.class_key
    lemma = _synset_row(entry.class_key)[1].split(", ")[0].lower()
    number = _row(_table().lemmas, lemma)[1].split().index(entry.class_key) + 1
    return f"{lemma.replace(' ', '_')}.n.{number:02d}"


def synset_id(name: str) -> str:
    """Id of the synset with a name such as ``crane.n.05``; any of its lemmas may stand in the name.

    Raises InputError for another part of speech, an unknown lemma or a number that the lemma does not have.
    """
    found = SYNSET_NAME.fullmatch(name)
    if found is None:
        raise InputError(f"{name!r} is not the name of a synset; names look like crane.n.05")
    lemma, part, number = found["lemma"], found["part"], int(found["number"])
    if part != "n":
        raise InputError(f"{name!r} is not a noun; a class is a noun synset, such as crane.n.05")
    ids = sense_ids(lemma)
    if not ids:
        raise InputError(f"{name!r}: {lemma!r} is not a WordNet noun{nearest_lemma(lemma)}")
    if not 1 <= number <= len(ids):
        count = f"{len(ids)} noun sense{'s' * (len(ids) > 1)}"
        raise InputError(f"{name!r}: {lemma!r} has {count}; 'synthgap classes show {lemma}' lists them")
    return ids[number - 1]


def base_form(word: str) -> str | None:
    """The lemma, in lower case, that a word stands for: itself, another spelling, or its singular; None if unknown.

    >>> base_form("African_Elephants"), base_form("geese"), base_form("tshirt")
    ('african elephant', 'goose', None)
    """
    text = " ".join(word.lower().replace("_", " ").split())
    spellings = dict.fromkeys([text, text.replace("-", " "), text.replace(" ", "-"), re.sub("[- ]", "", text)])
    for form in [*spellings, *(single for spelling in spellings for single in _singulars(spelling))]:
        if _row(_table().lemmas, form):
            return form
    return None


def _singulars(word: str) -> list[str]:
    irregular = _row(_table().plurals, word)[1:]
    regular = [word.removesuffix(old) + new for old, new in _PLURAL_ENDINGS if word.endswith(old) and word != old]
    return irregular + regular


def nearest_lemma(word: str) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest lemma of about the same beginning and length, or ``""``."""
    text = word.lower().replace("_", " ")
    candidates = [lemma for lemma in _keys_from(_table().lemmas, text[:2]) if abs(len(lemma) - len(text)) <= 2]
    return nearest(text, candidates)
