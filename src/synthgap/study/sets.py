"""The sets of a study written out: presets looked up, a grid as one set for every combination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from synthgap.core.config import load_spec
from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec, StudySet, StudySpec
from synthgap.stages.presets import find_preset


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
        chosen = dict(zip(item.grid, values, strict=True))
        name = _filled(item.name, chosen)
        preset = chosen.pop("preset", item.preset)
        known = None if preset is None else find_preset(str(preset))
        try:
            generate = load_spec(GenerateSpec, ({} if known is None else known.settings) | own | chosen)
        except InputError as error:
            raise InputError(f"set {name!r}: {error}") from None
        said = item.description or ("" if known is None else known.about)
        yield StudySet(
            name=name, description=_filled(said, dict(zip(item.grid, values, strict=True))), generate=generate
        )


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """A text with the values of a grid in their places; other braces stay."""
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text
