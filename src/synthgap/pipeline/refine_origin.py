"""Where a refinement starts from: the run that found faults, and the set that it found them in, as a spec to draw by."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.core.specs import EncoderSpec, GenerateSpec, MeasureSpec
from synthgap.models.folders import locate_generator
from synthgap.prompts.adjustments import Adjustment, recorded_adjustments
from synthgap.stages.generation import class_list, plan_for, set_manifest, write_adjustments
from synthgap.stages.inputs import SetInput
from synthgap.store.atomic import read_json
from synthgap.store.manifest import Manifest, kind_of, read_manifest
from synthgap.store.plan import read_shards, summary

FILES = ("classes", "overrides", "captions", "generator")
"""Settings that a set's manifest tells by the last part of a path only, so that it is the same on every machine."""


@dataclass(frozen=True)
class Where:
    """Paths that the run does not tell, or that have moved since."""

    natural: Path | None = None
    synthetic: Path | None = None
    generator: str | None = None
    classes: str | None = None
    overrides: Path | None = None
    captions: Path | None = None

    def over(self, other: Where) -> Where:
        """These paths, and the other's where there is none."""
        return Where(**{one.name: getattr(self, one.name) or getattr(other, one.name) for one in fields(self)})

    def as_json(self) -> dict[str, str]:
        """The paths that are given, whole, so that they hold from any folder; a name of a list or a model as it is."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        whole = {
            key: value.expanduser() if isinstance(value, Path) else Path(value) for key, value in given.items() if value
        }
        return {key: str(path.resolve() if path.exists() else given[key]) for key, path in whole.items()}

    @classmethod
    def from_json(cls, told: Any) -> Where:
        """What `as_json` wrote; nothing for anything else."""
        told = told if isinstance(told, dict) else {}
        kinds = {one.name: str if one.name in ("generator", "classes") else Path for one in fields(cls)}
        paths: dict[str, Any] = {
            name: kind(told[name]) for name, kind in kinds.items() if isinstance(told.get(name), str)
        }
        return cls(**paths)


@dataclass(frozen=True)
class Origin:
    """A run's natural images, the set to refine, the other sets, and how they were measured."""

    run: Path
    natural: SetInput
    target: SetInput
    others: tuple[SetInput, ...]
    """Further sets of the run that are still where they were: a sweep tells which guidance to take."""
    encoder: EncoderSpec
    measure: MeasureSpec
    manifest: Manifest
    """Of the set to refine."""
    spec: GenerateSpec
    """It draws that very set again, with `adjusted`."""
    adjusted: tuple[Adjustment, ...] = ()
    """What single classes of the set were drawn with instead already."""
    notes: tuple[str, ...] = ()


def read_origin(run: Path, target: str | None, where: Where) -> Origin:
    """Read a folder of `synthgap compare` or `synthgap run`, and find what it speaks of.

    Raises:
        InputError: no such run, set or path, no natural images, a set that is not ours, or one whose classes, prompts or
            generator do not follow from what is known; the message names the option that tells.
    """
    run = run.expanduser()
    if not (run / "summary.json").is_file():
        raise InputError(f"{run / 'summary.json'}: no such file; expected the folder of a comparison or a study")
    found = read_json(run / "summary.json")
    if not isinstance(found, dict) or not isinstance(found.get("sets"), list) or "synthetic" not in found:
        raise InputError(f"{run / 'summary.json'}: not the summary of a comparison; name a folder of synthgap compare")
    images = {one["name"]: str(one.get("path") or "") for one in found["sets"] if one.get("modality") == "image"}
    natural_name, name = str(found.get("natural") or ""), target or str(found["synthetic"])
    if not natural_name:
        raise InputError(
            f"{run}: has no natural images, and without them nothing tells whether a change is better; compare with some"
        )
    synthetic = [one for one in images if one != natural_name]
    if name not in synthetic:
        raise InputError(f"{run}: has no synthetic set {name!r}{nearest(name, synthetic) or f'; it has {synthetic}'}")
    natural = SetInput(_place(run, natural_name, where.natural or images[natural_name], "natural"), natural_name)
    chosen = SetInput(_place(run, name, where.synthetic or images[name], "synthetic"), name)
    if kind_of(chosen.path) != "image-set":
        raise InputError(
            f"{chosen.path}: is no set that synthgap drew, so it cannot be drawn again; see synthgap generate"
        )
    manifest = read_manifest(chosen.path)
    adjusted = tuple(recorded_adjustments(manifest.info.get("adjusted")))
    others = [SetInput(Path(images[one]), one) for one in synthetic if one != name and images[one]]
    settings = found.get("settings", {})
    return Origin(
        run,
        natural,
        chosen,
        tuple(one for one in others if one.path.exists()),
        EncoderSpec(**settings.get("encoder", {})),
        MeasureSpec(**settings.get("measure", {})),
        manifest,
        _spec(manifest, chosen.path, where, adjusted),
        adjusted,
        _notes(run),
    )


def _place(run: Path, name: str, path: Path | str, option: str) -> Path:
    """Where a set is; Raises InputError where that is not known, or it is not there."""
    if not str(path):
        raise InputError(f"{run}: does not tell where its set {name!r} is (an older version); say --{option} PATH")
    if not Path(path).expanduser().exists():
        raise InputError(f"{path}: no such file or folder, and {name!r} of {run} was there; say --{option} PATH")
    return Path(path).expanduser()


def _notes(run: Path) -> tuple[str, ...]:
    import pyarrow.parquet as pq

    path = run / "findings.parquet"
    if not path.is_file():
        raise InputError(f"{run}: has no findings.parquet; unfinished: run the same comparison again")
    if "change" in pq.read_schema(path).names:
        return ()
    return (f"{path} is of an older version and proposes no changes; those of the diagnosis made now are taken",)


def _spec(manifest: Manifest, path: Path, where: Where, adjusted: Sequence[Adjustment]) -> GenerateSpec:
    """The spec that a set was drawn by, but for its adjustments; checked against its plan with them."""
    told = {key: value for key, value in manifest.spec.items() if key in GenerateSpec.model_fields}
    told["classes"] = where.classes or class_list(str(told.get("classes", "")), manifest.classes)
    if told["classes"] is None:
        raise InputError(
            f"{path}: its class list {manifest.spec.get('classes')!r} is not known here; say --classes FILE"
        )
    for name in ("overrides", "captions"):
        if told.get(name) and (given := getattr(where, name)) is None:
            raise InputError(f"{path}: was drawn with {name} {told[name]!r}; say where that file is: --{name} FILE")
        told[name] = given if told.get(name) else None
    if told.get("counts_like"):
        told |= {"counts_like": path, "counts_times": 1}
    told["generator"] = where.generator or told.get("generator", "")
    spec = GenerateSpec(**{**told, "adjustments": None})
    try:
        source = locate_generator(spec)
    except InputError as error:
        raise InputError(f"{path}: {error}; say --generator FOLDER") from None
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "adjustments.yaml"
        write_adjustments(file, adjusted)
        plan = plan_for(spec.model_copy(update={"adjustments": file}) if adjusted else spec, path)
    made = set_manifest(plan, source)
    if made.parents != manifest.parents:
        raise InputError(f"{path}: was drawn by another {spec.generator!r} than the one here; say --generator FOLDER")
    there = {shard.shard: shard for shard in read_shards(path)}
    changed = {shard.class_key for shard in summary(plan) if there.get(shard.shard) != shard}
    if changed or made.fingerprint != manifest.fingerprint:
        first = min(changed, default="")
        raise InputError(
            f"{path}: its prompts do not follow from what is known of it{f' (first: class {first})' if first else ''}; say "
            + ", ".join(f"--{name}" for name in FILES)
        )
    return spec


def as_marker(origin: Origin) -> dict[str, Any]:
    """What tells one refinement's folder from another's."""
    return {"run": str(origin.run.resolve()), "target": origin.target.name, "set": origin.manifest.fingerprint}
