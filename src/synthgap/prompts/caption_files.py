"""Readers of caption files: every format becomes two columns of text, the class and the prompt, checked."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.vocabulary.userlists import CSV_COLUMNS

CLASS_COLUMNS = CSV_COLUMNS
PROMPT_COLUMNS = ("prompt", "caption", "text")
"""Names of the column with the prompts; of these and of the classes' the first found wins."""
_BLOCK = 1 << 24
"""Bytes that pyarrow reads at once; a row must fit in."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A caption file: one row per prompt."""

    classes: Any
    """pyarrow array of text: how the file calls the class."""
    texts: Any
    """pyarrow array of text: the prompt, without white space around it."""
    where: Callable[[int], str]
    """File and place of a row, for messages."""


def read_rows(path: Path) -> Rows:
    """Read a caption file by its ending. Raises InputError for a file that is missing, broken or holds no text."""
    readers = {
        ".csv": _csv,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".parquet": _parquet,
        ".json": _json,
        ".yaml": _yaml,
        ".yml": _yaml,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: captions are read from files that end in {', '.join(readers)}")
    try:
        return reader(path)
    except FileNotFoundError:
        raise InputError(f"there is no captions file {str(path)!r}; check the path") from None
    except UnicodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"the captions file {str(path)!r} cannot be read: {error.strerror or error}") from None


def _csv(path: Path) -> Rows:
    import pyarrow as pa
    from pyarrow import csv as arrow

    _, header = next(_csv_lines(path), (0, []))
    columns = _find_columns(path, header)
    try:
        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(block_size=_BLOCK),
            parse_options=arrow.ParseOptions(newlines_in_values=True),
            convert_options=arrow.ConvertOptions(
                include_columns=columns, column_types=dict.fromkeys(columns, pa.large_string())
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        for line, cells in _csv_lines(path):
            if len(cells) != len(header):
                raise InputError(
                    f"{path} line {line}: expected {len(header)} cells as in the header, found {len(cells)}; "
                    "put a prompt with commas in quotes"
                ) from None
        raise InputError(f"{path} is not CSV: {_one_line(error)}") from None
    return _checked(path, table, columns)


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not blank, the header first."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle)
        try:
            yield from ((reader.line_num, cells) for cells in reader if cells)
        except csv.Error as error:
            raise InputError(f"{path} line {reader.line_num} is not CSV: {error}") from None


def _json_lines(path: Path) -> Rows:
    import pyarrow as pa
    from pyarrow import json as arrow

    columns = _find_columns(path, list(next(_objects(path), {})))
    try:
        table = arrow.read_json(
            path,
            read_options=arrow.ReadOptions(block_size=_BLOCK),
            parse_options=arrow.ParseOptions(
                explicit_schema=pa.schema([(column, pa.large_string()) for column in columns]),
                unexpected_field_behavior="ignore",
            ),
        )
    except pa.ArrowInvalid as error:
        for number, row in enumerate(_objects(path), start=1):
            _texts(row, columns, f"{path} row {number}")
        raise InputError(f"{path} is not JSON Lines: {_one_line(error)}") from None
    return _checked(path, table, columns)


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path} line {number} is not JSON: {_one_line(error)}") from None
            if not isinstance(row, dict):
                raise InputError(f"{path} line {number} is {_shown(row)}; expected an object with a class and a prompt")
            yield row


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            columns = _find_columns(path, file.schema_arrow.names)
            table = file.read(columns=columns)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is not Parquet: {_one_line(error)}") from None
    for column in columns:
        kind = table.schema.field(column).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)):
            raise InputError(f"{path}: the column {column!r} holds {kind}; expected text")
    return _checked(path, table, columns)


def _json(path: Path) -> Rows:
    text = path.read_text("utf-8-sig")
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {_one_line(error)}") from None
    return _content(path, content)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that it holds twice would silently lose the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in found if keys.count(key) > 1)!r} is written twice")
    return found


def _yaml(path: Path) -> Rows:
    import yaml

    # libyaml, where PyYAML has it, is eight times as fast as PyYAML's own parser.
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]
        """Refuses a class that is written twice, where YAML would silently keep the last."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            pairs = [
                (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
                for key, value in node.value
            ]
            return _once(pairs)

    text = path.read_text("utf-8-sig")
    try:
        content = yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line} is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is not YAML: {_one_line(error)}") from None
    return _content(path, content)


def _content(path: Path, content: Any) -> Rows:
    """Rows of a mapping of classes to prompts, or of a list of objects."""
    if isinstance(content, dict):
        return _mapping(path, content)
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} holds {_shown(content)}; expected a list of prompts by class")
    if not isinstance(content[0], dict):
        raise InputError(f"{path} row 1 is {_shown(content[0])}; expected an object with a class and a prompt")
    columns = _find_columns(path, list(content[0]))
    pairs = [_texts(row, columns, f"{path} row {number}") for number, row in enumerate(content, start=1)]
    return _rows([name for name, _ in pairs], [text for _, text in pairs], lambda row: f"{path} row {row + 1}")


def _mapping(path: Path, content: dict[Any, Any]) -> Rows:
    names: list[str] = []
    texts: list[str] = []
    for name, prompts in content.items():
        if not isinstance(name, str):
            raise InputError(f"{path}: the class {name!r} is no text; put it in quotes")
        if not isinstance(prompts, list | str):
            raise InputError(f"{path}: class {_shown(name)} has {_shown(prompts)}; expected a list of prompts")
        for number, text in enumerate([prompts] if isinstance(prompts, str) else prompts, start=1):
            texts.append(_text(text, f"{path}: class {_shown(name)}, prompt {number}"))
            names.append(name)
    return _rows(names, texts, lambda row: str(path))


def _rows(names: Sequence[str], texts: Sequence[str], where: Callable[[int], str]) -> Rows:
    import pyarrow as pa

    return Rows(pa.array(names, pa.large_string()), pa.array(texts, pa.large_string()), where)


def _texts(row: Any, columns: Sequence[str], where: str) -> tuple[str, str]:
    """Class and prompt of one object."""
    if not isinstance(row, dict):
        raise InputError(f"{where} is {_shown(row)}; expected an object with a class and a prompt")
    for column in columns:
        if column not in row:
            raise InputError(f"{where} has no {column!r}")
    name, text = (_text(row[column], f"{where}: {column!r}") for column in columns)
    return name, text


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} is {_shown(value)}; expected text (put it in quotes)")
    if not value.strip():
        raise InputError(f"{where} is empty; write a text, or take the row out")
    return value.strip()


def _checked(path: Path, table: Any, columns: Sequence[str]) -> Rows:
    """Two columns of a table, once no cell of theirs is empty and all of it is UTF-8."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = []
    for column in columns:
        values = table[column].cast(pa.large_string()).combine_chunks()
        try:
            values.validate(full=True)
        except pa.ArrowInvalid:
            raise InputError(f"{path}: the column {column!r} is not UTF-8 text; save it as UTF-8") from None
        values = pc.utf8_trim_whitespace(values)
        empty = pc.index(pc.fill_null(pc.equal(values, ""), True), True).as_py()
        if empty >= 0:
            raise InputError(f"{path} row {empty + 1}: {column!r} is empty; write a text, or take the row out")
        found.append(values)
    names, texts = found
    return Rows(names, texts, lambda row: f"{path} row {row + 1}")


def _find_columns(path: Path, names: Sequence[str]) -> list[str]:
    """The columns of the class and of the prompt, as the file spells them."""
    plain = {str(name).strip().lower(): name for name in reversed(names)}
    columns = []
    for known, what in ((CLASS_COLUMNS, "classes"), (PROMPT_COLUMNS, "prompts")):
        column = next((plain[name] for name in known if name in plain), None)
        if column is None:
            hint = next(filter(None, (nearest(name, known) for name in plain)), "")
            has = ", ".join(str(name) for name in names)[:120] or "nothing"
            raise InputError(f"{path} has no column with the {what} ({', '.join(known)}), but {has}{hint}")
        columns.append(column)
    return columns


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
