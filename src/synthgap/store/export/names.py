"""File names of an export: safe whatever a set calls its classes and images."""

from __future__ import annotations

import hashlib
import re

from synthgap.store.keys import is_safe, safe_key

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,119}")
_EXTENSIONS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}


def file_key(key: str) -> str:
    """A key as the name of a file or folder: itself where it is safe (also one that ``safe_key`` made), else a slug.

    >>> file_key("n02012849-train-0000001"), file_key("odd~1"), file_key("../x").startswith("x~")
    ('n02012849-train-0000001', 'odd~1', True)
    """
    # Without its tildes a key must pass as a name, so that neither "con" nor a last dot slips through.
    return key if _KEY.fullmatch(key) and is_safe(key.replace("~", "_")[:100]) else safe_key(key)


def tar_key(key: str) -> str:
    """A key as a WebDataset key: such readers take everything from the first dot on for the extension.

    >>> tar_key("n02012849-1"), tar_key("crane.n.04-1").startswith("crane_n_04-1~")
    ('n02012849-1', True)
    """
    safe = file_key(key)
    if "." not in safe:
        return safe
    return f"{safe.replace('.', '_')}~{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def extension(data: bytes) -> str:
    """File name extension of an image's bytes, without the dot."""
    return next((name for magic, name in _EXTENSIONS.items() if data.startswith(magic)), "img")
