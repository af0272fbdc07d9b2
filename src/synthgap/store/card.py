"""The dataset card of an image set: what it is, and for ``datasets`` where its splits are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from synthgap.store.manifest import Manifest

_TEXT = """
# {title}

{n} images of {classes} classes, {origin}.

| split | images |
|---|---|
{rows}

`datasets.load_dataset` opens this folder as it is. Every row holds its prompt, seed and settings; `status` is `ok`, or
`failed` with the reason in `error` and no image. `manifest.json` holds the whole spec and its fingerprint
(`{fingerprint}`).

## Settings

```yaml
{settings}```
"""


def dataset_card(manifest: Manifest, splits: Mapping[str, int]) -> str:
    """README.md of an image set with the splits that exist and their number of images."""
    head: dict[str, Any] = {
        "tags": ["image", "synthetic", "text-to-image"],
        "task_categories": ["image-classification"],
        "configs": [{"config_name": "default", "data_files": _data_files(list(splits))}],
    }
    spec = manifest.spec
    generator = spec.get("generator")
    return f"---\n{_yaml(head)}---\n" + _TEXT.format(
        title="Synthetic image set" if generator else "Image set",
        n=f"{sum(splits.values()):,}",
        classes=len(manifest.classes),
        origin=f"drawn by {generator!r}" if generator else "kept by synthgap",
        rows="\n".join(f"| {split} | {n:,} |" for split, n in splits.items()),
        fingerprint=manifest.fingerprint,
        settings=_yaml(spec),
    )


def _data_files(splits: Sequence[str]) -> list[dict[str, str]]:
    return [{"split": split, "path": f"data/{split}/*.parquet"} for split in splits]


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
