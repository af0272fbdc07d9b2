"""The transfer sets of S Table 4 and the levels of ImageNet-CoG: what they are called, how large they are, how they are solved.

None is shipped: the user has the images. Table 4 prints SUN397's row under the name Pets; its citation and its 397
classes say which it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Group = Literal["small-scale", "long-tail", "ImageNet-CoG"]
COG_LEVELS = 5


@dataclass(frozen=True)
class KnownSet:
    """One transfer set as S Table 4 prints it. All are scored by top-1 accuracy (S Table 3)."""

    name: str
    group: Group
    classes: int
    train: int | None
    """Images to learn from, without those for validation; None where S prints none."""
    validation: int | None
    test: int | None
    validation_given: bool
    """Whether the set comes with a validation split; otherwise a part of the training images is taken."""
    test_given: bool
    solver: Literal["lbfgs", "sgd"]
    aliases: tuple[str, ...]
    """How its folder may be called, in small letters without signs."""

    @property
    def validation_share(self) -> float | None:
        """Share of the training images that S keeps apart for tuning; None where it does not say."""
        if self.train is None or self.validation is None:
            return None
        return self.validation / (self.train + self.validation)


def _small(
    name: str, classes: int, train: int, validation: int, test: int, given: tuple[bool, bool], *aliases: str
) -> KnownSet:
    return KnownSet(name, "small-scale", classes, train, validation, test, *given, "lbfgs", aliases)


KNOWN_SETS = (
    _small("Aircraft", 100, 3334, 3333, 3333, (True, True), "aircraft", "fgvcaircraft", "fgvcaircraft2013b"),
    _small("Cars196", 196, 5700, 2444, 8041, (False, True), "cars196", "cars", "stanfordcars"),
    _small("DTD", 47, 1880, 1880, 1880, (True, True), "dtd", "describabletextures"),
    _small("EuroSAT", 10, 13500, 5400, 8100, (False, False), "eurosat", "eurosatrgb"),
    _small(
        "Flowers", 102, 1020, 1020, 6149, (True, True), "flowers", "flowers102", "oxfordflowers102", "oxfordflowers"
    ),
    _small("Pets", 37, 2570, 1110, 3669, (False, True), "pets", "oxfordpets", "oxfordiiitpet", "oxfordiiitpets"),
    _small("Food101", 101, 68175, 7575, 25250, (False, True), "food101", "food"),
    _small("SUN397", 397, 15880, 3970, 19850, (False, True), "sun397", "sun"),
    KnownSet(
        "iNat2018",
        "long-tail",
        8142,
        437513,
        None,
        24426,
        False,
        True,
        "sgd",
        ("inat2018", "inat18", "inaturalist2018"),
    ),
    KnownSet(
        "iNat2019", "long-tail", 1010, 265213, None, 3030, False, True, "sgd", ("inat2019", "inat19", "inaturalist2019")
    ),
    *(
        KnownSet(
            f"CoG-L{level}",
            "ImageNet-CoG",
            1000,
            None,
            None,
            None,
            False,
            True,
            "sgd",
            (f"cogl{level}", f"imagenetcogl{level}", f"imagenetcoglevel{level}"),
        )
        for level in range(1, COG_LEVELS + 1)
    ),
)


def known_set(name: str) -> KnownSet | None:
    """The set that goes by a name, whatever its capitals and signs; None for any other.

    >>> known_set("Stanford_Cars").name, known_set("oxford-iiit-pet").name, known_set("clothing")
    ('Cars196', 'Pets', None)
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((one for one in KNOWN_SETS if plain in one.aliases), None)


def recognise(name: str | None, path_name: str, classes: int) -> KnownSet | None:
    """The set that the user names; without a name the one that a folder's name and number of classes tell, or None."""
    if name is not None:
        return known_set(name)
    found = known_set(path_name)
    return found if found is not None and found.classes == classes else None


def size_notes(known: KnownSet, classes: int, learning: int, test: int) -> list[str]:
    """How a set differs from what S Table 4 prints, in one note, or none.

    Args:
        known: the printed sizes.
        classes: that the set has.
        learning: images to learn from and for validation together.
        test: images to be scored.
    """
    printed = None if known.train is None else known.train + (known.validation or 0)
    pairs = (
        ("classes", classes, known.classes),
        ("training images", learning, printed),
        ("test images", test, known.test),
    )
    differ = [f"{found:,} {what}, not {said:,}" for what, found, said in pairs if said is not None and found != said]
    return [f"has {', '.join(differ)} as in S Table 4: figures do not compare with the paper's"] if differ else []
