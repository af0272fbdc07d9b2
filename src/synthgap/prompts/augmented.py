"""PromptAug: a unique prompt for each image of a class, from a combinatorial set of modifiers (M Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import isqrt, prod

from synthgap.core.seeds import derived_seed
from synthgap.prompts.turns import place

_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Modifiers:
    """The values of each modifier; one of each makes a prompt, ``extent`` twice."""

    looks: tuple[str, ...]
    extent: tuple[str, ...]
    typical: tuple[str, ...]
    size: tuple[str, ...]
    location: tuple[str, ...]
    style: tuple[str, ...]

    def slots(self) -> tuple[tuple[str, ...], ...]:
        """The values to draw from, in the order of the prompt."""
        return (self.looks, self.extent, self.typical, self.extent, self.size, self.location, self.style)

    def combinations(self) -> int:
        """Number of different prompts of one class."""
        return prod(len(values) for values in self.slots())


@cache
def modifiers() -> Modifiers:
    """The shipped modifiers: those that M prints, then ours."""
    import yaml

    text = (files(__package__) / "data" / "modifiers.yaml").read_text("utf-8")
    content = yaml.safe_load(text)
    values = {name: (*parts["printed"], *parts["ours"]) for name, parts in content.items() if name != "version"}
    return Modifiers(**values)


def compose(values: tuple[str, ...], class_name: str) -> str:
    """Put one value of each slot around the class name, in the words of M Fig. 10.

    >>> compose(("ugly", "extremely", "uncommon", "slightly", "small size", "centered in the image", "Hyper-sharp"), "quail")
    'ugly, extremely uncommon, slightly small size quail, centered in the image. Hyper-sharp.'
    """
    looks, typical_extent, typical, size_extent, size, location, style = values
    typical, size = f"{typical_extent} {typical}".strip(), f"{size_extent} {size}".strip()
    return f"{looks}, {typical}, {size} {class_name}, {location}. {style}."


def augmented(class_name: str, class_key: str, index: int, seed: int) -> str:
    """Prompt of one image: the combination at a place that depends on the seed, the class and the index alone.

    Images of a class, train and eval together, share no prompt until they exceed ``modifiers().combinations()``.
    """
    slots, count = modifiers().slots(), modifiers().combinations()
    rest = shuffled(place(index, count), count, derived_seed(seed, "augmented", class_key))
    values = []
    for slot in slots:
        rest, digit = divmod(rest, len(slot))
        values.append(slot[digit])
    return compose(tuple(values), class_name)


def shuffled(place: int, count: int, key: int) -> int:
    """Place of an item in a pseudo-random order of ``count`` items, without making the order.

    A Feistel network on the smallest square that holds them, walked until it lands inside, is a permutation
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").

    >>> sorted(shuffled(place, 10, key=3) for place in range(10)) == list(range(10))
    True
    """
    side = isqrt(count - 1) + 1
    while True:
        left, right = divmod(place, side)
        for turn in range(_ROUNDS):
            left, right = right, (left + derived_seed(key, str(turn), str(right))) % side
        place = left * side + right
        if place < count:
            return place
