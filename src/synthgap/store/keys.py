"""Names that are safe everywhere: keys of classes and images, names of shards and splits."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

TRAIN_NAMES = ("train", "training")
EVAL_NAMES = ("eval", "validation", "val", "valid", "dev", "test", "testing")
"""Names of splits to measure on, the preferred one first."""
SPLIT_NAMES = frozenset(TRAIN_NAMES + EVAL_NAMES)

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_OWN_SLUG = re.compile(r"[A-Za-z0-9_.-]{1,60}~[0-9a-f]{8}")
_WORDNET_PREFIX = re.compile(r"(n\d{8})[-_ ]+(.+)", re.DOTALL)
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def is_safe(text: str) -> bool:
    """Whether a text can be a file name on every system, and a key in a table, a URL and an HTML id."""
    return _SAFE.fullmatch(text) is not None and not text.endswith(".") and _WINDOWS_DEVICES.fullmatch(text) is None


def safe_key(text: str) -> str:
    """The text itself where it is safe, else a readable slug with a hash, so that different texts stay different.

    A key that was made here stays as it is, so that an export reads back under its own keys.

    >>> safe_key("n02012849"), safe_key("red fox").startswith("red-fox~")
    ('n02012849', True)
    """
    if is_safe(text) or _OWN_SLUG.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", plain).strip("-.")[:60]
    return f"{slug or 'x'}~{digest}"


def printable(text: str) -> str:
    """A text that any table and terminal holds: bytes that are no UTF-8 become ``\\xNN``.

    >>> printable("caf\\udce9")
    'caf\\\\xe9'
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte, which only JSON can hold
        return text.encode("utf-8", "backslashreplace").decode()


def class_keys(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Class key and name for each label text (a folder's name, a ClassLabel's name).

    ``n02012849`` stays, ``n02085620-Chihuahua`` is the WordNet id with the rest as name where that is unambiguous,
    anything else is its own name under a safe key.

    >>> class_keys(["n02085620-Chihuahua", "frog"])
    {'n02085620-Chihuahua': ('n02085620', 'Chihuahua'), 'frog': ('frog', 'frog')}
    """
    labels = list(labels)
    prefixed = {label: match for label in labels if (match := _WORDNET_PREFIX.fullmatch(label))}
    ids = Counter([match.group(1) for match in prefixed.values()] + labels)
    found = {}
    for label in labels:
        match = prefixed.get(label)
        if match and ids[match.group(1)] == 1:
            found[label] = (match.group(1), printable(match.group(2)).replace("_", " "))
        else:
            found[label] = (safe_key(label), printable(label))
    return found


def shard_name(split: str, class_key: str, block: int) -> str:
    """Name of a shard: ``<split>/<class_key>-<block>``.

    >>> shard_name("train", "n02012849", 3)
    'train/n02012849-00003'
    """
    check_shard(name := f"{split}/{class_key}-{block:05d}")
    return name


def shard_split(shard: str) -> str:
    """The split a shard belongs to.

    >>> shard_split("train/n02012849-00003")
    'train'
    """
    return shard.partition("/")[0]


def check_shard(shard: str) -> None:
    """Refuse a shard's name that could leave its folder or that some file system cannot hold."""
    split, slash, rest = shard.partition("/")
    if not slash or not is_safe(split) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,110}", rest):
        raise ValueError(f"shard {shard!r}: expected '<split>/<class_key>-<block>' of safe characters (see safe_key)")


def eval_split(splits: Collection[str]) -> str | None:
    """The split to measure on: ``eval``, then ``validation``, ``val``, ``test``; None where there is none."""
    return next((name for name in EVAL_NAMES if name in splits), None)


def train_split(splits: Collection[str]) -> str | None:
    """The split to take references from: ``train``, else the first split that is not for evaluation, else None."""
    known = next((name for name in TRAIN_NAMES if name in splits), None)
    return known or next((name for name in splits if name not in EVAL_NAMES), None)
