"""Studies by name or from a YAML file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from synthgap.core.config import load_spec, parse_override, read_yaml
from synthgap.core.errors import InputError, nearest
from synthgap.core.specs import StudySpec
from synthgap.study.places import check_data
from synthgap.study.sets import expanded


def shipped_studies() -> dict[str, Path]:
    """Name and file of each shipped study."""
    folder = Path(str(files("synthgap.studies")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_study(study: str, overrides: tuple[str, ...] = ()) -> StudySpec:
    """Read a study by the name of a shipped one or from a YAML file, with ``a.b=c`` overrides.

    Overrides speak of the file as it is written; presets and grids are written out after them.

    Raises InputError where there is none, a key, a preset or a name of data is unknown, or a grid's names are no names.
    """
    shipped = shipped_studies()
    path = shipped.get(study, Path(study))
    if not path.is_file():
        raise InputError(
            f"no study {study!r}: expected a YAML file or one of {', '.join(shipped)}{nearest(study, shipped)}"
        )
    written = load_spec(StudySpec, path, overrides)
    _check_data_names(path, overrides)
    spec = expanded(written)
    check_data(spec)
    return spec


def _check_data_names(path: Path, overrides: tuple[str, ...]) -> None:
    """``data`` takes any name, so a mistyped one on the command line would be lost in silence."""
    known = read_yaml(path).get("data")
    for text in overrides:
        (first, *rest), _ = parse_override(text)
        if first == "data" and rest and not (isinstance(known, dict) and rest[0] in known):
            listed = [str(name) for name in known] if isinstance(known, dict) else []
            hint = nearest(rest[0], listed) or (f"; it has {', '.join(listed)}" if listed else "")
            raise InputError(f"--set {text}: the study has no data {rest[0]!r}{hint}")
