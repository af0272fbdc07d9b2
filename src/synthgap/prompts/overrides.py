"""Clarified prompts by class, from a versioned YAML file (M reason 1).

    version: 1
    overrides:
      - class: crane.n.05        # or n02012849, or the key of a class of your own
        old: crane               # the prompt of the recipe `name` that it replaces
        new: a crane bird
        why: also a machine      # optional
        who: your name           # optional

``old`` is there so that a clarified prompt is never applied to a class that has since changed its meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry
from synthgap.prompts.wording import name_prompt
from synthgap.vocabulary import wordnet
from synthgap.vocabulary.slugs import CLASS_KEY

VERSION = 1
_REQUIRED = ("class", "old", "new")
_KEYS = (*_REQUIRED, "why", "who")


@dataclass(frozen=True, slots=True)
class Override:
    """One clarified prompt."""

    class_key: str
    old: str
    new: str
    why: str = ""
    who: str = ""


def load_overrides(path: Path, entries: Iterable[ClassEntry] = ()) -> dict[str, str]:
    """Clarified prompt by class key, from a file.

    ``entries`` are the classes in use; they let ``old`` be checked for classes that are not in WordNet.
    Raises InputError, with the file, the place and the next step, for anything that is not as above.
    """
    return {override.class_key: override.new for override in read_overrides(path, entries)}


@cache
def _shipped() -> dict[str, str]:
    with as_file(files(__package__) / "data" / "clarified.yaml") as path:
        return load_overrides(path)


def shipped_overrides() -> dict[str, str]:
    """Clarified prompts of the ImageNet classes that M prints or names as examples, by class key."""
    return dict(_shipped())


def read_overrides(path: Path, entries: Iterable[ClassEntry] = ()) -> list[Override]:
    """The clarified prompts of a file with their reasons, in its order."""
    content = _parse(path)
    known = {entry.class_key: entry for entry in entries}
    overrides: dict[str, Override] = {}
    for number, row in enumerate(content.get("overrides") or [], start=1):
        override = _override(row, f"{path}: override {number}", known)
        if override.class_key in overrides:
            raise InputError(f"{path}: override {number}: {override.class_key} is clarified twice; keep one")
        overrides[override.class_key] = override
    return list(overrides.values())


def _parse(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"there is no overrides file {str(path)!r}; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the overrides file {str(path)!r} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no mapping; expected 'version: {VERSION}' and a list 'overrides'")
    _refuse_unknown(content, ("version", "overrides"), str(path))
    if content.get("version") != VERSION:
        raise InputError(f"{path}: version is {content.get('version')!r}; expected {VERSION}")
    if not isinstance(content.get("overrides", []), list | None):
        raise InputError(f"{path}: 'overrides' is no list; write one '- class: …' per clarified prompt")
    return content


def _refuse_unknown(row: dict[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in row:
        if key not in known:
            hint = nearest(str(key), known) or f"; expected {', '.join(known)}"
            raise InputError(f"{where}: unknown key {str(key)!r}{hint}")


def _override(row: Any, where: str, known: Mapping[str, ClassEntry]) -> Override:
    if not isinstance(row, dict):
        raise InputError(f"{where} is {str(row)[:60]!r}; expected the keys {', '.join(_KEYS)}")
    _refuse_unknown(row, _KEYS, where)
    for key, value in row.items():
        if not isinstance(value, str):
            raise InputError(f"{where}: {key!r} is {value!r}; expected text (put it in quotes)")
    texts = {key: " ".join(value.split()) for key, value in row.items()}
    for key in _REQUIRED:
        if not texts.get(key):
            raise InputError(f"{where}: {key!r} is missing; expected {', '.join(_REQUIRED)}")
    class_key = _class_key(texts["class"], where)
    entry = known.get(class_key) or (wordnet.synset(class_key) if wordnet.WNID.fullmatch(class_key) else None)
    if entry is not None and name_prompt(entry) != texts["old"]:
        raise InputError(
            f"{where}: 'old' is {texts['old']!r}, but the prompt of {class_key} is {name_prompt(entry)!r}; "
            "check that 'new' still fits and write the present prompt as 'old'"
        )
    return Override(class_key, texts["old"], texts["new"], texts.get("why", ""), texts.get("who", ""))


def _class_key(text: str, where: str) -> str:
    """A synset's id or name, or the key of the user's own class; a bare WordNet noun would be no sense."""
    try:
        if wordnet.WNID.fullmatch(text):
            return wordnet.synset(text).class_key
        if wordnet.SYNSET_NAME.fullmatch(text):
            return wordnet.synset_id(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    ids = wordnet.sense_ids(text)
    if ids:
        name = wordnet.synset_name(wordnet.synset(ids[0]))
        raise InputError(f"{where}: {text!r} is a word and not a class; write one of its senses, such as {name}")
    if not CLASS_KEY.fullmatch(text):
        raise InputError(f"{where}: {text!r} is no class; write n02012849, crane.n.05 or the key of your own class")
    return text
