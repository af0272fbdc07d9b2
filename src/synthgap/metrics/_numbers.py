"""Checks of numbers that are no counts: messages as in `_checks`."""

from __future__ import annotations


def number(name: str, value: float, expected: str, *, above: float, most: float) -> float:
    """Return a number above one bound and at most the other; NaN and booleans are refused."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value <= most:
        raise ValueError(f"{name}: found {value!r}; expected {expected}")
    return float(value)


def flag(name: str, value: bool) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: found {value!r}; expected True or False")
    return value
