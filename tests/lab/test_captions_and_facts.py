"""Facts are measured, captions say only what was measured, and truth is told per pair."""

import random

import numpy as np
import pytest

from synthgap.core.records import ClassEntry
from synthgap.lab.captions import caption
from synthgap.lab.contrast import truths
from synthgap.lab.facts import FACTS, PHRASES, facts_of

CAT = ClassEntry("n02121620", "cat", ("cat", "true cat"), "feline mammal", (("feline", "felid"),))


def held(table: np.ndarray, row: int) -> set[str]:
    return {FACTS[i] for i in np.flatnonzero(table[row])}


def flat(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((32, 32, 3), colour, dtype=np.uint8)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    red, night, day, grey = flat((220, 20, 20)), flat((8, 8, 8)), flat((245, 245, 245)), flat((128, 128, 128))
    square = flat((20, 20, 200))
    square[12:20, 12:20] = (240, 30, 30)
    corner = flat((20, 160, 20))
    corner[:8, :8] = (250, 250, 250)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return facts_of(np.stack([red, night, day, grey, square, corner, noise, grey]), np.zeros(8, dtype=np.int64))


def test_brightness_and_colour_are_read_from_the_pixels(table: np.ndarray) -> None:
    assert {"red object", "red background"} <= held(table, 0)
    assert {"dark", "black background"} <= held(table, 1)
    assert {"bright", "white background"} <= held(table, 2)
    assert "gray background" in held(table, 3)


def test_object_and_background_are_told_apart(table: np.ndarray) -> None:
    assert {"red object", "blue background"} <= held(table, 4)
    assert "off-center" in held(table, 5)
    assert {"sharp", "cluttered"} <= held(table, 6)


def test_opposites_never_hold_together(table: np.ndarray) -> None:
    for high, low in (("bright", "dark"), ("sharp", "blurry"), ("large", "small"), ("typical", "unusual")):
        assert not (table[:, FACTS.index(high)] & table[:, FACTS.index(low)]).any()


def test_a_caption_claims_only_what_it_says_and_what_holds() -> None:
    facts = np.zeros(len(FACTS), dtype=bool)
    facts[[FACTS.index("dark"), FACTS.index("brown object")]] = True
    rng = random.Random(3)
    for _ in range(300):
        made = caption(CAT, facts, rng)
        assert all(facts[i] for i in made.claims)
        said = [name for name in ("dark", "brown object") if FACTS.index(name) in made.claims]
        if "dark" in said:
            assert any(phrase in made.text for phrase in PHRASES["dark"])
        if "brown object" in said:
            assert "brown" in made.text
        assert any(word in made.text for word in ("cat", "feline"))


def test_captions_vary_and_are_reproducible() -> None:
    facts = np.ones(len(FACTS), dtype=bool)
    texts = [caption(CAT, facts, random.Random(seed)).text for seed in range(50)]
    assert len(set(texts)) > 25
    assert texts == [caption(CAT, facts, random.Random(seed)).text for seed in range(50)]


def test_truth_needs_the_class_and_every_claim() -> None:
    dark = FACTS.index("dark")
    facts = np.zeros((3, len(FACTS)), dtype=bool)
    facts[0, dark] = True
    labels = np.array([0, 0, 1])
    captions = [caption(CAT, np.zeros(len(FACTS), dtype=bool), random.Random(0)) for _ in range(3)]
    captions[0] = type(captions[0])("dark cat", (dark,))
    expected = [[True, True, False], [False, True, False], [False, False, True]]
    assert truths(captions, labels, facts).tolist() == expected
