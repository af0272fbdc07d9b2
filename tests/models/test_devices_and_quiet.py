"""Devices, precisions, and silence while loading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from synthgap.core.errors import InputError
from synthgap.models.devices import pick_device, pick_dtype
from synthgap.models.quiet import quiet


def test_the_best_device_is_taken() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device(None).type == best
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta:x"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}' cannot be used here") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)


def test_precisions() -> None:
    assert pick_dtype("bfloat16", torch.device("cpu")) is torch.bfloat16
    assert pick_dtype("float16", torch.device("cuda")) is torch.float16
    with pytest.raises(InputError, match="float16 needs a GPU"):
        pick_dtype("float16", torch.device("cpu"))


@pytest.fixture
def talkative() -> Iterator[list[Any]]:
    """Both libraries set to say all they can, and set back afterwards."""
    libraries: list[Any] = [diffusers.utils.logging, transformers.utils.logging]
    before = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_info()
    yield libraries
    for library, verbosity in zip(libraries, before, strict=True):
        library.set_verbosity(verbosity)


def test_quiet_silences_and_puts_everything_back(
    tiny_generator: Path, talkative: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZeroDivisionError), quiet():
        diffusers.StableDiffusionPipeline.from_pretrained(str(tiny_generator), torch_dtype=torch.float32)
        raise ZeroDivisionError
    assert capfd.readouterr().err == ""
    assert all(library.get_verbosity() == library.INFO for library in talkative)
    assert all(library.is_progress_bar_enabled() for library in talkative)
    diffusers.StableDiffusionPipeline.from_pretrained(str(tiny_generator))
    assert "Loading" in capfd.readouterr().err  # so that the silence above means something
