"""Class keys of classes that are not in WordNet: safe in file names, addresses and table rows."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from synthgap.core.errors import InputError
from synthgap.core.records import OVERALL

CLASS_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
"""What every class key matches: a WordNet id, or a slug."""

LONGEST_NAME = 200
"""Characters; a longer text is a pasted file or a prompt, and cannot be a class name."""


def clean_name(text: str) -> str:
    """A class name with its white space and Unicode form made regular (NFKC).

    Raises InputError for a name that is empty, too long, or holds control or invisible characters.
    """
    if len(text) > LONGEST_NAME:
        raise InputError(
            f"a class name of {len(text):,} characters ({text[:30]!r}…); expected at most {LONGEST_NAME}; "
            "write long texts as prompts, not as class names"
        )
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    for character in name:
        if unicodedata.category(character).startswith("C"):
            raise InputError(f"the class name {text!r} holds the invisible character U+{ord(character):04X}; remove it")
    if not any(character.isalnum() for character in name):
        raise InputError(f"the class name {text!r} holds no letter or digit; write a word")
    return name


def slug(name: str) -> str:
    """Class key of a user's own name: lower case, joined by underscores, at most 80 characters.

    A name that cannot be kept whole (other scripts, too long, reserved) gets a hash, so that two names never share
    a key by loss.

    >>> slug("My new Widget!"), slug("naïve art")
    ('my_new_widget', 'naive_art-a9e98f56')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    key = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if name.isascii() and CLASS_KEY.fullmatch(key) and key != OVERALL:
        return key
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{key[:71].strip('_') or 'class'}-{digest}"
