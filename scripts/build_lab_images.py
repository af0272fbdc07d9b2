"""Write the lab's shipped images: a balanced subset of CIFAKE's natural photographs and of its Stable Diffusion v1.4 images.

    python scripts/build_lab_images.py ../shared/data/cifake src/synthgap/lab/images

Within each class the order is that of the content's hash and exact duplicates are dropped, so the same files come out
again whatever the names. The photographs written here are those that ``synthgap lab train`` never learns from.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synthgap.core.records import ClassEntry
from synthgap.core.specs import LabSpec
from synthgap.lab.photographs import Photographs, read_photographs

SETS = {
    "natural": "CIFAR-10 photographs (Krizhevsky & Hinton 2009) as distributed with CIFAKE (Bird & Lotfi 2024)",
    "sd14": "images that Stable Diffusion v1.4 drew for the same ten classes, from CIFAKE (Bird & Lotfi 2024)",
}
CARD = """---
license: mit
task_categories: [image-classification]
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.parquet
  - split: eval
    path: data/eval.parquet
---
# {title}

{count} images of 32x32 pixels, {train} per class to refer to and {evaluation} per class to ask about, ten classes,
exact duplicates removed. {what}.

Source: CIFAKE, Bird, J. J. and Lotfi, A. (2024), "CIFAKE: Image Classification and Explainable Identification of
AI-Generated Synthetic Images", IEEE Access; distributed under the MIT licence. Photographs: Krizhevsky, A. and Hinton,
G. (2009), "Learning multiple layers of features from tiny images". The files are CIFAKE's own, byte for byte.

Written by `scripts/build_lab_images.py`.
"""


def write(photographs: Photographs, entries: Sequence[ClassEntry], path: Path) -> None:
    keys = [entries[label].class_key for label in photographs.labels]
    names = [f"{key}-{hashlib.sha256(data).hexdigest()[:12]}" for key, data in zip(keys, photographs.data, strict=True)]
    images = [{"bytes": data, "path": f"{name}.jpg"} for name, data in zip(names, photographs.data, strict=True)]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": [entry.name for entry in entries], "_type": "ClassLabel"},
        "class_key": {"dtype": "string", "_type": "Value"},
        "image_key": {"dtype": "string", "_type": "Value"},
    }
    table = pa.table({
        "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array(photographs.labels, pa.int64()),
        "class_key": pa.array(keys),
        "image_key": pa.array(names),
    }).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=100, compression={"image.bytes": "none"}, write_page_index=True)


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    spec = LabSpec()
    for name, what in SETS.items():
        split = read_photographs(source / f"{name}.parquet", spec)
        write(split.train, split.entries, target / name / "data" / "train.parquet")
        write(split.evaluation, split.entries, target / name / "data" / "eval.parquet")
        count = len(split.train.labels) + len(split.evaluation.labels)
        card = CARD.format(
            title=f"synthgap lab: {name}", count=count, train=spec.shipped_train, evaluation=spec.shipped_eval,
            what=what[0].upper() + what[1:],
        )  # fmt: skip
        (target / name / "README.md").write_text(card)
        print(f"{name}: {count} images, {split.left_out} duplicates or broken files left out")


if __name__ == "__main__":
    main()
