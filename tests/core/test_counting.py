"""Counted nouns."""

from __future__ import annotations

import doctest

import pytest

from synthgap.core import counting


def test_the_examples_run() -> None:
    assert doctest.testmod(counting).failed == 0


@pytest.mark.parametrize("noun", ["image", "class", "shard", "test image", "batch"])
def test_one_is_the_noun_itself_and_more_end_in_s(noun: str) -> None:
    assert counting.counted(1, noun) == f"1 {noun}"
    assert counting.counted(2, noun).startswith(f"2 {noun}") and counting.counted(2, noun).endswith("s")
    assert counting.counted(2, "class") == "2 classes" and counting.counted(12_345, "row") == "12,345 rows"
