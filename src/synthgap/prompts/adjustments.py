"""Adjustments: what single classes of a set are drawn with instead, from a versioned YAML file.

    version: 1
    adjustments:
      - class: crane.n.05          # or n02012849, or the key or name of a class of the set
        recipe: augmented          # either another recipe (several with commas take turns) …
        prompt: a crane bird       # … or the class's own prompt, or a list of prompts that take turns
        guidance_scale: 2.5
        num_inference_steps: 30
        was: {recipe: name, guidance_scale: 7.5}    # optional from here on, for people
        reason: low-diversity 0.52
        who: your name
        when: 2026-11-21
        outcome: ""                # what came of it, once it was tried
        apply: true                # false keeps the entry and draws the class as the others

Every class that is not named, and every setting that an entry leaves out, stays as the set has it. Seeds never change,
so an image before and after its class was adjusted began with the same noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry
from synthgap.core.specs import MOST_STEPS
from synthgap.prompts.recipes import Recipe, find_recipes
from synthgap.prompts.turns import place
from synthgap.vocabulary import wordnet

VERSION = 1
CHANGES = ("recipe", "prompt", "guidance_scale", "num_inference_steps")
"""What an adjustment may change."""
OWN_PROMPTS = "adjusted"
"""The ``recipe`` of an image whose prompt an adjustment gives."""
_TEXTS = ("reason", "who", "when", "outcome")
_KEYS = ("class", *CHANGES, "was", *_TEXTS, "apply")


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What one class is drawn with instead."""

    class_key: str
    recipe: str = ""
    prompts: tuple[str, ...] = ()
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    was: Mapping[str, Any] = field(default_factory=dict)
    """What each change replaces; for people, never read."""
    reason: str = ""
    who: str = ""
    when: str = ""
    outcome: str = ""
    apply: bool = True

    @property
    def changes(self) -> dict[str, Any]:
        """What it changes, as the file writes it; a single prompt is text."""
        values = {
            "recipe": self.recipe or None,
            "prompt": (self.prompts[0] if len(self.prompts) == 1 else list(self.prompts)) or None,
            "guidance_scale": self.guidance_scale,
            "num_inference_steps": self.num_inference_steps,
        }
        return {key: value for key, value in values.items() if value is not None}

    def recipes(self) -> tuple[Recipe, ...]:
        """Recipes of the class, in their turns; none where its prompts stay as they are."""
        if self.recipe:
            return find_recipes(self.recipe)
        return (_fixed(self.prompts),) if self.prompts else ()


def _fixed(prompts: tuple[str, ...]) -> Recipe:
    return Recipe(
        OWN_PROMPTS,
        "the class's own prompts in turn",
        "",
        lambda _, index, __: prompts[place(index, len(prompts))],
        count=lambda _, __: len(prompts),
        basis=lambda _, __: prompts,
    )


def load_adjustments(path: Path, entries: Sequence[ClassEntry]) -> dict[str, Adjustment]:
    """The adjustments of a file that apply, by class key. Raises as `read_adjustments`."""
    return {one.class_key: one for one in read_adjustments(path, entries) if one.apply}


def read_adjustments(path: Path, entries: Sequence[ClassEntry]) -> list[Adjustment]:
    """All adjustments of a file, in its order; ``entries`` are the classes of the set.

    Raises InputError, with the file, the place and the next step, for anything that is not as above.
    """
    known = _Names(entries)
    found: dict[str, Adjustment] = {}
    for number, row in enumerate(_rows(path), start=1):
        where = f"{path}: adjustment {number}"
        adjustment = _adjustment(row, where, known)
        if adjustment.class_key in found:
            raise InputError(f"{where}: {adjustment.class_key} is adjusted twice; keep one")
        found[adjustment.class_key] = adjustment
    return list(found.values())


def recorded_adjustments(changes: Mapping[str, Mapping[str, Any]] | None) -> list[Adjustment]:
    """Adjustments from what a set's manifest records of them: ``changes`` by class key.

    Raises InputError as `read_adjustments` does.
    """
    entries = [ClassEntry(key, key, (key,)) for key in changes or {}]
    known = _Names(entries)
    return [
        _adjustment({"class": key, **one}, f"the set's adjustment of {key}", known)
        for key, one in (changes or {}).items()
    ]


def adjustments_text(adjustments: Iterable[Adjustment], head: str = "") -> str:
    """The YAML of adjustments, in their order and the same for the same ones; ``head`` are comment lines above it."""
    import yaml

    rows = []
    for one in adjustments:
        texts = {key: getattr(one, key) for key in _TEXTS if getattr(one, key)}
        was = {"was": dict(one.was)} if one.was else {}
        rows.append({"class": one.class_key, **one.changes, **was, **texts} | ({} if one.apply else {"apply": False}))
    content = {"version": VERSION, "adjustments": rows}
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _rows(path: Path) -> list[Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"there is no adjustments file {str(path)!r}; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the adjustments file {str(path)!r} cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no mapping; expected 'version: {VERSION}' and a list 'adjustments'")
    _refuse_unknown(content, ("version", "adjustments"), str(path))
    if content.get("version") != VERSION:
        raise InputError(f"{path}: version is {content.get('version')!r}; expected {VERSION}")
    rows = content.get("adjustments") or []
    if not isinstance(rows, list):
        raise InputError(f"{path}: 'adjustments' is no list; write one '- class: …' per adjusted class")
    return rows


def _refuse_unknown(row: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for key in row:
        if key not in known:
            hint = nearest(str(key), known) or f"; expected {', '.join(known)}"
            raise InputError(f"{where}: unknown key {str(key)[:60]!r}{hint}")


def _adjustment(row: Any, where: str, known: _Names) -> Adjustment:
    if not isinstance(row, dict):
        raise InputError(f"{where} is {str(row)[:60]!r}; expected the keys {', '.join(_KEYS)}")
    _refuse_unknown(row, _KEYS, where)
    if not isinstance(row.get("class"), str) or not row["class"].strip():
        raise InputError(
            f"{where}: 'class' is {row.get('class')!r}; expected a class of the set (in quotes if need be)"
        )
    class_key = known.key(row["class"].strip(), where)
    where = f"{where} ({class_key})"
    apply, was = row.get("apply", True), row.get("was") or {}
    if not isinstance(apply, bool):
        raise InputError(f"{where}: 'apply' is {apply!r}; expected true or false")
    if not isinstance(was, dict):
        raise InputError(f"{where}: 'was' is {was!r}; expected a mapping such as {{recipe: name}}")
    texts = {key: "" if row.get(key) is None else " ".join(str(row[key]).split()) for key in _TEXTS}
    found = Adjustment(
        class_key,
        _recipe(row.get("recipe"), where),
        _prompts(row.get("prompt"), where),
        _number(row.get("guidance_scale"), where),
        _steps(row.get("num_inference_steps"), where),
        was,
        apply=apply,
        **texts,
    )
    if not found.changes:
        raise InputError(f"{where}: changes nothing; give {', '.join(CHANGES[:-1])} or {CHANGES[-1]}")
    if found.recipe and found.prompts:
        raise InputError(f"{where}: has a recipe and prompts of its own; keep one of 'recipe' and 'prompt'")
    return found


def _recipe(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: 'recipe' is {value!r}; expected a recipe's name")
    try:
        find_recipes(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return value.strip()


def _prompts(value: Any, where: str) -> tuple[str, ...]:
    texts = [] if value is None else value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}: 'prompt' holds {text!r}; expected text, or a list of texts (in quotes)")
    if isinstance(value, list) and not texts:
        raise InputError(f"{where}: 'prompt' is an empty list; expected at least one text")
    return tuple(" ".join(text.split()) for text in texts)


def _number(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InputError(f"{where}: 'guidance_scale' is {value!r}; expected a number of at least 0")
    return float(value)


def _steps(value: Any, where: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_STEPS):
        shown = f"{value!r:.40}"  # a number may have any length
        raise InputError(f"{where}: 'num_inference_steps' is {shown}; expected a whole number from 1 to {MOST_STEPS}")
    return value


class _Names:
    """What a file may call the classes of a set."""

    def __init__(self, entries: Sequence[ClassEntry]) -> None:
        self._keys = {entry.class_key for entry in entries}
        self._names: dict[str, list[str]] = {}
        for entry in entries:
            self._names.setdefault(_folded(entry.name), []).append(entry.class_key)

    def key(self, text: str, where: str) -> str:
        """The key of a class of the set; raises InputError, with the nearest, for any other."""
        if text in self._keys:
            return text
        named = self._names.get(_folded(text), [])
        if len(named) == 1:
            return named[0]
        if named:
            raise InputError(f"{where}: {text!r} is the name of {len(named)} classes; write one of {', '.join(named)}")
        try:
            synset = wordnet.synset_id(text) if wordnet.SYNSET_NAME.fullmatch(text) else ""
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if synset in self._keys:
            return synset
        hint = nearest(text, [*self._keys, *self._names]) or f"; it has {', '.join(sorted(self._keys)[:5])}"
        raise InputError(f"{where}: the set has no class {text[:60]!r}{hint}")


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
