"""The columns of an image set, as an Arrow schema with Hugging Face features in its metadata.

``datasets`` and timm read such files without our code: the image decoded, the label as a ``ClassLabel`` with names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

_COLUMNS: dict[str, pa.DataType] = {
    "image": IMAGE,
    "label": pa.int64(),
    "class_key": pa.string(),
    "image_key": pa.string(),
    "prompt": pa.string(),
    "recipe": pa.string(),
    "negative_prompt": pa.string(),
    "seed": pa.int64(),
    "guidance_scale": pa.float64(),
    "num_inference_steps": pa.int64(),
    "scheduler": pa.string(),
    "generator": pa.string(),
    "generator_revision": pa.string(),
    "width": pa.int64(),
    "height": pa.int64(),
    "safety_score": pa.float64(),
    "safety_flag": pa.bool_(),
    "is_synthetic": pa.bool_(),
    "status": pa.string(),
    "error": pa.string(),
}

COLUMNS = tuple(_COLUMNS)
"""Columns of an image set's shards, in order."""

IMAGE_BYTES = "image.bytes"
"""Parquet path of the stored files: compressed images already, so stored as they are."""

_DTYPES = {"double": "float64", "float": "float32"}  # Arrow's names and those of ``datasets``


def label_names(classes: Mapping[str, str]) -> list[str]:
    """Unique names for a ``ClassLabel``, in order: two senses of one name get their class key behind it.

    >>> label_names({"n02012849": "crane", "n03126707": "crane", "n01639765": "frog"})
    ['crane (n02012849)', 'crane (n03126707)', 'frog']
    """
    times = Counter(classes.values())
    names = [name if times[name] == 1 else f"{name} ({key})" for key, name in classes.items()]
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({key})" for key, name in classes.items()]


def image_schema(classes: Mapping[str, str]) -> pa.Schema:
    """Schema of an image set's shards, with the features that ``datasets`` expects in the metadata."""
    features: dict[str, Any] = {
        name: {"dtype": _DTYPES.get(str(kind), str(kind)), "_type": "Value"} for name, kind in _COLUMNS.items()
    }
    features["image"] = {"_type": "Image"}
    features["label"] = {"names": label_names(classes), "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(_COLUMNS.items()), metadata=metadata)


def hf_features(schema: pa.Schema) -> dict[str, Any]:
    """Hugging Face features of a Parquet file's schema by column; empty where it has none."""
    raw = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(raw)["info"]["features"] if raw else {}
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}
