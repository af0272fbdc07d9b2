"""The user's own prompts, with the class's words in braces: ``a photo of {first}, {definition}``.

A field is a name and nothing else. What stands between braces is never evaluated, and braces in a class's own name
are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import ClassEntry
from synthgap.prompts.wording import hypernym_words, name_prompt

FIELDS: dict[str, Callable[[ClassEntry], str]] = {
    "name": name_prompt,
    "first": lambda entry: entry.lemmas[0],
    "hypernym": hypernym_words,
    "definition": lambda entry: entry.definition,
}
"""What each field stands for: all names, the first of them, the parents, the definition."""

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """One template, taken apart."""

    text: str
    """As the user wrote it."""
    parts: tuple[tuple[str, str], ...]
    """Plain text, and the field that follows it; the last has none."""

    @property
    def fields(self) -> list[str]:
        """The fields that it holds, in their order."""
        return [field for _, field in self.parts if field]

    def fill(self, entry: ClassEntry) -> str:
        """The prompt of a class; a field that the class has no words for is empty."""
        return "".join(text + (FIELDS[field](entry) if field else "") for text, field in self.parts)


def read_templates(texts: Sequence[str]) -> tuple[Template, ...]:
    """Take templates apart. Doubled braces stand for single ones.

    Raises InputError for an empty template, an unknown field or a stray brace.

    >>> read_templates(["a {{red}} {first}"])[0].parts
    (('a {red} ', 'first'), ('', ''))
    """
    return tuple(_read(text.strip(), number) for number, text in enumerate(texts, start=1))


def _read(text: str, number: int) -> Template:
    where = f"template {number} ({_short(text)})"
    if not text:
        raise InputError(f"template {number} is empty; write one such as 'a photo of {{name}}'")
    parts, before, end = [], "", 0
    for found in _TOKEN.finditer(text):
        before += text[end : found.start()]
        end = found.end()
        if found[0] in ("{{", "}}"):
            before += found[0][0]
        elif len(found[0]) == 1:
            raise InputError(
                f"{where}: a single {found[0]!r}; write {found[0] * 2} for a brace, or {{name}} for a field"
            )
        else:
            parts.append((before, _field(found[0][1:-1], where)))
            before = ""
    return Template(text, (*parts, (before + text[end:], "")))


def _field(name: str, where: str) -> str:
    if name not in FIELDS:
        known = [f"{{{field}}}" for field in FIELDS]
        hint = nearest(f"{{{name}}}", known) or f"; the fields are {', '.join(known)}"
        raise InputError(f"{where}: unknown field {_short(f'{{{name}}}')}{hint}")
    return name


def check_templates(templates: Iterable[Template], entries: Sequence[ClassEntry]) -> list[str]:
    """Notes on classes that a template does not tell apart, or has no words for; one line each.

    Raises InputError where a prompt would be empty.
    """
    notes = []
    for number, template in enumerate(templates, start=1):
        where = f"template {number} ({_short(template.text)})"
        for entry in entries if not any(text.strip() for text, _ in template.parts) else ():
            if not template.fill(entry).strip():
                raise InputError(
                    f"{where}: the prompt of {entry.class_key} is empty, as it has no {template.fields[0]}; add {{name}}"
                )
        if not template.fields and len(entries) > 1:
            notes.append(f"{where} has no field; all {len(entries)} classes get the same prompt")
        for field in dict.fromkeys(template.fields):
            without = [entry.class_key for entry in entries if not FIELDS[field](entry)]
            if without:
                more = f" and {len(without) - 1} more" if len(without) > 1 else ""
                notes.append(f"{where}: {without[0]}{more} without {field}; {{{field}}} is empty there")
    return notes


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
