"""Where the images of a study are: a path, ``lab:NAME`` for a shipped set, ``data:NAME`` for the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from synthgap.core.config import name_and_place
from synthgap.core.errors import InputError, nearest
from synthgap.core.specs import GenerateSpec, StudySet, StudySpec

LAB = "lab:"
DATA = "data:"


def lab_images(name: str) -> Path:
    """Folder of the lab's shipped image set of that name: ``natural`` or ``sd14``."""
    root = Path(str(files("synthgap.lab"))) / "images"
    known = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if name not in known:
        raise InputError(f"the lab has no images {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    return root / name


def check_data(spec: StudySpec) -> None:
    """Raise InputError for data that the study speaks of and does not list."""
    for name, _ in _used(spec):
        if name not in spec.data:
            raise InputError(
                f"{DATA}{name} stands in the study and not under 'data'{nearest(name, spec.data)}; add data.{name}"
            )


def missing_data(spec: StudySpec) -> list[str]:
    """Names of the data that the user has yet to give, in the order of the study."""
    return [name for name in dict.fromkeys(name for name, _ in _used(spec)) if spec.data.get(name) is None]


def placed(spec: StudySpec) -> StudySpec:
    """The study with paths for all places; what is left out (``data.NAME=false``) is gone.

    Raises InputError for data that is not given, all in one line, or left out where it is needed.
    """
    check_data(spec)
    if missing := missing_data(spec):
        needed = {name for name, needed in _used(spec) if needed}
        optional = next((name for name in missing if name not in needed), None)
        rest = "" if optional is None else f"; --set data.{optional}=false goes without it"
        each = f" for each of {', '.join(missing)}" if len(missing) > 1 else ""
        raise InputError(f"the study needs images of yours: --set data.{missing[0]}=DIR{each}{rest}")
    return _with_paths(spec)


def _used(spec: StudySpec) -> list[tuple[str, bool]]:
    """Names of data in the order of the study, and whether a set cannot do without."""
    found: list[tuple[str | None, bool]] = []
    for item in (spec.natural, *spec.sets):
        found.append((item.path, True))
        if item.generate is not None and item.generate.counts_like is not None:
            found.append((str(item.generate.counts_like), False))
    texts = (*(spec.classifiers.tests if spec.classifiers else ()), *(spec.transfer.targets if spec.transfer else ()))
    found += [(name_and_place(text)[1], False) for text in texts]
    return [(text.removeprefix(DATA), needed) for text, needed in found if text is not None and text.startswith(DATA)]


def _with_paths(spec: StudySpec) -> StudySpec:
    changed: dict[str, object] = {
        "natural": _with_path(spec.natural, spec),
        "sets": tuple(_with_path(item, spec) for item in spec.sets),
    }
    if (block := spec.classifiers) is not None:
        tests = tuple(_kept(block.tests, spec))
        if block.tests and not tests:
            raise InputError(
                f"classifiers.tests: {', '.join(block.tests)}: on data that is false, and there are no others; name one, or "
                "--set classifiers.tests=[] for every set with an eval split"
            )
        changed["classifiers"] = block.model_copy(update={"tests": tests})
    if spec.transfer is not None:
        targets = tuple(_kept(spec.transfer.targets, spec))
        changed["transfer"] = spec.transfer.model_copy(update={"targets": targets}) if targets else None
    return spec.model_copy(update=changed)


def _with_path(item: StudySet, spec: StudySpec) -> StudySet:
    if item.path is not None:
        if (path := find_place(item.path, spec)) is None:
            name = item.path.removeprefix(DATA)
            raise InputError(
                f"data.{name} is false, and the set {item.name!r} is there; expected --set data.{name}=DIR"
            )
        return item.model_copy(update={"path": str(path)})
    drawn = item.generate
    if not isinstance(drawn, GenerateSpec) or drawn.counts_like is None:
        return item
    # Left out: as many images as per_class says.
    counted = find_place(str(drawn.counts_like), spec)
    return item.model_copy(update={"generate": drawn.model_copy(update={"counts_like": counted})})


def _kept(texts: tuple[str, ...], spec: StudySpec) -> Iterator[str]:
    """Tests and targets with paths for their places; a name alone is a set of the study's."""
    for text in texts:
        name, place = name_and_place(text)
        if not place.startswith((LAB, DATA)):
            yield text
        elif (path := find_place(place, spec)) is not None:
            yield f"{name or place.partition(':')[2]}={path}"


def find_place(text: str, spec: StudySpec) -> Path | None:
    """The path of a place; None where the user leaves it out, or has yet to give it."""
    if text.startswith(LAB):
        return lab_images(text.removeprefix(LAB))
    if not text.startswith(DATA):
        return Path(text).expanduser()
    found = spec.data.get(text.removeprefix(DATA))
    return Path(found).expanduser() if isinstance(found, str) else None
