"""Prompts per class from a file: captions of a language model, or of the user.

    n02012849: [a crane in shallow water, a crane in flight]     # YAML or JSON: a list of texts by class
    crane.n.04: [a crane above a building site]

or, as CSV, Parquet, JSON Lines or a JSON list, one row per prompt with the columns ``class`` (or ``class_key``) and
``prompt`` (or ``caption``, ``text``). A class is a WordNet id, a synset's name, or the key or the name of a class in
use. Prompts of other synsets and nouns are left out; the order of the prompts of a class is the file's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry
from synthgap.prompts.caption_files import Rows, read_rows
from synthgap.prompts.wording import name_prompt
from synthgap.vocabulary import wordnet


@dataclass(frozen=True, slots=True)
class Captions:
    """The prompts of the classes in use. 1.28 million of them stay one column and never become as many objects."""

    texts: Any
    """pyarrow array of text, class after class."""
    slices: Mapping[str, tuple[int, int]]
    """First prompt and number of prompts by class key."""

    def count(self, class_key: str) -> int:
        """Number of prompts of a class; one that the file holds twice counts twice."""
        return self.slices[class_key][1]

    def prompt(self, class_key: str, place: int) -> str:
        """One prompt of a class, counted from 0."""
        return str(self.texts[self.slices[class_key][0] + place].as_py())

    def prompts(self, class_key: str) -> list[str]:
        """All prompts of a class, in the file's order."""
        return list(self.texts.slice(*self.slices[class_key]).to_pylist())


def load_captions(path: Path, entries: Sequence[ClassEntry]) -> Captions:
    """Prompts of the classes in use, from a file as above.

    Raises InputError, with the file and the place, for a missing or broken file, a class that is unknown or in use
    without a prompt, an empty prompt, and a value that is no text.
    """
    import numpy as np
    import pyarrow as pa

    rows = read_rows(path)
    encoded = rows.classes.dictionary_encode()
    codes = np.asarray(encoded.indices)
    numbers = _class_numbers(encoded.dictionary.to_pylist(), codes, rows, _Names(entries))[codes]
    counts = np.bincount(numbers[numbers >= 0], minlength=len(entries))
    if not counts.all():
        _refuse_missing(path, entries, counts)
    order = np.argsort(numbers, kind="stable")[len(numbers) - counts.sum() :]
    ends = counts.cumsum()
    slices = {
        entry.class_key: (int(end - count), int(count)) for entry, end, count in zip(entries, ends, counts, strict=True)
    }
    return Captions(rows.texts.take(pa.array(order)), slices)


def _class_numbers(names: Sequence[str], codes: Any, rows: Rows, known: _Names) -> Any:
    """For each distinct class of the file its place among the classes in use, or -1."""
    import numpy as np

    numbers = np.full(len(names), -1, dtype=np.int64)
    for code, name in enumerate(names):
        try:
            numbers[code] = known.number(name)
        except InputError as error:
            raise InputError(f"{rows.where(int(np.argmax(codes == code)))}: {error}") from None
    return numbers


def _refuse_missing(path: Path, entries: Sequence[ClassEntry], counts: Any) -> None:
    missing = [entry for entry, count in zip(entries, counts, strict=True) if not count]
    more = f" (and for {len(missing) - 1} more of {len(entries)} classes)" if len(missing) > 1 else ""
    raise InputError(f"{path}: no prompt for {missing[0].class_key} ({missing[0].name}){more}; add at least one")


class _Names:
    """What a file may call the classes in use."""

    def __init__(self, entries: Sequence[ClassEntry]) -> None:
        self._keys = {entry.class_key: number for number, entry in enumerate(entries)}
        self._names: dict[str, set[int]] = {}
        for number, entry in enumerate(entries):
            for name in (entry.name, name_prompt(entry)):
                self._names.setdefault(_folded(name), set()).add(number)

    def number(self, text: str) -> int:
        """Place of a class among those in use; -1 for a synset or a noun that is not. Raises InputError for any other."""
        if text in self._keys:
            return self._keys[text]
        found = self._names.get(_folded(text), set())
        if len(found) == 1:
            return next(iter(found))
        if found:
            keys = ", ".join(key for key, number in self._keys.items() if number in found)
            raise InputError(f"{text!r} is the name of {len(found)} classes ({keys}); write the key of one")
        if wordnet.WNID.fullmatch(text):
            return self._keys.get(wordnet.synset(text).class_key, -1)
        if wordnet.SYNSET_NAME.fullmatch(text):
            return self._keys.get(wordnet.synset_id(text), -1)
        if wordnet.sense_ids(text.partition(",")[0]):
            return -1
        hint = nearest(text, [*self._keys, *self._names]) or "; write n02012849, crane.n.05, or a class's key or name"
        raise InputError(f"unknown class {text[:60]!r}{hint}")


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
