"""The licence of a generator, where its own files tell it. Nothing is guessed and nothing is downloaded."""

from __future__ import annotations

import re
from pathlib import Path

from synthgap.store.card import Licence, front_matter

_LICENCE_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt")
_ID = re.compile(r"[a-z0-9][a-z0-9.+-]{1,60}")
_MAX_WORDS = 80


def licence_of(folder: Path) -> Licence | None:
    """The licence of a model's folder: ``license`` in its card's front matter, else the title of its licence file.

    None where neither is there, or the card says ``unknown``.
    """
    head = front_matter(folder / "README.md")
    given = head.get("license")
    if given == "other" and isinstance(head.get("license_name"), str):
        return Licence(head["license_name"].strip()[:_MAX_WORDS], False, "README.md")
    if isinstance(given, str) and _ID.fullmatch(given) and given not in ("unknown", "other"):
        return Licence(given, True, "README.md")
    for name in _LICENCE_FILES:
        if title := _title(folder / name):
            return Licence(title, False, name)
    return None


def licence_of_hub_model(name: str, revision: str | None) -> Licence | None:
    """The licence of a model of the Hub, from what the local cache holds of it; None where that does not tell."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in ("README.md", *_LICENCE_FILES):
        try:
            found = try_to_load_from_cache(name, file, revision=revision)
        except HFValidationError:
            return None  # the name of a folder, not of a repository
        if isinstance(found, str) and (licence := licence_of(Path(found).parent)):
            return licence
    return None


def _title(file: Path) -> str:
    try:
        lines = (line.strip(" #*=") for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
        return " ".join(next((line for line in lines if line), "").split())[:_MAX_WORDS]
    except OSError:
        return ""
