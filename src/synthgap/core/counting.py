"""Counted nouns, for every line that a user reads."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is one; thousands are set apart.

    >>> counted(1, "image"), counted(0, "test image"), counted(1200, "class")
    ('1 image', '0 test images', '1,200 classes')
    """
    plural = noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
    return f"{count:,} {noun if count == 1 else plural}"
