"""``synthgap lab evaluate``: how good a world is, on photographs no part of it ever saw.

The judge, which never saw a caption, tells what generated images show; the encoder's zero-shot accuracy and the
diversity of what is drawn complete the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.seeds import image_seed
from synthgap.core.specs import EncoderSpec, GenerateSpec, Resources
from synthgap.lab.loop import Report
from synthgap.metrics import centroid_distance
from synthgap.models.encoder import Encoder, load_encoder
from synthgap.models.generator import load_generator
from synthgap.models.judge import load_judge
from synthgap.store.images import BrokenImage, decode_image
from synthgap.store.sources import open_images
from synthgap.vocabulary.lists import class_list

GUIDANCES = (1.0, 2.5, 5.0, 7.5)
SEED = 20_231
"""Of the images that are judged; the demo draws with others."""
BATCH = 100


@dataclass(frozen=True)
class Drawing:
    """What the generator does at one guidance."""

    guidance_scale: float
    told_right: float
    """Share of generated images that the judge sees as their class."""
    zero_shot: float
    """Share that the encoder's zero-shot sees as their class."""
    centroid_distance: float
    n: int


@dataclass(frozen=True)
class Evaluation:
    """A world's figures."""

    encoder_zero_shot: dict[str, float]
    """Top-1 on unseen natural images, for each prompt form."""
    judge_natural: float
    """The judge's top-1 on the same images."""
    natural_centroid_distance: float
    n_natural: int
    drawings: tuple[Drawing, ...]
    contact_sheet: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _natural(images: Path, entries: Sequence[ClassEntry]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    source = open_images(images)
    keys = {entry.class_key: i for i, entry in enumerate(entries)} | {entry.name: i for i, entry in enumerate(entries)}
    pixels, labels = [], []
    for row in source.rows():
        label = keys.get(row.class_key, keys.get(source.classes[row.class_key]))
        if label is None:
            raise InputError(
                f"{images}: class {source.classes[row.class_key]!r} is not among the world's classes; name them with --classes"
            )
        try:
            pixels.append(decode_image(row.read()))
            labels.append(label)
        except BrokenImage:
            continue
    return np.stack(pixels), np.array(labels)


def _mean_centroid_distance(
    encoder: Encoder, images: NDArray[np.uint8], labels: NDArray[np.int64], classes: int
) -> float:
    vectors = np.concatenate([encoder.encode_images(images[i : i + 256]) for i in range(0, len(images), 256)])
    per_class = centroid_distance(torch.from_numpy(vectors), torch.from_numpy(labels), classes)
    return float(per_class.mean())


def _zero_shot(encoder: Encoder, images: NDArray[np.uint8], prompts: Sequence[str]) -> NDArray[np.int64]:
    text = encoder.encode_texts(prompts)
    parts = [(encoder.encode_images(images[i : i + 256]) @ text.T).argmax(1) for i in range(0, len(images), 256)]
    return np.concatenate(parts)


def contact_sheet(images: NDArray[np.uint8], rows: int, scale: int = 3) -> Image.Image:
    """Lay images (n, h, w, 3), row by row, on one sheet, each pixel ``scale`` times as large."""
    count, height, width, _ = images.shape
    columns = count // rows
    grid = (
        images[: rows * columns]
        .reshape(rows, columns, height, width, 3)
        .swapaxes(1, 2)
        .reshape(rows * height, columns * width, 3)
    )
    return Image.fromarray(grid).resize((columns * width * scale, rows * height * scale), Image.Resampling.NEAREST)


def evaluate_world(
    world: Path,
    images: Path,
    out: Path,
    *,
    classes: str = "cifar-10",
    per_class: int = 50,
    report: Report | None = None,
) -> Evaluation:
    """Evaluate a world's three models against natural images it never saw, and draw a contact sheet to ``out``.

    Raises InputError where the world or the images are not there.
    """
    entries = class_list(classes)
    natural, truth = _natural(images, entries)
    resources = Resources(batch_size=BATCH)
    encoder = load_encoder(EncoderSpec(encoder=str(world / "encoder")), resources)
    judge = load_judge(world / "judge")
    names = [entry.name for entry in entries]
    forms = {
        "{name}": names,
        "a photo of a {name}": [f"a photo of a {name}" for name in names],
        "{lemmas}": [", ".join(e.lemmas) for e in entries],
    }
    shot = {form: float((_zero_shot(encoder, natural, prompts) == truth).mean()) for form, prompts in forms.items()}
    labels = np.repeat(np.arange(len(entries)), per_class)
    prompts = [", ".join(entries[label].lemmas) for label in labels]
    seeds = [image_seed(SEED, entries[label].class_key, i % per_class) for i, label in enumerate(labels)]
    drawings = []
    for number, guidance in enumerate(GUIDANCES):
        generator = load_generator(
            GenerateSpec(generator=str(world / "generator"), guidance_scale=guidance, dtype="bfloat16"), resources
        )
        parts = [generator.draw(prompts[i : i + BATCH], seeds[i : i + BATCH]) for i in range(0, len(labels), BATCH)]
        drawn = np.concatenate(parts)
        drawings.append(
            Drawing(
                guidance,
                float((judge.classify(drawn) == labels).mean()),
                float((_zero_shot(encoder, drawn, forms["{lemmas}"]) == labels).mean()),
                _mean_centroid_distance(encoder, drawn, labels, len(entries)),
                len(labels),
            )
        )
        if report is not None:
            report(number + 1, len(GUIDANCES), "drawing at each guidance")
    out.mkdir(parents=True, exist_ok=True)
    sheet = out / "contact_sheet.png"
    first = np.concatenate([drawn[labels == label][:16] for label in range(len(entries))])
    contact_sheet(first, len(entries)).save(sheet)
    return Evaluation(
        shot,
        float((judge.classify(natural) == truth).mean()),
        _mean_centroid_distance(encoder, natural, truth, len(entries)),
        len(truth),
        tuple(drawings),
        str(sheet),
    )
