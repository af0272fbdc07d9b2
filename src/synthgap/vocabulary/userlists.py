"""Readers of a user's class list: the items of a text or of a file, before anything is looked up."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError

SUFFIXES = (".txt", ".csv", ".json")
CSV_COLUMNS = ("class_key", "wnid", "synset", "class", "name")
"""Header names of the column with the classes, the first found wins; a ``name`` beside it is the display name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One class as the user wrote it."""

    text: str
    """A name, a synset, a WordNet id, or the lemmas of a synset separated by commas."""
    where: str
    """For messages: ``item 3``, or ``birds.txt line 3``."""
    name: str = ""
    """Display name, where one is given beside the class."""


def names_a_file(text: str) -> bool:
    """Whether the text is meant as a file: it holds a folder separator (and no comma), ends like a list, or exists."""
    if "\n" in text or len(text) > 4096:
        return False
    if text.lower().endswith(SUFFIXES) or (("/" in text or "\\" in text) and "," not in text):
        return True
    # Unlike Path.is_file, it answers False to a name that no file system takes (too long in bytes, a null byte).
    return "." in text and os.path.isfile(text)  # noqa: PTH113


def text_items(text: str) -> list[Item]:
    """Items of a text, separated by commas or lines."""
    parts = (part.strip() for part in re.split(r"[,\n]", text))
    return [Item(part, f"item {number}") for number, part in enumerate(filter(None, parts), start=1)]


def file_items(name: str) -> list[Item]:
    """Items of a file: ``.json``, ``.csv``, or any other with one class per line and ``#`` comments."""
    path = Path(name)
    text = _read(path)
    if path.suffix.lower() == ".json":
        items = _json_items(text, path)
    elif path.suffix.lower() == ".csv":
        items = _csv_items(text, path)
    else:
        items = _line_items(text, path)
    if not items:
        raise InputError(f"{path} holds no class; write one per line: a name, crane.n.05 or n02012849")
    return items


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"there is no class list {str(path)[:200]!r}; check the path, or write names as cat,dog"
        ) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; expected a file with one class per line") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; expected one class per line") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the class list {str(path)[:200]!r} cannot be read: {error}") from None


def _line_items(text: str, path: Path) -> list[Item]:
    """``class``, ``class<tab>display name``, or ImageNet's own ``n01440764 tench, Tinca tinca``."""
    items = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not content:
            continue
        found = re.fullmatch(r"(n\d{8})\s+(.+)", content)
        entry, _, name = content.partition("\t")
        if found:
            entry, name = found[1], found[2].split(",")[0]
        items.append(Item(entry.strip(), f"{path.name} line {number}", name.strip()))
    return items


def _csv_items(text: str, path: Path) -> list[Item]:
    """First column, or the column that a header names as the classes; with a header, ``name`` is the display name."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader if any(row) and not row[0].startswith("#")]
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} is not CSV: {error}") from None
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    column = next((known for known in CSV_COLUMNS if known in header), None)
    if column is None:
        return [Item(row[0].strip(), f"{path.name} line {line}") for line, row in rows if row[0].strip()]
    items = []
    for line, row in rows[1:]:
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        name = cells.get("name", "") if column != "name" else ""
        items.append(Item(cells.get(column, ""), f"{path.name} line {line}", name))
    return [item for item in items if item.text]


def _json_items(text: str, path: Path) -> list[Item]:
    """A list of classes, ``{class: display name or label}``, or ``{"0": class}`` as in ``id2label`` files."""
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if isinstance(content, dict) and all(key.isdigit() for key in content):
        pairs = list(content.values())
    elif isinstance(content, dict):
        pairs = [key if isinstance(value, int) else [key, value] for key, value in content.items()]
    elif isinstance(content, list):
        pairs = content
    else:
        raise InputError(f"{path} holds a {type(content).__name__}; expected a list of classes, or names by class")
    return [_json_item(value, f"{path.name} entry {number}") for number, value in enumerate(pairs, start=1)]


def _json_item(value: Any, where: str) -> Item:
    if isinstance(value, str):
        return Item(value.strip(), where)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value):
        return Item(value[0].strip(), where, value[1].strip())
    raise InputError(f"{where} is {str(value)[:60]!r}; expected a class, or a class and its name")
