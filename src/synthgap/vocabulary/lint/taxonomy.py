"""Where a noun sense stands in WordNet: its ancestors, how alike two senses are, and what can be seen of it.

WordNet's lexicographer domains are not in the shipped table; a sense's domain here is the nearest of a few ancestors.
"""

from __future__ import annotations

from functools import cache

from synthgap.vocabulary import wordnet

DOMAINS = {
    "n00007846": "person",
    "n00015388": "animal",
    "n00017222": "plant",
    "n12992868": "fungus",
    "n00021265": "food",
    "n07555863": "food",
    "n05220461": "body part",
    "n00021939": "artifact",
    "n00019128": "natural object",
    "n09287968": "geological formation",
    "n00019613": "substance",
    "n00027167": "place",
    "n00031264": "group",
    "n00029378": "event",
    "n00034213": "phenomenon",
    "n00001930": "physical thing",
}
"""Name of the domain that each of these synsets heads; what is under none of them is abstract."""

VISIBLE = {"substance": 0.5, "place": 0.5, "group": 0.5, "event": 0.2, "phenomenon": 0.2, "abstract": 0.2}
"""How readily a sense of a domain is drawn, against 1 for a thing with a shape."""
FAMOUS_PERSON, INDIVIDUAL = 0.6, 0.3
"""The same for named individuals: text encoders know persons by name (M Fig. 2), constellations and places less."""

NARROW = 7
"""Depth from which on a hypernym tells something: 'animal', 'device' and 'container' have it, 'object' has not."""


@cache
def ancestors(wnid: str) -> tuple[str, ...]:
    """Ids of all hypernyms up to the root, the nearest first, each once."""
    found = dict.fromkeys(wordnet.parent_ids(wnid))
    queue = list(found)
    while queue:
        for parent in wordnet.parent_ids(queue.pop(0)):
            if parent not in found:
                found[parent] = None
                queue.append(parent)
    return tuple(found)


@cache
def depth(wnid: str) -> int:
    """Steps to the root by the shortest way, the root's being 1."""
    return 1 + min((depth(parent) for parent in wordnet.parent_ids(wnid)), default=0)


@cache
def domain(wnid: str) -> str:
    """Domain of a sense: ``animal``, ``artifact`` …, or ``abstract``.

    >>> domain("n02012849"), domain("n03126707"), domain("n10914331")
    ('animal', 'artifact', 'person')
    """
    return next((DOMAINS[one] for one in (wnid, *ancestors(wnid)) if one in DOMAINS), "abstract")


def visible(wnid: str) -> float:
    """How readily a sense is drawn, in (0, 1]: 1 for a thing with a shape, 0.2 for an abstract sense."""
    found = domain(wnid)
    if wordnet.is_instance(wnid):
        return FAMOUS_PERSON if found == "person" else INDIVIDUAL
    return VISIBLE.get(found, 1.0)


@cache
def unlike(wnid: str, other: str) -> float:
    """How different two senses look, in [0, 1]: 1 across domains, else 1 less Wu and Palmer's similarity (1994).

    >>> unlike("n02012849", "n03126707"), round(unlike("n03710721", "n03710637"), 2)
    (1.0, 0.33)
    """
    if domain(wnid) != domain(other):
        return 1.0
    mine, theirs = {wnid, *ancestors(wnid)}, {other, *ancestors(other)}
    shared = max((depth(one) for one in mine & theirs), default=0)
    return max(0.0, 1 - 2 * shared / (depth(wnid) + depth(other)))


def is_kind_of(wnid: str, other: str) -> bool:
    """Whether the first sense is the second or one of its kinds."""
    return wnid == other or other in ancestors(wnid)


def related(wnid: str, other: str) -> bool:
    """Whether one sense is the other or a kind of it."""
    return is_kind_of(wnid, other) or is_kind_of(other, wnid)
