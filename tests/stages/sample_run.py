"""A run folder with realistic tables, for the tests of the report and for looking at it.

``python tests/stages/sample_run.py FOLDER [CLASSES] [PARQUET_OF_NATURAL PARQUET_OF_SYNTHETIC]`` writes one.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

CIFAR = {
    "n02691156": "airplane", "n02958343": "automobile", "n01503061": "bird", "n02121620": "cat", "n02430045": "deer",
    "n02084071": "dog", "n01639765": "frog", "n02374451": "horse", "n04194289": "ship", "n04490091": "truck",
}  # fmt: skip
IMAGE_SETS = {"natural": 0.0, "sd14": 0.55, "lab-7.5": 0.8, "lab-2.5": 0.6, "lab-augmented": 0.5}
PROMPT_SETS = {"prompts": 0.3, "prompts-augmented": 0.35}
DESCRIPTIONS = {
    "natural": "CIFAR-10 photographs",
    "sd14": "drawn by Stable Diffusion v1.4 (CIFAKE)",
    "lab-7.5": "lab generator, guidance 7.5, recipe name",
    "lab-2.5": "lab generator, guidance 2.5, recipe name",
    "lab-augmented": "lab generator, guidance 2.5, recipe augmented",
    "prompts": "recipe name",
    "prompts-augmented": "recipe augmented",
}
CAUSES = ("wrong-concept", "low-diversity", "over-adherent", "ambiguous", "concept-missing", "under-adherent", "sound")
SUGGESTIONS = {
    "wrong-concept": "Rewrite the prompt towards the natural images, starting from 'a {name} outdoors, far away'.",
    "low-diversity": "Use the recipe 'augmented' or draw at guidance 2.5 instead of 7.5 and compare.",
    "over-adherent": "Draw at guidance 2.5 instead of 7.5.",
    "under-adherent": "Draw at guidance 7.5 instead of 1.",
    "ambiguous": "Say what is meant: '{name}, the animal'.",
    "concept-missing": "Use another encoder or generator for '{name}', or take natural images: the prompt does not reach this concept.",
    "sound": "Nothing to change.",
}
ImageOf = Callable[[str, int, int], bytes]


def drawn_image(set_name: str, class_index: int, index: int) -> bytes:
    """A small JPEG that shows its class by colour and its set by shape."""
    rng = np.random.default_rng([class_index, index, len(set_name)])
    picture = Image.new("RGB", (32, 32), tuple(int(value) for value in rng.integers(60, 200, 3)))
    corners = [(6, 6), (26, 26)]
    fill = ((37 * class_index) % 256, (91 * class_index) % 256, (150 + 13 * class_index) % 256)
    (ImageDraw.Draw(picture).ellipse if set_name == "natural" else ImageDraw.Draw(picture).rectangle)(
        corners, fill=fill
    )
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def parquet_images(natural: Path, synthetic: Path) -> ImageOf:
    """Real images out of two Parquet files with ``image`` and ``label`` (only for looking at the page)."""
    members: dict[str, list[list[bytes]]] = {}
    for role, path in {"natural": natural, "synthetic": synthetic}.items():
        table = pq.read_table(path)
        table = table.take(list(range(0, table.num_rows, 12)))
        by_class: list[list[bytes]] = [[] for _ in range(10)]
        for image, label in zip(table["image"].to_pylist(), table["label"].to_pylist(), strict=True):
            by_class[label].append(image["bytes"])
        members[role] = by_class

    def image(set_name: str, class_index: int, index: int) -> bytes:
        pool = members["natural" if set_name == "natural" else "synthetic"][class_index % 10]
        return pool[(index + 40 * len(set_name)) % len(pool)]

    return image


def class_names(count: int) -> dict[str, str]:
    """CIFAR-10's classes, or as many made-up ones."""
    return CIFAR if count == 10 else {f"n{index:08d}": f"class number {index}" for index in range(count)}


def _cell(value: float, spread: float, n: int) -> dict[str, Any]:
    return {"value": value, "ci_low": value - spread, "ci_high": value + spread, "n": n}


_BASE = {
    "centroid_accuracy": (0.86, -0.28, 0.02), "knn_accuracy@1": (0.84, -0.36, 0.02), "knn_accuracy@5": (0.88, -0.33, 0.02),
    "average_cosine_similarity": (0.81, -0.12, 0.004), "centroid_shift": (0.006, 0.11, 0.003),
    "centroid_distance": (0.041, -0.022, 0.001), "linear_separability": (0.503, 0.46, 0.012),
    "frechet_distance": (0.021, 0.34, 0.006), "frechet_mean_term": (0.004, 0.2, 0.003),
    "frechet_covariance_term": (0.017, 0.14, 0.004),
}  # fmt: skip


def _rows(names: dict[str, str], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """measurements.parquet: every image set against natural, overall and per class."""
    for set_name, gap in IMAGE_SETS.items():
        for metric, (start, step, spread) in _BASE.items():
            overall = {"metric": metric, "reference": "natural", "query": set_name, "reason": ""}
            yield overall | {"class_key": "overall"} | _cell(start + step * gap, spread, 100 * len(names))
            for key in names:
                wobble = float(rng.normal(0, 0.35)) * step * gap
                yield overall | {"class_key": key} | _cell(start + step * gap + wobble, 3 * spread, 100)
        if set_name != "natural":
            for part, share in {"total": 0.45, "diversity": 0.3, "shift": 0.15}.items():
                yield {
                    "metric": f"error_{part}", "reference": "prompts", "query": set_name, "class_key": "overall", "reason": "",
                } | _cell(share * (0.6 + 0.6 * gap) * (-0.2 if (part, set_name) == ("shift", "lab-2.5") else 1), 0.02, 1000)  # fmt: skip


def _findings(names: dict[str, str], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for index, (key, name) in enumerate(names.items()):
        cause = CAUSES[index % len(CAUSES)]
        severity = float(np.clip(rng.beta(2, 3), 0.05, 0.97)) if cause != "sound" else 0.04
        yield {
            "class_key": key, "cause": cause, "severity": severity, "flagged": cause != "sound" and severity > 0.2,
            "suggestion": SUGGESTIONS[cause].format(name=name),
            "evidence": f"Diversity (centroid distance) is {1 - severity / 2:.2f} [{0.9 - severity / 2:.2f}, {1.1 - severity / 2:.2f}] of natural; natural centroids recognise {100 - 60 * severity:.0f}% of its images (of natural ones 88%), 12% nearest to 'ship'. (100 synthetic and 100 natural images.)",
            "ci_low": max(0.0, severity - 0.09), "ci_high": min(1.0, severity + 0.08),
        }  # fmt: skip


def _trials() -> Iterator[dict[str, Any]]:
    sets = IMAGE_SETS | PROMPT_SETS
    number = 0
    for query, q in sets.items():
        for reference, r in sets.items():
            number += 1
            accuracy = min(1.0, 0.9 - 0.5 * abs(q - r) + (0.08 if query.startswith("prompts") else 0.0))
            mixed = query.startswith("prompts") != reference.startswith("prompts")
            single = query == "prompts"
            yield {
                "number": number, "reference": reference, "query": query, "centroid_accuracy": accuracy,
                "knn_1": float("nan") if single else accuracy - 0.04, "knn_5": float("nan") if single else accuracy - 0.01,
                "average_cosine_similarity": 0.25 if mixed else 0.88 - 0.2 * abs(q - r), "n": 10 if single else 1000,
                "centroid_accuracy_ci_low": accuracy - 0.02, "centroid_accuracy_ci_high": min(1.0, accuracy + 0.02),
            }  # fmt: skip


def _map(names: dict[str, str], points: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    keys = list(names)
    centres = rng.normal(0, 4, (len(keys), 2))
    for set_name, gap in (IMAGE_SETS | PROMPT_SETS).items():
        prompt = set_name in PROMPT_SETS
        amount = len(keys) if set_name == "prompts" else points // 2 if prompt else points
        for index in range(amount):
            number = index % len(keys)
            spread = 0.25 if prompt else 1.1 - 0.6 * gap
            place = centres[number] + rng.normal(0, spread, 2) + ((9.0, -3.0) if prompt else (2.5 * gap, 1.2 * gap))
            yield {
                "set": set_name, "modality": "prompt" if prompt else "image", "class_key": keys[number],
                "image_key": f"{keys[number]}-train-{index // len(keys):07d}", "x": float(place[0]), "y": float(place[1]),
            }  # fmt: skip


def _thumbnails(names: dict[str, str], per_strip: int, image: ImageOf) -> Iterator[dict[str, Any]]:
    for set_name in IMAGE_SETS:
        for number, key in enumerate(names):
            for index in range(per_strip):
                yield {
                    "set": set_name, "class_key": key, "image_key": f"{key}-train-{index:07d}",
                    "image": image(set_name, number, index),
                }  # fmt: skip


def _classifier(names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for set_name, gap in IMAGE_SETS.items():
        for key in ("overall", *names):
            yield {"train_set": set_name, "test_set": "natural", "class_key": key} | _cell(
                0.87 - 0.4 * gap, 0.018, 1000
            )


def _block(rows: list[dict[str, Any]], names: dict[str, str], query: str) -> dict[str, Any]:
    block: dict[str, Any] = {}
    for row in rows:
        if row["query"] != query or row["metric"].startswith("error"):
            continue
        metric, _, k = row["metric"].partition("@")
        place = block.setdefault(metric, {})
        place = place.setdefault(k, {}) if k else place
        cell = {name: row[name] for name in ("value", "ci_low", "ci_high", "n")}
        if row["class_key"] == "overall":
            place["overall"] = cell
        else:
            place.setdefault("per_class", {})[names[row["class_key"]]] = cell
    return block


def _summary(
    names: dict[str, str], measurements: list[dict[str, Any]], findings: list[dict[str, Any]]
) -> dict[str, Any]:
    sets = IMAGE_SETS | PROMPT_SETS
    worst = max(findings, key=lambda row: row["severity"])
    return {
        "version": "0.1.0", "natural": "natural", "synthetic": "sd14", "encoder": "lab (CLIP, 256 dimensions)", "classes": names,
        "sets": [
            {"name": name, "modality": "prompt" if name in PROMPT_SETS else "image", "n": 100 * len(names),
             "classes": len(names), "description": DESCRIPTIONS[name]} for name in sets
        ],
        "sentences": [
            "Images of 'sd14' land nearest to their own natural class in 70.6% of cases; natural images themselves do in 86.0%.",
            "7 of 10 classes are at fault, 3 by images that are too much alike; the middle of each class has moved.",
            f"First, in '{names[worst['class_key']]}': {worst['suggestion']}",
        ],
        "measurements": _block(measurements, names, "sd14"), "baseline": _block(measurements, names, "natural"),
        "findings": findings,
        "skipped": [
            {"set": "sd14", "image_key": f"frog/broken-{index}.jpg", "class_key": "n01639765",
             "reason": "truncated" if index % 3 else "not an image"} for index in range(7)
        ],
        "warnings": ["2 classes have fewer than 20 natural images; their intervals are wide."],
        "seconds": {"generate": 143.2, "embed": 31.5, "measure": 8.4, "diagnose": 2.2, "classifier": 3.1, "report": 1.4},
        "map_note": "t-SNE in the space of the natural centroids; prompts are moved onto the images first.",
        "command": "synthgap compare photos/ drawings/ --encoder lab --out runs/demo",
        "settings": {"measure": {"knn": [1, 5], "bootstrap": 200, "seed": 0}, "encoder": {"encoder": "lab", "dtype": "float32"}},
    }  # fmt: skip


def write_sample_run(
    folder: Path, *, classes: int = 10, points: int = 400, per_strip: int = 12, image: ImageOf = drawn_image
) -> Path:
    """Write a run folder with every table that the report reads; ``points`` is per image set of the map."""
    rng = np.random.default_rng(7)
    names = class_names(classes)
    folder.mkdir(parents=True, exist_ok=True)
    measurements, findings = list(_rows(names, rng)), list(_findings(names, rng))
    tables = {
        "measurements": measurements, "findings": findings, "trials": list(_trials()), "map": list(_map(names, points, rng)),
        "thumbnails": list(_thumbnails(names, per_strip, image)), "classifier": list(_classifier(names)),
    }  # fmt: skip
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    (folder / "summary.json").write_text(json.dumps(_summary(names, measurements, findings)), encoding="utf-8")
    return folder


if __name__ == "__main__":
    target, amount = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    source = parquet_images(Path(sys.argv[3]), Path(sys.argv[4])) if len(sys.argv) > 4 else drawn_image
    write_sample_run(target, classes=amount, points=400 if amount == 10 else 2000, image=source)
