"""The dataset card of an image set or an export: what it is, how it was made, what is known to be wrong with it.

The front matter tells ``datasets`` where the splits are and what the columns hold. The columns must be there, although
every Parquet file names them too: without them ``datasets`` takes the class names of the *first* file of a split, and a
set that has grown by a class has older files that name fewer classes. With them each file is cast to the card's
(``LocalDatasetModuleFactory`` reads ``dataset_info``; ``Parquet._split_generators`` looks into a file only without it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from synthgap.core.counting import counted
from synthgap.core.records import Finding
from synthgap.store.features import hf_features, image_schema
from synthgap.store.manifest import Manifest

WORST = 10
"""Classes that a table of the card names at most."""

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_TEXT = """
# {title}

{n} images of {classes} classes, {origin}.

| split | images |
|---|---|
{rows}

{reading}
{sections}
## Settings

`manifest.json` of the set holds the whole spec; its fingerprint is `{fingerprint}`.

```yaml
{settings}```
"""
_READING = """\
`datasets.load_dataset` opens this folder as it is. Every row holds its prompt, seed and settings; `status` is `ok`, or
`failed` with the reason in `error` and no image.
"""


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Rows of one class."""

    ok: int = 0
    failed: int = 0
    scored: int = 0
    """Images that a safety checker looked at."""
    flagged: int = 0


@dataclass(frozen=True, slots=True)
class Licence:
    """The licence of a generator, as its own files tell it."""

    name: str
    """An identifier of the Hub where ``is_id``, else the words of a licence file."""
    is_id: bool
    source: str
    """The file that says so."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card tells besides the manifest: found in the rows, in the generator's folder and in a diagnosis."""

    counts: Mapping[str, ClassCounts] = field(default_factory=dict)
    """By class key, of everything that was drawn."""
    prompts: Sequence[str] = ()
    """Examples, as they were drawn."""
    marked: bool = False
    """Whether the files say that a model made them (``store.marks``)."""
    licence: Licence | None = None
    findings: Sequence[Finding] | None = None
    """Of ``findings.parquet``; None where none was measured."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Flagged images that an export left out, by class key."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of a folder are, and how it is read."""

    data_files: str = "data/{split}/*.parquet"
    """Pattern of a split's files."""
    features: bool = True
    """Whether the rows have our columns; a folder of images has none."""
    reading: str = _READING


def dataset_card(
    manifest: Manifest, splits: Mapping[str, int], facts: CardFacts | None = None, layout: Layout | None = None
) -> str:
    """README.md of an image set or export: its splits and their number of images, and what is known about them.

    Args:
        manifest: of the set.
        splits: images of each split.
        facts: what the rows, the generator and a diagnosis tell; without them only the manifest speaks.
        layout: where the files are; those of a set folder by default.
    """
    facts, layout = facts or CardFacts(), layout or Layout()
    head = _head(manifest, splits, facts, layout)
    generator = manifest.spec.get("generator")
    return f"---\n{_yaml(head)}---\n" + _TEXT.format(
        title="Synthetic image set" if generator else "Image set",
        n=f"{sum(splits.values()):,}",
        classes=len(manifest.classes),
        origin=f"drawn by {_code(_named(manifest))}" if generator else "kept by synthgap",
        rows="\n".join(f"| {split} | {n:,} |" for split, n in splits.items()),
        reading=layout.reading,
        sections="\n".join(_sections(manifest, facts)) if generator else "",
        fingerprint=manifest.fingerprint,
        settings=_yaml(manifest.spec),
    )


def front_matter(card: Path) -> dict[str, Any]:
    """The YAML at the head of a card, ours or anybody's; empty where there is none that can be read."""
    try:
        parts = card.read_text(encoding="utf-8").split("---\n", 2)
        head = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return head if isinstance(head, dict) else {}


def _head(manifest: Manifest, splits: Mapping[str, int], facts: CardFacts, layout: Layout) -> dict[str, Any]:
    total = sum(splits.values())
    head: dict[str, Any] = {}
    if manifest.spec.get("generator"):
        head |= _licence_head(facts.licence)
    head |= {
        "tags": ["image", "synthetic", "text-to-image"],
        "task_categories": ["image-classification"],
        "size_categories": [next((name for size, name in _SIZES if total < size), "n>10M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": layout.data_files.format(split=s)} for s in splits],
            }
        ],
    }
    # Only the columns, no "splits": ``datasets`` wants their size in Arrow there, which nothing here needs to know.
    return head | ({"dataset_info": {"features": _features(manifest.classes)}} if layout.features else {})


def _features(classes: Mapping[str, str]) -> list[dict[str, Any]]:
    """The columns in the form that a card has them: the names of a ``ClassLabel`` by number, as text."""
    columns: list[dict[str, Any]] = []
    for name, feature in hf_features(image_schema(classes)).items():
        kind = feature["dtype"] if feature["_type"] == "Value" else feature["_type"].lower()
        if feature["_type"] == "ClassLabel":
            kind = {"class_label": {"names": {str(number): text for number, text in enumerate(feature["names"])}}}
        columns.append({"name": name, "dtype": kind})
    return columns


def _licence_head(licence: Licence | None) -> dict[str, str]:
    if licence is None:
        return {"license": "unknown"}
    if licence.is_id:
        return {"license": licence.name}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", licence.name.lower()).strip("-")}


def _sections(manifest: Manifest, facts: CardFacts) -> list[str]:
    parts = {
        "Prompts": _prompts(manifest, facts),
        "Adjusted classes": _adjusted(manifest),
        "Failed and flagged images": _rates(manifest, facts),
        "Known failing classes": _failing(manifest, facts),
        "Classes": _classes(manifest),
        "Licence": _licence(facts.licence),
        "Marks": "Every file says that a model made it: XMP `Iptc4xmpExt:DigitalSourceType` is "
        "`trainedAlgorithmicMedia`, EXIF `Software` is `synthgap`. No watermark is in the pixels."
        if facts.marked
        else "",
    }
    return [f"## {title}\n\n{text}\n" for title, text in parts.items() if text]


def _prompts(manifest: Manifest, facts: CardFacts) -> str:
    text = f"Recipe {_code(manifest.spec.get('recipe', 'unknown'))}."
    if not facts.prompts:
        return f"{text} `prompts.parquet` of the set holds every prompt."
    return f"{text} For example:\n\n" + "\n".join(f"* {_code(prompt)}" for prompt in facts.prompts)


def _adjusted(manifest: Manifest) -> str:
    """The classes that are drawn otherwise than the rest, such as by `synthgap refine`."""
    rows = [
        (_name(manifest, key), "; ".join(f"{name} {value}" for name, value in changes.items()))
        for key, changes in manifest.info.get("adjusted", {}).items()
    ]
    return _table(("class", "drawn with"), rows) if rows else ""


def _rates(manifest: Manifest, facts: CardFacts) -> str:
    if not facts.counts:
        return ""
    every = facts.counts.values()
    ok, failed = sum(one.ok for one in every), sum(one.failed for one in every)
    scored, flagged = sum(one.scored for one in every), sum(one.flagged for one in every)
    lines = [
        f"{failed:,} of {counted(ok + failed, 'image')} could not be drawn; they are rows without an image in the set."
    ]
    if not scored:
        return lines[0] + " No safety checker looked at the images."
    lines.append(
        f"A safety checker looked at {counted(scored, 'image')} and flagged {flagged:,} ({flagged / scored:.2%})."
    )
    if dropped := sum(facts.left_out.values()):
        lines.append(f"The flagged images ({dropped:,}) are left out here.")
    rates = {key: one.flagged / one.scored for key, one in facts.counts.items() if one.flagged}
    worst = sorted(rates, key=lambda key: -rates[key])[:WORST]
    rows = [(_name(manifest, key), f"{facts.counts[key].flagged:,}", f"{rates[key]:.1%}") for key in worst]
    return " ".join(lines) + (("\n\n" + _table(("class", "flagged", "share"), rows)) if rows else "")


def _failing(manifest: Manifest, facts: CardFacts) -> str:
    if facts.findings is None:
        return (
            "Not measured. `synthgap compare NATURAL THIS_SET --out RUN` compares the set with natural images and "
            "writes `RUN/findings.parquet`; `synthgap export --findings RUN/findings.parquet` lists its classes here."
        )
    flagged = sorted((one for one in facts.findings if one.flagged), key=lambda one: -one.severity)
    if not flagged:
        return f"None of {counted(len(facts.findings), 'class')} was flagged by the diagnosis."
    rows = [(_name(manifest, one.class_key), one.cause, one.evidence) for one in flagged]
    return f"{len(rows)} of {counted(len(facts.findings), 'class')}.\n\n" + _table(("class", "cause", "evidence"), rows)


def _classes(manifest: Manifest) -> str:
    named = manifest.spec.get("classes")
    ids = sum(re.fullmatch(r"n\d{8}", key) is not None for key in manifest.classes)
    source = f"From {_code(named)}. " if named else ""
    if ids == len(manifest.classes):
        return f"{source}Every class is a sense of WordNet 3.0; `class_key` is its id."
    return f"{source}`class_key` is a WordNet 3.0 id for {ids} of {counted(len(manifest.classes), 'class')}."


def _licence(licence: Licence | None) -> str:
    if licence is None:
        return (
            "The generator's licence is unknown: its files do not tell it. Look it up and see what it asks of images "
            "drawn with it before you share or use this set."
        )
    return (
        f"The generator's licence is {_code(licence.name)} ({licence.source}). See what it asks of images drawn with "
        "it before you share or use this set."
    )


def _named(manifest: Manifest) -> str:
    generator, revision = manifest.spec["generator"], manifest.spec.get("revision")
    found = revision or manifest.parents.get("generator")
    return f"{generator} ({found})" if found else str(generator)


def _name(manifest: Manifest, key: str) -> str:
    name = manifest.classes.get(key, key)
    return name if name == key else f"{name} ({key})"


def _code(text: object) -> str:
    """A text as one code span that nothing in it can end."""
    flat = " ".join(str(text).split()) or " "
    fence = "`" * (max(map(len, re.findall("`+", flat)), default=0) + 1)
    pad = " " if "`" in flat else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(header), ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text that stays in its cell and is no markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", " ".join(text.split()))


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
