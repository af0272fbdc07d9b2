"""Names with several noun senses, by the risk that a generator draws another sense than the class's (M reason 1).

The risk of a lemma is the share that its other senses have in what it may call up:

    risk = R / (own + R),   own = w(rank) * main,   R = sum over other senses of w(rank) * main * visible * unlike * kin
    w(rank) = 1 / min(rank, 4)

``rank`` is WordNet's order of senses, the commonest first; beyond the fourth the order of rare senses says nothing.
``main`` halves a sense that WordNet calls by another name first. ``visible`` and ``unlike`` (``taxonomy``) make a
sense count less that has no shape, or looks like the class's own; ``kin`` one that is its fruit, fur or flesh. The prompt's risk is its first name's, or half of
another lemma's where that is more, and falls with each cue: a further word of the prompt that has this sense only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from synthgap.core.records import ClassEntry
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.lint.records import LEAST, LintFinding
from synthgap.vocabulary.lint.taxonomy import NARROW, ancestors, depth, domain, unlike, visible

CUE = 0.4
"""What one cue leaves of the risk; two leave its square, more leave no less."""
SYNONYM = 0.5
"""Weight of a lemma that is not the first."""


LAST_RANK = 4
OTHER_NAME = 0.5
SAME_THING = 0.3
GROWN = ({"plant", "food"}, {"plant", "natural object"}, {"fungus", "food"}, {"plant", "fungus"})
DESCRIBED = 0.5
"""Weight of persons whom a word describes rather than names (a printer is someone who prints), and of slang."""
_DESCRIBED = r"(?:an? )?(?:someone|person|somebody|one|workman|worker|informal terms?|slang)\b"


@dataclass(frozen=True, slots=True)
class Risk:
    """What a word may be mistaken for."""

    lemma: str
    value: float
    rank: int
    """Place of the class's own sense among the senses of the lemma, from 1."""
    count: int
    """Number of noun senses."""
    rivals: tuple[str, ...]
    """Ids of the other senses, the riskiest first."""


@cache
def lemma_risk(lemma: str, wnid: str) -> Risk:
    """Risk that a lemma calls up another sense than this one, in [0, 1); 0 where it has no other.

    >>> round(lemma_risk("crane", "n02012849").value, 2), lemma_risk("zebra", "n02391049").value
    (0.83, 0.0)
    """
    ids = wordnet.sense_ids(lemma)
    if wnid not in ids or len(ids) == 1:
        return Risk(lemma, 0.0, 1, len(ids), ())
    own = ids.index(wnid) + 1
    pulls = {
        other: _weight(lemma, other, rank) * visible(other) * unlike(wnid, other) * _kinship(lemma, wnid, other)
        for rank, other in enumerate(ids, start=1)
        if other != wnid
    }
    total = sum(pulls.values())
    rivals = sorted(pulls, key=lambda other: (-pulls[other], ids.index(other)))
    return Risk(lemma, total / (_weight(lemma, wnid, own) + total), own, len(ids), tuple(rivals))


def _weight(lemma: str, wnid: str, rank: int) -> float:
    """How readily a word calls up one of its senses: by its place, and whether it is the sense's main name."""
    main = plain(wordnet.synset(wnid).lemmas[0]) == plain(wordnet.base_form(lemma) or lemma)
    return (1.0 if main else OTHER_NAME) / min(rank, LAST_RANK)


def _kinship(lemma: str, wnid: str, other: str) -> float:
    """Less than 1 for a plant and its fruit, an animal and its fur or flesh: other senses, yet the same to look at."""
    word = wordnet.base_form(lemma) or lemma
    if {domain(wnid), domain(other)} in GROWN or any(
        holds(wordnet.synset(one).definition, word) for one in (wnid, other)
    ):
        return SAME_THING
    return DESCRIBED if re.match(_DESCRIBED, wordnet.synset(other).definition) else 1.0


def plain(text: str) -> str:
    """Lower case without spaces, hyphens and the like: how two spellings are told to be one. C++ and C# stay two."""
    return re.sub(r"[\s_.,;:!?'’‘\"-]", "", text.casefold()) or text


def holds(prompt: str, words: str) -> bool:
    """Whether a prompt holds these words as whole words, whatever their capitals."""
    if words.casefold() not in prompt.casefold():
        return False
    return re.search(rf"(?<!\w){re.escape(words.casefold())}(?!\w)", prompt.casefold()) is not None


def cues(entry: ClassEntry, prompt: str, shared: frozenset[str] = frozenset()) -> list[str]:
    """Words of a prompt, beside the first name, that have the class's sense only: lemmas, hypernyms, its definition.

    ``shared`` are names in plain spelling that other classes of the list bear too: they tell nothing apart.
    """
    first = plain(entry.lemmas[0])
    names = {plain(lemma): lemma for lemma in entry.lemmas[1:] if holds(prompt, lemma)}
    found = [
        lemma
        for key, lemma in names.items()
        if key != first and key not in shared and len(wordnet.sense_ids(lemma)) == 1
    ]
    found += _ancestors_in(entry, prompt, first)[:1]
    if entry.definition and entry.definition in prompt:
        found.append("its definition")
    return found


def _ancestors_in(entry: ClassEntry, prompt: str, first: str) -> list[str]:
    """Names of ancestors that a prompt holds apart from the class's own names."""
    if not wordnet.WNID.fullmatch(entry.class_key):
        return []
    rest = prompt
    for lemma in entry.lemmas[1:]:
        rest = re.sub(re.escape(lemma), " ", rest, flags=re.IGNORECASE)
    near = [one for one in ancestors(entry.class_key) if depth(one) >= NARROW]
    return [name for one in near for name in wordnet.synset(one).lemmas if plain(name) != first and holds(rest, name)]


def damping(count: int) -> float:
    """What a number of cues leaves of a risk."""
    return CUE ** min(count, 2)


def several_senses(entries: Iterable[ClassEntry], prompts: Mapping[str, str]) -> list[LintFinding]:
    """Findings on names whose other senses a generator may draw; none for a class that is not in WordNet.

    A prompt that holds none of a lemma's words (a clarified one, a user's caption) is not judged by that lemma.
    """
    found = []
    for entry in entries:
        prompt = prompts[entry.class_key]
        risks = [lemma_risk(lemma, entry.class_key) for lemma in entry.lemmas if holds(prompt, lemma)]
        if not risks:
            continue
        weights = [1.0 if index == 0 else SYNONYM for index in range(len(risks))]
        value, index = max((risk.value * weights[place], -place) for place, risk in enumerate(risks))
        hints = cues(entry, prompt)
        if index and risks[0].lemma == entry.lemmas[0] and risks[0].count == 1:
            hints.insert(0, entry.lemmas[0])
        severity = value * damping(len(hints))
        if severity >= LEAST:
            risk = risks[-index]
            what = _sentence(risk, hints)
            found.append(LintFinding(entry.class_key, entry.name, "several-senses", severity, what, risk.rivals[:3]))
    return found


def _sentence(risk: Risk, hints: list[str]) -> str:
    others = "; ".join(describe(wnid) for wnid in risk.rivals[:2])
    hint = f"; {hints[0]!r} in the prompt helps" if hints else ""
    return f"{risk.lemma!r} has {risk.count} noun senses and this is number {risk.rank}; also {others}{hint}"


def describe(wnid: str) -> str:
    """A sense in a few words: its synset name and the first words of its definition.

    >>> describe("n02012849")
    'crane.n.05 (large long-necked wading bird of marshes and…)'
    """
    entry = wordnet.synset(wnid)
    words, text = entry.definition.split(), ""
    for word in words:
        if len(text) + len(word) > 45:
            text += "…"
            break
        text = f"{text} {word}".strip()
    return f"{wordnet.synset_name(entry)} ({text})"
