"""The sets of a refinement: with some classes changed, with the embeddings of the run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthgap.core.specs import GenerateSpec
from synthgap.prompts.adjustments import Adjustment
from synthgap.stages.generation import write_adjustments
from synthgap.store.atomic import copy_file
from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.keys import safe_key


@contextmanager
def adjusted(spec: GenerateSpec, adjustments: Iterable[Adjustment]) -> Iterator[GenerateSpec]:
    """The spec with adjustments, in a file that nobody else writes and that is there inside the block."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "adjustments.yaml"
        write_adjustments(file, adjustments)
        yield spec.model_copy(update={"adjustments": file})


def mixed(before: EmbeddingSet, after: EmbeddingSet, class_keys: set[str]) -> EmbeddingSet:
    """The set with some classes taken from after."""
    old = before.subset([row for row, key in enumerate(before.class_keys) if key not in class_keys])
    new = after.subset([row for row, key in enumerate(after.class_keys) if key in class_keys])
    return replace(
        old,
        embeddings=np.concatenate([old.embeddings, new.embeddings]),
        class_keys=old.class_keys + new.class_keys,
        image_keys=old.image_keys + new.image_keys,
        splits=old.splits + new.splits,
    )


def embeddings_of(root: Path, name: str) -> Path:
    """Where a run keeps the embeddings of a set."""
    return root / "embeddings" / safe_key(name.replace(" ", "-"))


def take_over(run: Path, source: str, out: Path, name: str) -> None:
    """Begin with the embeddings of a run, as second names of the same files; what is there stays."""
    there, here = embeddings_of(run, source), embeddings_of(out, name)
    manifest = there / "manifest.json"
    if not manifest.is_file():
        return
    for path in (manifest, *sorted(there.rglob("*"))):
        target = here / path.relative_to(there)
        if path.is_file() and not path.name.startswith(".") and not target.exists():
            copy_file(path, target)
