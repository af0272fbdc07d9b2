"""Build the shipped class lists from timm's wheel and the vocabulary files of the development data.

    python scripts/build_class_lists.py --vocabulary ../shared/data/vocabulary

Each list is checked: every WordNet id is a noun of the shipped table, no class occurs twice, and the count is right.
``src/synthgap/vocabulary/data/README.md`` says where each source is from and under which licence.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path

from synthgap.vocabulary.slugs import CLASS_KEY
from synthgap.vocabulary.wordnet import WNID, synset

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "src" / "synthgap" / "vocabulary" / "data" / "lists"

CIFAR10 = {
    "airplane": "n02691156",
    "automobile": "n02958343",
    "bird": "n01503061",
    "cat": "n02121620",
    "deer": "n02430045",
    "dog": "n02084071",
    "frog": "n01639765",
    "horse": "n02374451",
    "ship": "n04194289",
    "truck": "n04490091",
}

PLACES_WORDS = {
    "bakery/shop": "bakery shop",
    "desert/sand": "sand desert",
    "desert/vegetation": "desert with vegetation",
    "elevator/door": "elevator door",
    "moat/water": "moat with water",
    "subway_station/platform": "subway station platform",
    "temple/asia": "temple in Asia",
    "train_station/platform": "train station platform",
    "underwater/ocean_deep": "underwater deep ocean",
}
"""Scenes that do not read well as "qualifier scene", which is what all others become (church/indoor: indoor church)."""


def places_name(path: str) -> str:
    """A Places category as words.

    >>> places_name("apartment_building/outdoor"), places_name("airplane_cabin")
    ('outdoor apartment building', 'airplane cabin')
    """
    if path in PLACES_WORDS:
        return PLACES_WORDS[path]
    scene, _, qualifier = path.partition("/")
    return f"{qualifier} {scene}".strip().replace("_", " ")


def places_rows(file: Path) -> list[tuple[str, str]]:
    """Class key and name of each scene of categories_places365.txt, whose lines read ``/a/airfield 0``."""
    paths = [line.split()[0][3:] for line in file.read_text("utf-8").splitlines()]
    return [(re.sub("/", "-", path.lower()), places_name(path)) for path in paths]


def id_rows(file: Path) -> list[tuple[str, str]]:
    """WordNet ids of a file with one per line; their names are the synsets'."""
    return [(line.strip(), "") for line in file.read_text("utf-8").splitlines()]


def sources(timm_info: Path, vocabulary: Path) -> dict[str, tuple[str, int, list[tuple[str, str]]]]:
    """Description, expected count and rows of each list."""
    return {
        "cifar-10": (
            "CIFAR-10: 6 animals and 4 vehicles, in its order of labels.",
            10,
            [(wnid, name) for name, wnid in CIFAR10.items()],
        ),
        "imagenet-100": (
            "ImageNet-100: the 100 ImageNet classes of CMC that S uses, in the published order.",
            100,
            id_rows(vocabulary / "imagenet100_wnids.txt"),
        ),
        "imagenet-1k": (
            "ImageNet-1K: the 1,000 classes of ILSVRC-2012, in its order of labels.",
            1000,
            id_rows(timm_info / "imagenet_synsets.txt"),
        ),
        "imagenet-a": (
            "ImageNet-A: 200 ImageNet classes with natural adversarial examples, in its order of labels.",
            200,
            id_rows(timm_info / "imagenet_a_synsets.txt"),
        ),
        "imagenet-r": (
            "ImageNet-R: 200 ImageNet classes in art, cartoons and other renditions, in its order of labels.",
            200,
            id_rows(timm_info / "imagenet_r_synsets.txt"),
        ),
        "places365": (
            "Places365: 365 scenes, in its order of labels; they are also S's backgrounds.",
            365,
            places_rows(vocabulary / "categories_places365.txt"),
        ),
    }


def list_text(description: str, count: int, rows: list[tuple[str, str]]) -> str:
    """A checked list as the text of its file."""
    keys = [key for key, _ in rows]
    if len(set(keys)) != count or len(keys) != count:
        raise SystemExit(f"{description} has {len(keys)} rows and {len(set(keys))} classes; expected {count}")
    for key, name in rows:
        if WNID.fullmatch(key):
            synset(key)
        elif not (CLASS_KEY.fullmatch(key) and name):
            raise SystemExit(f"{key!r} is no class key, or has no name")
    return "\n".join([f"# {description}", *("\t".join(part for part in row if part) for row in rows)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=Path, default=ROOT.parent / "shared" / "data" / "vocabulary")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        parser.error("timm is not installed; pip install timm")
    info = Path(found.origin).parent / "data" / "_info"
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, (description, count, rows) in sources(info, arguments.vocabulary).items():
        (arguments.out / f"{name}.txt").write_text(list_text(description, count, rows), "utf-8")
        print(f"{name}: {count} classes")


if __name__ == "__main__":
    main()
