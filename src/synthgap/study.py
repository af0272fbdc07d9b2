"""A whole study: draw what is to be drawn, then compare every set with the natural images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from synthgap.core.config import load_spec
from synthgap.core.errors import InputError, nearest
from synthgap.core.specs import Resources, StudySet, StudySpec

LAB = "lab:"
Progress = Callable[[int, int, str], None]


def shipped_studies() -> dict[str, Path]:
    """Name and file of each shipped study."""
    folder = Path(str(files("synthgap.studies")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_study(study: str, overrides: tuple[str, ...] = ()) -> StudySpec:
    """Read a study by the name of a shipped one or from a YAML file, with ``a.b=c`` overrides.

    Raises InputError where there is none, or a key is unknown.
    """
    shipped = shipped_studies()
    path = shipped.get(study, Path(study))
    if not path.is_file():
        raise InputError(
            f"no study {study!r}: expected a YAML file or one of {', '.join(shipped)}{nearest(study, shipped)}"
        )
    return load_spec(StudySpec, path, overrides)


def lab_images(name: str) -> Path:
    """Folder of the lab's shipped image set of that name: ``natural`` or ``sd14``."""
    root = Path(str(files("synthgap.lab"))) / "images"
    known = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if name not in known:
        raise InputError(f"the lab has no images {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    return root / name


def run_study(
    spec: StudySpec, out: Path, resources: Resources | None = None, progress: Progress | None = None, command: str = ""
) -> dict[str, Any]:
    """Run a study into the folder ``out`` and return its summary; the same call goes on with what is there.

    Sets are drawn into ``out/sets/NAME``; the comparison's files are those of ``pipeline.compare_many``.

    Raises InputError, FingerprintError, RunError and Interrupted as generation and comparison do.
    """
    from synthgap.pipeline import CompareOptions, SetInput, compare_many

    resources = resources or Resources()
    inputs, seconds = [], {}
    for item in (spec.natural, *spec.sets):
        begun = time.perf_counter()
        inputs.append(SetInput(_folder(item, out, resources, progress), item.name, item.description))
        if item.generate is not None:
            seconds[f"generation of {item.name}"] = round(time.perf_counter() - begun, 2)
    options = CompareOptions(spec.encoder, spec.measure, resources, progress, command)
    return compare_many(inputs[0], inputs[1:], out, replace(options, seconds=seconds))


def _folder(item: StudySet, out: Path, resources: Resources, progress: Progress | None) -> Path:
    if item.generate is None:
        path = item.path or ""
        return lab_images(path.removeprefix(LAB)) if path.startswith(LAB) else Path(path)
    from synthgap.stages.generation import generate

    what = f"drawing {item.name}"
    said = None if progress is None else lambda done, total, _: progress(done, total, what)
    return generate(item.generate, out / "sets" / item.name, resources, said)
