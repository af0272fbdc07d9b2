"""From YAML, mappings and ``--set a.b=c`` to a spec; every mistake is one line that says where it stands.

>>> from synthgap.core.specs import GenerateSpec
>>> load_spec(GenerateSpec, {"per_class": 24}, overrides=["guidance_scale=2.5"]).guidance_scale
2.5
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from synthgap.core.errors import InputError, nearest

T = TypeVar("T", bound=BaseModel)
DottedPath = tuple[str | int, ...]

_PYDANTIC_TAGS = frozenset({"int", "float", "str", "bool", "path", "none", "list", "tuple", "dict"})
"""What pydantic puts into an error's path for the plain members of a union."""


class _StrictLoader(yaml.SafeLoader):
    """``yaml.safe_load`` that refuses a key written twice, where YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, typing.Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str, where: str) -> Any:
    """Parse YAML text; a mistake is an ``InputError`` with its line and column, both counted from 1."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{where}{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:  # PyYAML's own date and number constructors
        raise InputError(f"{where}: not YAML: {error}") from None
    except RecursionError:
        raise InputError(f"{where}: not YAML: nested too deeply") from None


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty file is an empty mapping.

    Raises:
        InputError: the file is missing, is no YAML (with line and column), writes a key twice, or is no mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a YAML file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text at byte {error.start}; expected a YAML file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected a YAML file") from None
    value = _parse_yaml(text, str(path))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {_kind(value)} at the top; expected 'key: value' lines")
    return value


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Split ``a.b=c`` into its dotted path and its value, read as YAML.

    >>> parse_override("sets.2.guidance_scale=2.5")
    (('sets', '2', 'guidance_scale'), 2.5)
    """
    dotted, equals, value = text.partition("=")
    path = tuple(part.strip() for part in dotted.split("."))
    if not equals or not all(path):
        raise InputError(f"--set {text}: expected key=value, such as --set guidance_scale=2.5")
    return path, _parse_yaml(value, f"--set {text}")


def load_spec(cls: type[T], source: Mapping[str, Any] | Path | str | None = None, overrides: Sequence[str] = ()) -> T:
    """Build a spec from a mapping or a YAML file, with dotted overrides on top.

    Args:
        cls: the pydantic model to build.
        source: a mapping, the path of a YAML file, or None for the defaults.
        overrides: ``a.b=c`` texts, later ones win; a number in the path counts into a list, from 0.

    Raises:
        InputError: one line with the file (or ``--set``), the dotted path, the value found, what was expected, and for
            an unknown key the nearest known one.
    """
    if source is None or isinstance(source, Mapping):
        data, where = _copy(source or {}), ""
    else:
        data, where = read_yaml(source), str(source)
    overridden: list[DottedPath] = []
    for text in overrides:
        path, value = parse_override(text)
        overridden.append(_assign(data, path, value, text))
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(cls, error, where, overridden)) from None


def _copy(value: Any) -> Any:
    """Copy nested mappings and lists, so that an override never changes the caller's data."""
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _assign(data: Any, path: tuple[str, ...], value: Any, text: str) -> DottedPath:
    """Set one overridden value in place; return its path with list positions as integers."""
    done: list[str | int] = []
    for part in path[:-1]:
        key = _key_in(data, part, text, done)
        if isinstance(data, dict) and data.get(key) is None:
            data[key] = {}
        data = data[key]
        done.append(key)
    key = _key_in(data, path[-1], text, done)
    data[key] = value
    return (*done, key)


def _key_in(data: Any, part: str, text: str, done: Sequence[str | int]) -> Any:
    """The part of a dotted path as a key of the data that stands there: a position in a list, a name in a mapping."""
    if isinstance(data, dict):
        return part
    if not isinstance(data, list):
        raise InputError(f"--set {text}: {_dotted(done)} is {data!r}, which has no parts to set")
    if not part.isdecimal() or int(part) >= len(data):
        raise InputError(
            f"--set {text}: {_dotted(done)} is a list of {len(data)}; expected a position below that, not {part!r}"
        )
    return int(part)


def _explain(cls: type[BaseModel], error: ValidationError, where: str, overridden: list[DottedPath]) -> str:
    """One line for a validation error: the first unknown key before any wrong value, and how many more there are."""
    problems = error.errors(include_url=False)
    # in a union the member that fits best fails deepest
    problems.sort(key=lambda problem: (problem["type"] != "extra_forbidden", -len(problem["loc"])))
    problem = problems[0]
    path = tuple(problem["loc"])
    from_command_line = any(path[: len(one)] == one for one in overridden)
    prefix = "--set" if from_command_line else where
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    separator = " " if from_command_line else ": "
    return (f"{prefix}{separator}" if prefix else "") + _describe(cls, path, problem) + more


def _describe(cls: type[BaseModel], path: DottedPath, problem: Mapping[str, Any]) -> str:
    name = _dotted(_plain_path(cls, path))
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = sorted({key for model in _models_at(cls, path[:-1]) for key in model.model_fields})
        hint = nearest(str(path[-1]), known) or f"; known keys: {', '.join(known)}"
        return f"{name} is not a known key{hint}"
    if kind == "missing":
        return f"{name} is missing; add it"
    message = str(problem["msg"])
    if kind == "model_type":
        return f"{name} is {_short(repr(problem.get('input')))}; expected a mapping of settings"
    if kind == "value_error":  # a validator of ours: its text is already a sentence
        return f"{name}: {message.removeprefix('Value error, ')}" if name else message.removeprefix("Value error, ")
    expected = message.removeprefix("Input ").replace("should be", "expected", 1).replace("should", "expected to", 1)
    value = problem.get("input")
    found = f"a {_kind(value)}" if isinstance(value, (dict, list)) else repr(value)
    hint = ""
    if kind == "literal_error":
        hint = nearest(
            str(value), [part.strip(" '") for part in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
        )
    return f"{name} is {_short(found)}; {expected[:1].lower()}{expected[1:]}{hint}"


def _short(text: str, limit: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _kind(value: Any) -> str:
    names = {dict: "mapping", list: "list", str: "text", int: "number", float: "number", bool: "true/false"}
    return names.get(type(value), type(value).__name__)


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)


def _plain_path(cls: type[BaseModel], path: DottedPath) -> DottedPath:
    """The path as the user wrote it: pydantic puts the tried member of a union between the keys."""
    kept: list[str | int] = []
    for position, part in enumerate(path):
        if position and isinstance(part, str) and _is_union_member(cls, path[:position], part):
            continue
        kept.append(part)
    return tuple(kept)


def _is_union_member(cls: type[BaseModel], before: DottedPath, part: str) -> bool:
    types = list(_types_at(cls, before))
    if len(types) < 2 or any(_is_model(one) and part in one.model_fields for one in types):
        return False
    tags = {getattr(one, "__name__", "") for one in types}
    return part in tags or part in _PYDANTIC_TAGS or part.startswith(("list[", "tuple[", "dict[", "literal["))


def _models_at(cls: type[BaseModel], path: DottedPath) -> list[type[BaseModel]]:
    """Every model that may stand at a path: several where the type is a union."""
    return [one for one in _types_at(cls, path) if _is_model(one)]


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _types_at(cls: type[BaseModel], path: DottedPath) -> Iterator[Any]:
    """Types that may stand at a path below a model, unions and containers unpacked."""
    here: list[Any] = [cls]
    for part in path:
        below = [found for one in here for found in _below(one, part)]
        here = below or here  # a union member's name in pydantic's path is not a level of the user's data
    yield from here


def _below(kind: Any, part: str | int) -> list[Any]:
    if _is_model(kind):
        field = kind.model_fields.get(part) if isinstance(part, str) else None
        return _unpack(field.annotation) if field else []
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple, set, frozenset, Sequence) and isinstance(part, int):
        return [found for argument in arguments if argument is not Ellipsis for found in _unpack(argument)]
    if origin in (dict, Mapping) and len(arguments) == 2:
        return _unpack(arguments[1])
    return []


def _unpack(annotation: Any) -> list[Any]:
    """Members of a union, ``Annotated`` taken off; other types as they are."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _unpack(typing.get_args(annotation)[0])
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        return [found for member in typing.get_args(annotation) for found in _unpack(member)]
    return [annotation]


def name_and_place(text: str) -> tuple[str, str]:
    """``NAME=PATH`` as both, or a path or other place without a name; a path that exists is never cut.

    >>> name_and_place("Pets=data:pets"), name_and_place("lab:sd14")
    (('Pets', 'data:pets'), ('', 'lab:sd14'))
    """
    name, sign, place = text.partition("=")
    if not sign or Path(text).expanduser().exists():
        return "", text
    if not name or not place:
        raise InputError(f"{text}: expected NAME=PATH, such as drawn=sets/drawn")
    return name, place
