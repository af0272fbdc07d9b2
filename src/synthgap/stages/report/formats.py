"""Numbers as people read them: sensible digits, real minus signs, a dash where there is no number."""

from __future__ import annotations

import math
from typing import Literal

Unit = Literal["percent", "cosine", "number"]

NOTHING = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_number(value: object) -> bool:
    """Whether a value is a finite number (``None``, NaN, infinities and strings are not)."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, as ``0.0123``, ``12.3``, ``1,230`` or ``1.23×10⁻⁵``.

    >>> [number(value) for value in (0.01234, 12.34, 1234.0, 0.00001234, -0.5, 0.0, float("nan"))]
    ['0.0123', '12.3', '1,234', '1.23×10⁻⁵', '−0.500', '0', '–']
    """
    if value is None or not is_number(value):
        return NOTHING
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4 or magnitude > 8:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")
    return f"{value:,.{max(0, digits - 1 - magnitude)}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share in [0, 1] as a percentage with one digit.

    >>> [percent(value) for value in (0.8144, 1.0, 0.0, float("nan"))]
    ['81.4%', '100%', '0.0%', '–']
    """
    if value is None or not is_number(value):
        return NOTHING
    text = f"{100 * value:.1f}"
    return ("100" if text == "100.0" else text).replace("-", "−") + "%"


def cosine(value: float | None) -> str:
    """A cosine with three digits after the point."""
    return f"{value:.3f}".replace("-", "−") if value is not None and is_number(value) else NOTHING


def shown(value: float | None, unit: Unit) -> str:
    """A value in its unit."""
    return {"percent": percent, "cosine": cosine, "number": number}[unit](value)


def interval(low: float | None, high: float | None, unit: Unit) -> str:
    """An interval such as ``78.9 – 84.0%``; an empty string when an end is missing.

    >>> interval(0.789, 0.84, "percent"), interval(float("nan"), 1.0, "number")
    ('78.9 – 84.0%', '')
    """
    if not (is_number(low) and is_number(high)):
        return ""
    first = shown(low, unit)
    return f"{first.removesuffix('%')} – {shown(high, unit)}"


def ratio(value: float | None) -> str:
    """A ratio such as ``4.2×``.

    >>> [ratio(value) for value in (4.21, 0.553, 182.0, None)]
    ['4.2×', '0.55×', '182×', '–']
    """
    if value is None or not is_number(value):
        return NOTHING
    digits = 2 if abs(value) < 1 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}×".replace("-", "−")


def points(value: float | None) -> str:
    """A difference of two shares in percentage points, with its sign.

    >>> points(-0.1721), points(0.02)
    ('−17.2 points', '+2.0 points')
    """
    return f"{100 * value:+.1f} points".replace("-", "−") if value is not None and is_number(value) else NOTHING


def count(value: float | None) -> str:
    """A whole number with thousands apart."""
    return f"{int(value):,}" if value is not None and is_number(value) else NOTHING


def seconds(value: float | None) -> str:
    """A duration.

    >>> seconds(4.23), seconds(192.0), seconds(7260.0)
    ('4.2 s', '3 min 12 s', '2 h 1 min')
    """
    if value is None or not is_number(value):
        return NOTHING
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
