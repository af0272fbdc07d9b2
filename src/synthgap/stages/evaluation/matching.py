"""Which class of a set is which output of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthgap.stages.evaluation.numbering import wordnet_ids
from synthgap.store.imagenet_layouts import WNID
from synthgap.store.match import align_classes


@dataclass(frozen=True)
class Matched:
    """The classes that a set and a model have in common, and those that one of them lacks."""

    pairs: list[tuple[str, int, str]]
    """The set's key, the model's output and the set's name of each common class."""
    lacking: list[str]
    """The set's keys that the model has no output for."""
    surplus: list[str]
    """The model's keys that the set has no images of."""
    keys: dict[str, str]
    """WordNet id of each of the set's keys where it is known, else the key."""
    advice: str
    """What may help where nothing is in common."""


def match(present: Mapping[str, str], outputs: Mapping[str, str], wnids: Mapping[str, str]) -> Matched:
    """Pair a set's classes with a model's, by WordNet id where both are ImageNet's, else by key or name.

    Args:
        present: name of each class key of the set that has images.
        outputs: name of each of the model's class keys, in the order of its outputs.
        wnids: WordNet id of the set's class keys that are ImageNet's.
    """
    of_outputs = wordnet_ids(outputs)
    keys = {key: wnids.get(key, key) for key in present}
    own = {wnid: key for key, wnid in keys.items()}
    theirs = {of_outputs.get(key, key): (number, key) for number, key in enumerate(outputs)}
    names = {keys[key]: keys[key] if name.isdigit() else name for key, name in present.items()}
    pairs, lacking, surplus = align_classes(names, {wnid: outputs[key] for wnid, (_, key) in theirs.items()})
    return Matched(
        pairs=[(own[wnid], theirs[other][0], name) for wnid, other, name in pairs],
        lacking=[own[wnid] for wnid in lacking],
        surplus=[theirs[wnid][1] for wnid in surplus],
        keys=keys,
        advice=_advice(present, outputs, of_outputs),
    )


def _advice(present: Mapping[str, str], outputs: Mapping[str, str], of_outputs: Mapping[str, str]) -> str:
    if all(key.isdigit() for key in outputs) and not of_outputs:
        return "; numbers say no class: put the WordNet ids of the outputs as label_names into the model's config.json"
    if of_outputs and not any(WNID.fullmatch(key) for key in present):
        return "; name its folders by WordNet id (n01440764), or by number from 0 to 999 (position in the sorted ids)"
    return ""
