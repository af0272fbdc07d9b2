"""The sets of a study written out: presets looked up, a grid as one set for every combination."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from synthgap.core.config import load_spec
from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec, StudySet, StudySpec
from synthgap.stages.presets import find_preset

_SEPARATORS = re.compile(r"[/\\:]+")


def expanded(spec: StudySpec) -> StudySpec:
    """The study with every set written out; one that is written out already comes back equal.

    Raises InputError for an unknown preset, a value that a set cannot have, or two sets of one name.
    """
    sets = [one for item in spec.sets for one in _written_out(item)]
    return load_spec(StudySpec, dict(spec) | {"natural": next(_written_out(spec.natural)), "sets": sets})


def _written_out(item: StudySet) -> Iterator[StudySet]:
    if item.preset is None and not item.grid:
        yield item
        return
    own = (
        {} if item.generate is None else {name: getattr(item.generate, name) for name in item.generate.model_fields_set}
    )
    for values in product(*item.grid.values()):
        filled = dict(zip(item.grid, values, strict=True))
        chosen = dict(filled)
        name = _filled(item.name, {key: _in_a_name(value) for key, value in chosen.items()})
        preset = chosen.pop("preset", item.preset)
        known = None if preset is None else find_preset(str(preset))
        try:
            generate = load_spec(GenerateSpec, ({} if known is None else known.settings) | own | chosen)
            said = _filled(item.description or ("" if known is None else known.about), filled)
            one = load_spec(StudySet, {"name": name, "description": said, "generate": generate})
        except InputError as error:
            raise InputError(f"set {name!r}: {error}") from None
        yield one


def _in_a_name(value: Any) -> str:
    """A value of a grid in a set's name, which is a folder's: a generator of the Hub, or a path, has no slashes there."""
    text = str(value)
    return _SEPARATORS.sub("-", text).strip("-.") if _SEPARATORS.search(text) else text


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """A text with the values of a grid in their places; other braces stay."""
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text
