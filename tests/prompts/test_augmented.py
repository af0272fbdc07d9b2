"""PromptAug: the paper's own prompts can be composed, prompts are unique, and no order of calls matters."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgap.core.seeds import EVAL_INDEX
from synthgap.prompts.augmented import augmented, compose, modifiers, shuffled

PRINTED = [
    (
        ("beautiful", "", "common", "extremely", "small", "with many other other objects visible", "Hyper-sharp"),
        "beautiful, common, extremely small quail, with many other other objects visible. Hyper-sharp.",
    ),
    (
        ("old", "", "common", "extremely", "large size", "centered in the image", "Typical snapshot"),
        "old, common, extremely large size quail, centered in the image. Typical snapshot.",
    ),
    (
        ("ugly", "extremely", "uncommon", "slightly", "small size", "centered in the image", "Hyper-sharp"),
        "ugly, extremely uncommon, slightly small size quail, centered in the image. Hyper-sharp.",
    ),
]


def quails(indices, seed=7):
    return [augmented("quail", "n01806567", index, seed) for index in indices]


@pytest.mark.parametrize(("values", "prompt"), PRINTED)
def test_the_papers_prompts_are_among_ours(values, prompt):
    assert compose(values, "quail") == prompt
    assert all(value in slot for value, slot in zip(values, modifiers().slots(), strict=True))


def test_the_papers_modifiers_are_all_there():
    shipped = modifiers()
    assert {"beautiful", "ugly", "old"} <= set(shipped.looks)
    assert {"", "slightly", "very", "extremely"} <= set(shipped.extent)
    assert {"uncommon", "typical", "common"} <= set(shipped.typical)
    assert {"small", "large", "small size", "large size"} <= set(shipped.size)
    assert {"partially occluded", "centered in the image", "with many other other objects visible"} <= set(
        shipped.location
    )
    assert {"Overexposed", "Hyper-sharp", "Typical snapshot"} <= set(shipped.style)


def test_no_modifier_speaks_of_colour_texture_or_feel():
    words = set(re.findall(r"[a-z]+", " ".join(value for slot in modifiers().slots() for value in slot).lower()))
    assert not words & {"red", "green", "blue", "yellow", "white", "black", "colorful", "pale", "dark", "bright"}
    assert not words & {"smooth", "rough", "soft", "hard", "furry", "shiny", "glossy", "wet", "dry", "warm", "cold"}


def test_values_are_distinct_so_that_combinations_are():
    for slot in modifiers().slots():
        assert len(set(slot)) == len(slot)
    assert modifiers().combinations() == 86_400


def test_five_thousand_prompts_of_a_class_are_unique():
    assert len(set(quails(range(5_000)))) == 5_000


def test_train_and_eval_prompts_are_unique_together():
    prompts = quails(range(8_000)) + quails(range(EVAL_INDEX, EVAL_INDEX + 500))
    assert len(set(prompts)) == 8_500


def test_order_seed_and_class():
    assert quails(reversed(range(50))) == quails(range(50))[::-1]
    assert quails(range(50), seed=8) != quails(range(50))
    assert [augmented("quail", "n00000001", index, 7) for index in range(50)] != quails(range(50))


def test_few_images_already_meet_every_value():
    prompts = quails(range(300))
    for values in (modifiers().looks, modifiers().location):
        counts = Counter(
            value for prompt in prompts for value in values if f"{value}," in prompt or f", {value}." in prompt
        )
        assert set(counts) == set(values)
        assert max(counts.values()) < 3 * min(counts.values())


@given(st.integers(1, 400), st.integers(0, 2**63 - 1))
def test_shuffled_is_a_permutation(count, key):
    assert sorted(shuffled(place, count, key) for place in range(count)) == list(range(count))


def test_shuffled_looks_random():
    count = 10_000
    order = [shuffled(place, count, 3) for place in range(1_000)]
    steps = Counter((later - earlier) % count for earlier, later in pairwise(order))
    assert steps.most_common(1)[0][1] < 6
    assert abs(sum(order) / len(order) - count / 2) < 500
