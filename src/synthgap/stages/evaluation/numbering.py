"""From the names that sets and models give ImageNet's classes to WordNet ids.

Sets and models name them by WordNet id, by number (position in the sorted WordNet ids, whatever order a file system or
a loader lists "0", "1", "10" in), or by words ("tench, Tinca tinca").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from synthgap.stages.evaluation.benchmarks import wnids
from synthgap.store.imagenet_layouts import WNID
from synthgap.vocabulary.shipped import shipped_entries

ALL = "imagenet-1k"
MOSTLY = 0.9
"""Share of names that must be ImageNet's for all of them to be taken as such: a few differ between publishers."""


def wordnet_ids(classes: Mapping[str, str], numbered: Sequence[str] | None = None) -> dict[str, str]:
    """WordNet id of each class key that is known to be a class of ImageNet.

    Args:
        classes: name of each class key, in the order of its set or model.
        numbered: WordNet ids in the order of the numbers, where it is known that numbers are meant; otherwise numbers
            are read so only where they are 0 to 999 without a gap.

    Returns:
        WordNet ids that are all different; empty where the classes are not ImageNet's.

    >>> wordnet_ids({"n01440764": "tench", "frog": "frog"}), wordnet_ids({"10": "10", "2": "2"}, wordnet_order()[:200])
    ({'n01440764': 'n01440764'}, {'10': 'n01530575', '2': 'n01484850'})
    """
    found = {key: key for key in classes if WNID.fullmatch(key)} or _worded(classes) or _numbered(classes, numbered)
    return found if len(set(found.values())) == len(found) else {}


def wordnet_order() -> tuple[str, ...]:
    """ImageNet-1K's WordNet ids in the order of its numbers."""
    return wnids(ALL)


def _numbered(classes: Mapping[str, str], numbered: Sequence[str] | None) -> dict[str, str]:
    if not all(re.fullmatch(r"\d{1,4}", key) for key in classes):
        return {}
    order = wordnet_order()
    numbers = {int(key) for key in classes}
    if numbered is not None and numbers == set(range(len(numbered))):
        order = tuple(numbered)  # a subset may also be numbered on its own, from 0 to 199
    elif numbered is None and numbers != set(range(len(order))):
        return {}
    return {key: order[int(key)] for key in classes} if max(numbers) < len(order) else {}


def _worded(classes: Mapping[str, str]) -> dict[str, str]:
    """By the lemmas; where all thousand are there in their order, also the few whose words another publisher changed."""
    known = _by_lemmas()
    found = {key: known[word] for key, name in classes.items() if (word := _plain(name)) in known}
    if len(found) < MOSTLY * len(classes):
        return {}
    order = dict(zip(classes, wordnet_order(), strict=False))
    in_order = len(classes) == len(wordnet_order()) and all(order[key] == wnid for key, wnid in found.items())
    return order if in_order else found


@cache
def _by_lemmas() -> dict[str, str]:
    """WordNet id by lemmas, where only one class has them: two are called "crane" and nothing else."""
    words = {entry.class_key: _plain(", ".join(entry.lemmas)) for entry in shipped_entries(ALL)}
    times = Counter(words.values())
    return {word: wnid for wnid, word in words.items() if times[word] == 1}


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()
