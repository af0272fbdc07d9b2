"""Which class of one set is which class of another."""

from __future__ import annotations

import re
from collections.abc import Mapping


def align_classes(
    a: Mapping[str, str], b: Mapping[str, str]
) -> tuple[list[tuple[str, str, str]], list[str], list[str]]:
    """Pair the classes of two sets, first by key, then by name.

    Names are compared without regard to case, ``_``, ``-`` and spaces, and only where one name is one class in each
    set: two senses of "crane" are never guessed at.

    Args:
        a: name of each class key of the first set.
        b: the same of the second.

    Returns:
        Pairs ``(key_a, key_b, name in a)`` in the order of ``a``; keys only in ``a``; keys only in ``b``.

    >>> align_classes({"frog": "frog", "x": "x"}, {"n01639765": "Frog"})
    ([('frog', 'n01639765', 'frog')], ['x'], [])
    """
    partner = {key: key for key in a if key in b}
    free_b = [key for key in b if key not in partner]
    names_a = _unique_names({key: a[key] for key in a if key not in partner})
    names_b = _unique_names({key: b[key] for key in free_b})
    partner |= {key: names_b[name] for name, key in names_a.items() if name in names_b}
    taken = set(partner.values())
    pairs = [(key, partner[key], a[key]) for key in a if key in partner]
    return pairs, [key for key in a if key not in partner], [key for key in b if key not in taken]


def _unique_names(classes: Mapping[str, str]) -> dict[str, str]:
    """Key of each normalised name that stands for one class only."""
    keys: dict[str, list[str]] = {}
    for key, name in classes.items():
        keys.setdefault(re.sub(r"[\s_-]+", " ", name).strip().casefold(), []).append(key)
    return {name: found[0] for name, found in keys.items() if len(found) == 1}
