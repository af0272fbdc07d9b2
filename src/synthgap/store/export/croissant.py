"""Croissant metadata (1.0, with the RAI fields) of Parquet files of ours: ``croissant.json``.

See https://docs.mlcommons.org/croissant/docs/croissant-spec.html and …/croissant-rai-spec.html. Fields whose truth only
the publisher knows (citation, date, creator, version, whether access is free) are left out rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthgap.core.counting import counted
from synthgap.store.card import CardFacts
from synthgap.store.export.folder import FileRecord
from synthgap.store.features import COLUMNS, label_names
from synthgap.store.manifest import Manifest

CROISSANT = "croissant.json"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context of the specification, word for word: readers warn about any other."""

_TYPES = {
    "image": "sc:ImageObject",
    "label": "sc:Integer",
    "seed": "sc:Integer",
    "guidance_scale": "sc:Float",
    "num_inference_steps": "sc:Integer",
    "width": "sc:Integer",
    "height": "sc:Integer",
    "safety_score": "sc:Float",
    "safety_flag": "sc:Boolean",
    "is_synthetic": "sc:Boolean",
}
"""Of columns that are no text."""

_FILES, _ROWS, _CLASSES = "parquet-files", "images", "classes"


def croissant(
    manifest: Manifest,
    splits: Mapping[str, int],
    facts: CardFacts,
    patterns: Sequence[str],
    files: Sequence[FileRecord] = (),
) -> dict[str, Any]:
    """Croissant of Parquet files with the columns of an image set.

    Args:
        manifest: of the set.
        splits: images of each split.
        facts: what is known about them.
        patterns: where the files are, relative to ``croissant.json``.
        files: the files with their hashes; none where the set may still grow.
    """
    generator = manifest.spec.get("generator")
    origin = f"drawn by {generator!r}" if generator else "kept by synthgap"
    head: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "synthetic-image-set" if generator else "image-set",
        "description": f"{counted(sum(splits.values()), 'image')} of {counted(len(manifest.classes), 'class')}, {origin}.",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "keywords": ["image", "synthetic", "text-to-image"] if generator else ["image"],
    }
    if facts.licence and facts.licence.is_id:
        head["license"] = facts.licence.name
    return head | {
        **(_rai(manifest, facts) if generator else {}),
        "distribution": [*map(_file_object, files), _file_set(patterns)],
        "recordSet": [_class_records(manifest.classes), _image_records()],
    }


def _rai(manifest: Manifest, facts: CardFacts) -> dict[str, Any]:
    """What responsible-AI vocabulary asks, as far as the set itself knows."""
    limits = ["The images are drawn, not photographed: what they show need not exist or be right."]
    if facts.findings is None:
        limits.append("Which classes the generator fails at was not measured.")
    for finding in facts.findings or ():
        if finding.flagged:
            name = manifest.classes.get(finding.class_key, finding.class_key)
            limits.append(f"Class {name} ({finding.class_key}): {finding.cause}. {finding.evidence}")
    failed = sum(one.failed for one in facts.counts.values())
    if failed:
        limits.append(f"{counted(failed, 'image')} missing: could not be drawn.")
    return {
        "rai:dataCollection": (
            f"Drawn with synthgap by the text-to-image model {manifest.spec['generator']!r}, "
            f"prompt recipe {manifest.spec.get('recipe', 'unknown')!r}; every row holds its prompt, seed and settings."
        ),
        "rai:dataCollectionType": ["Synthetic"],
        "rai:dataBiases": [
            "The images inherit the biases of the generator and of the images that it was trained on; "
            "they were not measured."
        ],
        "rai:dataLimitations": limits,
        "rai:personalSensitiveInformation": [
            "No person was photographed for this set. The generator may draw people, and may reproduce what it was "
            "trained on; this was not checked."
        ],
    }


def _file_object(file: FileRecord) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _file_set(patterns: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": _FILES,
        "name": _FILES,
        "encodingFormat": "application/x-parquet",
        "includes": patterns if len(patterns) > 1 else patterns[0],
    }


def _image_records() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": _ROWS,
        "name": _ROWS,
        "description": "One record per image.",
        "key": {"@id": f"{_ROWS}/image_key"},
        "field": [_column(name) for name in COLUMNS],
    }


def _column(name: str) -> dict[str, Any]:
    extract: dict[str, Any] = {"fileSet": {"@id": _FILES}, "extract": {"column": name}}
    if name == "image":
        extract["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"{_ROWS}/{name}",
        "name": name,
        "dataType": _TYPES.get(name, "sc:Text"),
        "source": extract,
    }


def _class_records(classes: Mapping[str, str]) -> dict[str, Any]:
    """The classes inline: what the numbers in ``label`` mean."""
    names = zip(classes, label_names(classes), strict=True)
    return {
        "@type": "cr:RecordSet",
        "@id": _CLASSES,
        "name": _CLASSES,
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{_CLASSES}/label"},
        "field": [
            {"@type": "cr:Field", "@id": f"{_CLASSES}/{name}", "name": name, "dataType": kind}
            for name, kind in (("label", "sc:Integer"), ("class_key", "sc:Text"), ("name", "sc:Text"))
        ],
        "data": [
            {f"{_CLASSES}/label": number, f"{_CLASSES}/class_key": key, f"{_CLASSES}/name": name}
            for number, (key, name) in enumerate(names)
        ],
    }
