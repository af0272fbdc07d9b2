"""Where models are found, and how quickly and clearly it is said that one is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec, GenerateSpec
from synthgap.models import lab_path, locate_encoder, locate_generator

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_asking_where_a_model_is_imports_no_model_library() -> None:
    code = "import sys, synthgap.models; print([m for m in ('torch', 'diffusers', 'open_clip') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_unknown_kind_of_the_lab() -> None:
    with pytest.raises(InputError, match=r"the lab has no 'generater'.*did you mean 'generator'"):
        lab_path("generater")


def test_a_lab_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgap.models.folders.__file__", str(tmp_path / "models" / "folders.py"))
    with pytest.raises(InputError, match=r"the lab's encoder is not in .*world.encoder: install synthgap"):
        locate_encoder(EncoderSpec(encoder="lab"))
    (tmp_path / "lab" / "world" / "encoder").mkdir(parents=True)
    assert lab_path("encoder") == tmp_path / "lab" / "world" / "encoder"


def test_a_local_folder_is_known_by_its_content(tmp_path: Path, tiny_generator: Path, tiny_clip: Path) -> None:
    generator = locate_generator(GenerateSpec(generator=str(tiny_generator)))
    assert (generator.name, generator.folder, generator.revision) == (
        "tiny-generator",
        tiny_generator,
        generator.fingerprint,
    )
    moved = tmp_path / "elsewhere"
    moved.symlink_to(tiny_clip)
    here, there = (locate_encoder(EncoderSpec(encoder=str(path))) for path in (tiny_clip, moved))
    assert here.fingerprint == there.fingerprint != generator.fingerprint
    prefixed = locate_encoder(EncoderSpec(encoder=f"local-dir:{tiny_clip}"))
    assert prefixed.fingerprint == here.fingerprint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nothing-here", "there is no encoder folder ./nothing-here"),
        ("local-dir:nothing/here", "there is no encoder folder nothing/here"),
        ("deep/er/folder", "there is no encoder folder deep/er/folder"),
        ("ViT-B-32", "'ViT-B-32' is neither a folder here nor a Hub id.*hf-hub:OWNER/NAME"),
        (
            "owner/nothing",
            "cannot get the encoder 'owner/nothing' .* not in the cache .*name its folder as the encoder",
        ),
        ("hf-hub:owner/nothing", "cannot get the encoder 'owner/nothing'"),
    ],
)
def test_encoders_that_are_not_there(name: str, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=message) as caught:
        locate_encoder(EncoderSpec(encoder=name))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nothing-here", "there is no generator folder ./nothing-here"),
        ("sdxl", "'sdxl' is neither a folder here nor a Hub id OWNER/NAME$"),
        ("owner/nothing", "cannot get the generator 'owner/nothing' .revision v9. .*name its folder as the generator"),
    ],
)
def test_generators_that_are_not_there(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        locate_generator(GenerateSpec(generator=name, revision="v9"))
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no model_index.json"):
        locate_generator(GenerateSpec(generator=str(tmp_path)))
    with pytest.raises(InputError, match=r"has neither open_clip_config.json"):
        locate_encoder(EncoderSpec(encoder=str(tmp_path)))


def _cached(cache: Path, source: Path) -> None:
    """Lay a model's folder into the Hub's cache as commit ``COMMIT`` of ``owner/model``."""
    repository = cache / "models--owner--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / COMMIT).symlink_to(source)


def test_a_cached_encoder_is_found_offline(
    tmp_path: Path, tiny_open_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    _cached(tmp_path, tiny_open_clip)
    found = locate_encoder(EncoderSpec(encoder="hf-hub:owner/model"))
    assert (found.name, found.revision) == ("owner/model", COMMIT)
    assert (found.folder / "open_clip_config.json").is_file()
    by_commit = locate_encoder(EncoderSpec(encoder="owner/model", revision=COMMIT))
    assert by_commit.fingerprint == found.fingerprint
    with pytest.raises(InputError, match="revision v2"):
        locate_encoder(EncoderSpec(encoder="owner/model", revision="v2"))


def test_a_cached_generator_is_found_offline(
    tmp_path: Path, tiny_generator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    _cached(tmp_path, tiny_generator)
    found = locate_generator(GenerateSpec(generator="owner/model"))
    assert (found.name, found.revision) == ("owner/model", COMMIT)


ASK = """
import time
from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec
from synthgap.models import folders
from huggingface_hub import HfApi, snapshot_download  # imported before the clock starts
folders.HUB_SECONDS = 0.3
started = time.monotonic()
try:
    folders.locate_encoder(EncoderSpec(encoder="owner/nothing"))
except InputError as error:
    print(f"{time.monotonic() - started:.2f}", error)
"""


@pytest.mark.parametrize("answers", [False, True], ids=["refused", "silent"])
def test_a_hub_that_cannot_be_reached_is_told_quickly(tmp_path: Path, answers: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if answers:
            server.listen()  # takes the connection and never says a word
        settings = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        settings["HF_ENDPOINT"] = f"http://127.0.0.1:{server.getsockname()[1]}"
        told = subprocess.run(
            [sys.executable, "-c", ASK],
            check=True,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )
    seconds, _, message = told.stdout.partition(" ")
    assert message.startswith("cannot get the encoder 'owner/nothing' (revision main) from the Hub"), told.stderr
    assert float(seconds) < 8  # 3 of them are spent by the client itself before it asks
