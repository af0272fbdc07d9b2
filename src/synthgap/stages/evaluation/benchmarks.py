"""The five ImageNet test sets of S Table 4: what they are called, what they hold, and how a folder is known for one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from synthgap.core.errors import InputError, nearest
from synthgap.store.imagenet_layouts import v2_variant
from synthgap.vocabulary.shipped import shipped_entries


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A test set with the classes of ImageNet."""

    name: str
    variant: str | None
    """Of ImageNet-v2; None where there is one only, or where nothing tells which it is."""
    class_list: str
    """The shipped list of its classes."""
    images: int
    """In the whole set (S Table 4)."""

    @property
    def label(self) -> str:
        """Name and variant in one."""
        return f"{self.name}-{self.variant}" if self.variant else self.name

    @property
    def wnids(self) -> tuple[str, ...]:
        """WordNet ids of its classes, in the order of their numbers."""
        return wnids(self.class_list)


VARIANTS = ("matched-frequency", "threshold-0.7", "top-images")
V2 = "imagenet-v2"
BENCHMARKS = {
    found.label: found
    for found in (
        Benchmark("imagenet-val", None, "imagenet-1k", 50_000),
        *(Benchmark(V2, variant, "imagenet-1k", 10_000) for variant in VARIANTS),
        Benchmark(V2, None, "imagenet-1k", 10_000),
        Benchmark("imagenet-sketch", None, "imagenet-1k", 50_889),
        Benchmark("imagenet-r", None, "imagenet-r", 30_000),
        Benchmark("imagenet-a", None, "imagenet-a", 7_500),
    )
}
"""By label."""

_FILES = {
    "imagenet-val": r"ILSVRC2012_val_\d{8}.*",
    "imagenet-sketch": r"sketch_\d+\.JPEG",
    "imagenet-r": r"(art|cartoon|deviantart|embroidery|graffiti|graphic|misc|origami|painting|sculpture|sketch|sticker"
    r"|tattoo|toy|videogame)_\d+\.jpg",
    "imagenet-a": r"0\.\d+_.+ _ .+_0\.\d+\.jpg",
}
"""How the files of a test set are called."""


@cache
def wnids(class_list: str) -> tuple[str, ...]:
    """WordNet ids of a shipped list, in its order of labels."""
    return tuple(entry.class_key for entry in shipped_entries(class_list))


def find_benchmark(name: str) -> Benchmark:
    """The test set of a name such as ``val``, ``v2-top-images``, ``imagenet-r``.

    >>> find_benchmark("v2-threshold0.7").label
    'imagenet-v2-threshold-0.7'

    Raises:
        InputError: no such set, with the nearest name.
    """
    short = re.sub(r"[_ ]", "-", name.lower()).removeprefix("imagenet").removeprefix("in-").removeprefix("-")
    short = short.replace("threshold0", "threshold-0").replace("v2matched", "v2-matched")
    known = {label.removeprefix("imagenet-"): found for label, found in BENCHMARKS.items()}
    if short not in known:
        raise InputError(f"no test set {name!r}{nearest(short, known)}; expected {', '.join(known)}, or a path alone")
    return known[short]


def recognise(path: Path, file: str, classes: Collection[str]) -> Benchmark | None:
    """The test set that a folder's name or the name of its first image speaks of, if its classes are of that set.

    Args:
        path: the folder.
        file: path of an image in it.
        classes: WordNet ids of its classes.
    """
    found = by_name(path.resolve().name) or next(
        (BENCHMARKS[label] for label, form in _FILES.items() if re.fullmatch(form, Path(file).name)), None
    )
    return found if found and set(classes) <= set(found.wnids) else None


def by_name(folder: str) -> Benchmark | None:
    """The test set that a folder's name is that of."""
    if variant := v2_variant(folder):
        return BENCHMARKS[f"{V2}-{variant}"]
    match = re.fullmatch(r"imagenet-?(v2|sketch|r|a)", re.sub(r"[_ ]", "-", folder.lower()))
    return BENCHMARKS[f"imagenet-{match.group(1)}"] if match else None
