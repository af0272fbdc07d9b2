"""Fixtures that all tests share: tiny models in the field's own folder formats."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Before torch and the Hub's client are imported: tests are small, quick and offline.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def tiny_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``StableDiffusionPipeline`` folder: 32x32 images, four steps, random weights. Read it, never write to it."""
    from synthgap.testing import tiny_generator

    return tiny_generator(tmp_path_factory.mktemp("models") / "tiny-generator")


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers ``CLIPModel`` folder: 32x32 images, 24 dimensions, random weights. Never write to it."""
    from synthgap.testing import tiny_clip

    return tiny_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="session")
def tiny_open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder with a convolutional tower: 32x32 images, 24 dimensions, random weights. Never write to it."""
    from synthgap.testing import tiny_open_clip

    return tiny_open_clip(tmp_path_factory.mktemp("models") / "tiny-open-clip")


# A submission must not fail by the luck of the draw; developers' own runs keep searching at random.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")
