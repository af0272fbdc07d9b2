"""Captions for the lab: varied free text that says what an image shows and what is measured of it.

The same words that the recipes use (lemmas, hypernyms, definitions, templates, modifiers), so that every recipe has
an effect to measure.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgap.core.records import ClassEntry
from synthgap.lab.facts import FACTS, PHRASES

TEMPLATES = (
    "{}", "a photo of a {}", "a photo of the {}", "a picture of a {}", "an image of a {}", "a {}", "the {}", "one {}",
    "a photograph of a {}", "a snapshot of a {}", "typical snapshot of a {}", "itap of a {}", "photo of a {}",
)  # fmt: skip
EXTENTS = ("slightly", "somewhat", "very", "extremely", "quite")
LOOKS = ("beautiful", "ugly", "old", "new", "nice", "plain-looking")
_PREFIX = {"dark", "bright", "sharp", "blurry", "colorful", "pale", "large", "small", "typical", "unusual"}
_GRADED = {"large", "small", "typical", "unusual", "dark", "bright", "sharp", "blurry"}


@dataclass(frozen=True)
class Caption:
    """A caption and the facts it claims (indices into ``FACTS``)."""

    text: str
    claims: tuple[int, ...]


def noun_phrase(entry: ClassEntry, rng: random.Random) -> str:
    """Say the class in one of the recipes' ways: a lemma, all lemmas, with the hypernym, or with the definition."""
    lemma = entry.name if rng.random() < 0.5 else rng.choice(entry.lemmas)
    names = ", ".join(entry.lemmas)
    parents = ", ".join(", ".join(parent) for parent in entry.hypernyms)
    kind = rng.random()
    if kind < 0.62:
        return lemma
    if kind < 0.76:
        return names
    if kind < 0.88 and parents:
        return f"{names if rng.random() < 0.6 else lemma}, {parents}"
    if entry.definition:
        return f"{names if rng.random() < 0.6 else lemma}, {entry.definition}"
    return lemma


def caption(entry: ClassEntry, facts: NDArray[np.bool_], rng: random.Random) -> Caption:
    """Write one caption for an image of a class with the given facts (len(FACTS),)."""
    noun = noun_phrase(entry, rng)
    if rng.random() < 0.35:
        return Caption(rng.choice(TEMPLATES).format(noun), ())
    held = [FACTS[i] for i in np.flatnonzero(facts)]
    graded = [name for name in held if name in PHRASES]
    colours = [name for name in held if name not in PHRASES]
    said = rng.sample(graded, min(len(graded), rng.choice((0, 1, 1, 2, 3))))
    said += [name for name in colours if rng.random() < 0.35]
    return _spell(noun, said, rng)


def _spell(noun: str, said: list[str], rng: random.Random) -> Caption:
    before, after = [], []
    if rng.random() < 0.2:
        before.append(rng.choice(LOOKS))
    for name in said:
        if name.endswith(" object"):
            before.append(name.removesuffix(" object"))
            continue
        if name.endswith(" background"):
            after.append(rng.choice(("on a {} background", "{} surroundings", "{} background")).format(name.split()[0]))
            continue
        phrase = rng.choice(PHRASES[name])
        leading = name in _PREFIX and " " not in phrase
        if leading and name in _GRADED and rng.random() < 0.4:
            phrase = f"{rng.choice(EXTENTS)} {phrase}"
        elif not leading and name in ("plain", "cluttered"):
            phrase = f"with {phrase}"
        (before if leading else after).append(phrase)
    rng.shuffle(before)
    rng.shuffle(after)
    joint = ", " if rng.random() < 0.5 else " "
    text = joint.join([*before[:-1], f"{before[-1]} {noun}"]) if before else noun
    if rng.random() < 0.4:
        text = rng.choice(TEMPLATES).format(text)
    ending = rng.choice((", ", ". ")) if after else ""
    return Caption(text + ending + ", ".join(after), tuple(FACTS.index(name) for name in said))
