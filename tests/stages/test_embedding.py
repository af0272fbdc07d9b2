"""Embedding images and prompts: what comes out, what is skipped, and going on after a stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthgap.core.errors import FingerprintError, InputError, Interrupted, RunError
from synthgap.core.specs import EncoderSpec, GenerateSpec, Resources
from synthgap.execution.ahead import prefetch
from synthgap.models.encoder import Encoder, load_encoder
from synthgap.stages.embedding import embed_images, embed_prompts
from synthgap.stages.embedding import folder as embedding_folder
from synthgap.stages.embedding import images as embedding
from synthgap.stages.generation import generate, plan_set
from synthgap.store.embeddings import load_embeddings
from synthgap.store.images import decode_image
from synthgap.store.manifest import Manifest
from synthgap.store.sets import ImageSet
from synthgap.store.sources import open_images
from synthgap.testing.encoders import tiny_dinov2

RESOURCES = Resources(device="cpu", batch_size=4, workers=2)


@pytest.fixture
def spec(tiny_clip: Path) -> EncoderSpec:
    return EncoderSpec(encoder=str(tiny_clip))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Ten images of two classes in several sizes and formats, in a folder per class."""
    return write_photographs(tmp_path / "photographs", 5)


def write_photographs(folder: Path, per_class: int) -> Path:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = generator.integers(0, 256, (8 + number % 7, 12, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((30 + 7 * (number % 5), 40))
            image.save(folder / name / f"{number:04d}.{'jpg' if number % 2 else 'png'}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too, with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_image_has_its_own_embedding(spec: EncoderSpec, photographs: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    out = embed_images(photographs, spec, tmp_path / "out", RESOURCES, lambda *step: told.append(step))
    found, encoder = load_embeddings(out), load_encoder(spec)
    source = list(open_images(photographs).rows())
    assert found.image_keys == [row.image_key for row in source]
    assert found.class_keys == ["cat"] * 5 + ["dog"] * 5
    alone = np.concatenate([encoder.encode_images([decode_image(row.read())]) for row in source])
    assert np.abs(found.embeddings - alone).max() < 1e-3  # float16 on disk
    assert (found.modality, found.encoder) == ("image", "tiny-clip")
    assert found.encoder_fingerprint == encoder.fingerprint
    assert told[0] == (0, 10, "images embedded") and told[-1] == (10, 10, "images embedded")


def test_open_images_and_paths_are_taken_alike(spec: EncoderSpec, photographs: Path, tmp_path: Path) -> None:
    first = embed_images(photographs, spec, tmp_path / "a", RESOURCES)
    second = embed_images(open_images(photographs), spec, tmp_path / "b", RESOURCES)
    assert contents(first) == contents(second)


def test_images_that_cannot_be_used_are_skipped_with_their_reason(
    spec: EncoderSpec, photographs: Path, tmp_path: Path
) -> None:
    (photographs / "cat" / "text.jpg").write_text("this is no image")
    whole = (photographs / "dog" / "0001.jpg").read_bytes()
    (photographs / "dog" / "short.jpg").write_bytes(whole[: len(whole) // 2])
    (photographs / "dog" / "empty.jpg").write_bytes(b"")
    for name, mode in (("grey", "L"), ("deep", "I;16"), ("one-pixel", "RGB"), ("print", "CMYK")):
        image = Image.new(mode, (1, 1) if name == "one-pixel" else (9, 9))
        image.save(photographs / "cat" / f"{name}.{'jpg' if mode == 'CMYK' else 'png'}")
    told: list[int] = []
    out = embed_images(photographs, spec, tmp_path / "out", RESOURCES, lambda done, *_: told.append(done))
    found = load_embeddings(out)
    assert len(found) == 14 and told[-1] == 17
    reasons = {row.image_key.split("/")[-1]: row.reason for row in found.skipped}
    assert len(reasons) == 3 and {row.class_key for row in found.skipped} == {"cat", "dog"}
    assert any("not an image" in reason for reason in reasons.values())
    assert any("truncated" in reason for reason in reasons.values())
    assert np.isfinite(found.embeddings).all()


def test_a_class_of_broken_images_alone_is_no_crash(spec: EncoderSpec, photographs: Path, tmp_path: Path) -> None:
    (photographs / "frog").mkdir()
    (photographs / "frog" / "only.jpg").write_text("no image")
    found = load_embeddings(embed_images(photographs, spec, tmp_path / "out", RESOURCES))
    assert len(found) == 10 and [row.class_key for row in found.skipped] == ["frog"]


def test_an_embedding_that_is_nan_is_skipped(
    spec: EncoderSpec, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Encoder.encode_prepared

    def spoil(self: Encoder, pixels: torch.Tensor) -> np.ndarray:
        vectors = original(self, pixels)
        vectors[0] = np.nan
        return vectors

    monkeypatch.setattr(Encoder, "encode_prepared", spoil)
    found = load_embeddings(embed_images(photographs, spec, tmp_path / "out", RESOURCES))
    assert len(found) == 7 and len(found.skipped) == 3  # three batches
    assert all(row.reason for row in found.skipped)


def test_a_missing_source_and_a_wrong_encoder_write_nothing(
    spec: EncoderSpec, photographs: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        embed_images(tmp_path / "missing", spec, tmp_path / "out", RESOURCES)
    with pytest.raises(InputError):
        embed_images(photographs, EncoderSpec(encoder="./missing"), tmp_path / "out", RESOURCES)
    assert not (tmp_path / "out").exists()


def test_another_encoder_and_other_images_are_refused(
    spec: EncoderSpec, tiny_open_clip: Path, photographs: Path, tmp_path: Path
) -> None:
    out = embed_images(photographs, spec, tmp_path / "out", RESOURCES)
    with pytest.raises(FingerprintError, match="tiny-open-clip"):
        embed_images(photographs, EncoderSpec(encoder=str(tiny_open_clip)), out, RESOURCES)
    (photographs / "cat" / "0000.png").unlink()
    with pytest.raises(FingerprintError):
        embed_images(photographs, spec, out, RESOURCES)


def test_what_is_finished_is_not_embedded_again(
    spec: EncoderSpec, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = embed_images(photographs, spec, tmp_path / "out", RESOURCES)
    before = contents(out)
    min(out.glob("done/*/*.json")).unlink()
    told: list[int] = []
    embed_images(photographs, spec, out, RESOURCES, lambda done, *_: told.append(done))
    assert contents(out) == before and told[0] == 5
    monkeypatch.setattr(embedding_folder, "load_encoder", lambda *_: pytest.fail("nothing is left to embed"))
    embed_images(photographs, spec, out, RESOURCES, lambda done, *_: told.append(done))
    assert contents(out) == before and told[-1] == 10


def test_an_encoder_that_fails_is_one_line(
    spec: EncoderSpec, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(Encoder, "encode_prepared", fail)
    with pytest.raises(RunError, match=r"CUDA out of memory.; try a smaller batch_size") as caught:
        embed_images(photographs, spec, tmp_path / "out", RESOURCES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_finished_shards(
    spec: EncoderSpec, photographs: Path, tmp_path: Path, number: signal.Signals
) -> None:
    def stop(done: int, *_: Any) -> None:
        if done > 5:
            signal.raise_signal(number)

    with pytest.raises(Interrupted, match=rf"stopped by {number.name}: 5 of 10 rows are in .*; to continue"):
        embed_images(photographs, spec, tmp_path / "out", RESOURCES, stop)
    assert contents(embed_images(photographs, spec, tmp_path / "out", RESOURCES)) == contents(
        embed_images(photographs, spec, tmp_path / "whole", RESOURCES)
    )


RUN = """
import sys
from pathlib import Path
from synthgap.core.specs import EncoderSpec, Resources
from synthgap.stages.embedding import folder as embedding_folder
from synthgap.stages.embedding import images as embedding
embedding.SHARD_ROWS = 20
embedding.embed_images(
    Path(sys.argv[2]), EncoderSpec.model_validate_json(sys.argv[1]), Path(sys.argv[3]),
    Resources.model_validate_json(sys.argv[4]),
)
"""


def test_kill_minus_nine_and_the_same_command_give_the_same_bytes(
    spec: EncoderSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "SHARD_ROWS", 20)
    source, out = write_photographs(tmp_path / "photographs", 300), tmp_path / "out"
    resources = RESOURCES.model_copy(update={"batch_size": 2})
    command = [sys.executable, "-c", RUN, spec.model_dump_json(), str(source), str(out), resources.model_dump_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 120
        while len(list(out.glob("done/*/*.json"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
    finished = len(list(out.glob("done/*/*.json")))
    assert 3 <= finished < 30, "the kill came too late or never"
    embed_images(source, spec, out, resources)
    assert contents(out) == contents(embed_images(source, spec, tmp_path / "uninterrupted", resources))


def test_of_a_set_that_changed_only_what_is_new_is_embedded(
    spec: EncoderSpec, tiny_generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = GenerateSpec(classes="cat,dog", per_class=5, generator=str(tiny_generator), num_inference_steps=1)
    folder = generate(drawn, tmp_path / "set", RESOURCES)
    out = embed_images(folder, spec, tmp_path / "out", RESOURCES)
    texts = embed_prompts(folder, spec, tmp_path / "texts", RESOURCES)
    before = load_embeddings(out)
    generate(drawn.model_copy(update={"classes": "cat,dog,frog"}), folder, RESOURCES)
    told: list[tuple[int, int]] = []
    embed_images(folder, spec, out, RESOURCES, lambda done, total, _: told.append((done, total)))
    assert told[0] == (10, 15) and told[-1] == (15, 15)
    after = load_embeddings(out)
    assert list(after.classes.values()) == ["cat", "dog", "frog"] and after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(after.embeddings[:10], before.embeddings)
    assert len(load_embeddings(embed_prompts(folder, spec, texts, RESOURCES))) == 3
    generate(drawn.model_copy(update={"classes": "cat,dog,frog", "per_class": 6}), folder, RESOURCES)
    told.clear()
    embed_images(folder, spec, out, RESOURCES, lambda done, total, _: told.append((done, total)))
    assert told[0] == (0, 18)  # a shard of embeddings is a class, and all three have grown
    assert contents(out) == contents(embed_images(folder, spec, tmp_path / "fresh", RESOURCES))


def test_batches_are_filled_across_shards_and_have_one_shape(
    spec: EncoderSpec, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[int] = []
    original = Encoder.encode_prepared

    def watch(self: Encoder, pixels: torch.Tensor) -> np.ndarray:
        shapes.append(len(pixels))
        return original(self, pixels)

    monkeypatch.setattr(Encoder, "encode_prepared", watch)
    embed_images(photographs, spec, tmp_path / "out", RESOURCES)
    assert shapes == [4, 4, 4]  # of ten images in two shards


@pytest.mark.parametrize("kind", ["tiny_clip", "tiny_open_clip"])
def test_bytes_do_not_depend_on_what_is_embedded_beside_them(
    kind: str, photographs: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = EncoderSpec(encoder=str(request.getfixturevalue(kind)))
    whole = load_embeddings(embed_images(photographs, spec, tmp_path / "whole", RESOURCES))
    for path in (photographs / "cat").iterdir():
        path.unlink()
    (photographs / "cat" / "0000.jpg").write_text("no image")
    alone = load_embeddings(embed_images(photographs, spec, tmp_path / "alone", RESOURCES))
    assert np.array_equal(alone.embeddings, whole.embeddings[5:])


def test_the_default_batch_follows_size_and_device_only() -> None:
    assert embedding.suitable_batch((32, 32), "cpu") == embedding.suitable_batch((512, 512), "cuda") == 64
    assert embedding.suitable_batch((224, 224), "cpu") == 16
    assert embedding.suitable_batch((4000, 4000), "cpu") == 1


def test_two_processes_embed_the_same(spec: EncoderSpec, photographs: Path, tmp_path: Path) -> None:
    here = embed_images(photographs, spec, tmp_path / "here", RESOURCES)
    two = embed_images(photographs, spec, tmp_path / "two", RESOURCES.model_copy(update={"device": "cpu,cpu"}))
    assert contents(two) == contents(here)


# Prompts


def planned_set(folder: Path, recipe: str) -> Path:
    """A set of which only the plan is written: prompts need no images."""
    plan = plan_set(GenerateSpec(classes="cat,dog", recipe=recipe, per_class=6, eval_per_class=2))
    manifest = Manifest(kind="image-set", fingerprint=recipe, spec={}, classes=plan.class_names)
    ImageSet(folder, manifest).write_plan(plan)
    return folder


def test_one_prompt_per_class_gives_one_row_per_class_and_split(spec: EncoderSpec, tmp_path: Path) -> None:
    found = load_embeddings(embed_prompts(planned_set(tmp_path / "set", "name"), spec, tmp_path / "out", RESOURCES))
    assert (found.modality, found.class_keys) == ("prompt", ["n02121620", "n02084071"] * 2)
    assert found.image_keys[0] == "n02121620-train-0000000" and found.splits == ["train"] * 2 + ["eval"] * 2
    assert list(found.classes.values()) == ["cat", "dog"]
    expected = load_encoder(spec).encode_texts(["cat, true cat"])
    assert np.abs(found.embeddings[0] - expected).max() < 1e-3


def test_a_prompt_per_image_gives_one_row_per_prompt(
    spec: EncoderSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "SHARD_ROWS", 5)
    folder, told = planned_set(tmp_path / "set", "augmented"), []
    out = embed_prompts(folder, spec, tmp_path / "out", RESOURCES, lambda *step: told.append(step))
    found, plan = load_embeddings(out), list(ImageSet(folder).read_plan())
    texts = {image.image_key: image.prompt for image in plan}
    assert len(found) == len({(image.split, image.class_key, image.prompt) for image in plan})
    encoder = load_encoder(spec)
    expected = np.concatenate([encoder.encode_texts([texts[key]]) for key in found.image_keys])
    assert np.abs(found.embeddings - expected).max() < 1e-3
    assert told[-1] == (len(found), len(found), "prompts embedded")


def test_prompts_of_your_own(spec: EncoderSpec, tmp_path: Path) -> None:
    own = [("crane-bird", "crane", "a crane bird"), ("crane-bird", "crane", "a heron"), ("x", "X", "a crane bird")]
    found = load_embeddings(embed_prompts([*own, own[0]], spec, tmp_path / "out", RESOURCES))
    assert found.class_keys == ["crane-bird", "crane-bird", "x"] and found.splits == ["train"] * 3
    assert np.array_equal(found.embeddings[0], found.embeddings[2])
    with pytest.raises(InputError, match="no prompts to embed"):
        embed_prompts([], spec, tmp_path / "none", RESOURCES)


def test_prompts_in_templates(spec: EncoderSpec, tmp_path: Path) -> None:
    own, templates = [("x", "X", "a crane"), ("y", "Y", "a {dog}")], ("a photo of {}.", "a drawing of {prompt}.")
    many = spec.model_copy(update={"templates": templates})
    found = load_embeddings(embed_prompts(own, many, tmp_path / "many", RESOURCES))
    expected = load_encoder(spec).encode_texts(["a crane", "a {dog}"], templates)
    assert np.abs(found.embeddings - expected).max() < 1e-3
    plain = load_embeddings(embed_prompts(own, spec, tmp_path / "plain", RESOURCES))
    assert np.abs(found.embeddings - plain.embeddings).max() > 1e-2
    assert found.encoder_fingerprint == plain.encoder_fingerprint  # still one space
    with pytest.raises(FingerprintError, match="templates"):
        embed_prompts(own, spec, tmp_path / "many", RESOURCES)


def test_templates_are_nothing_to_images(spec: EncoderSpec, photographs: Path, tmp_path: Path) -> None:
    out = embed_images(photographs, spec, tmp_path / "out", RESOURCES)
    before = contents(out)
    embed_images(photographs, spec.model_copy(update={"templates": ("a {}",)}), out, RESOURCES)
    assert contents(out) == before


def test_an_encoder_of_images_only_is_refused_before_anything_is_written(photographs: Path, tmp_path: Path) -> None:
    spec = EncoderSpec(encoder=str(tiny_dinov2(tmp_path / "dino")))
    with pytest.raises(InputError, match="dino is an encoder of images only and was asked for prompts"):
        embed_prompts([("x", "X", "a crane")], spec, tmp_path / "texts", RESOURCES)
    assert not (tmp_path / "texts").exists()
    found = load_embeddings(embed_images(photographs, spec, tmp_path / "images", RESOURCES))
    assert (len(found), found.dim) == (10, 32)


# The bounded queue


def test_prefetch_keeps_the_order_and_its_bound() -> None:
    asked: list[int] = []

    def items() -> Any:
        for number in range(20):
            asked.append(number)
            yield number

    with ThreadPoolExecutor(3) as pool:
        results = prefetch(pool, lambda number: number**2, items(), ahead=4)
        assert next(results) == (0, 0) and len(asked) == 4
        assert list(results) == [(number, number**2) for number in range(1, 20)]


def test_prefetch_works_ahead_of_the_consumer() -> None:
    started = threading.Event()

    def function(number: int) -> int:
        if number == 1:
            started.set()
        return number

    with ThreadPoolExecutor(1) as pool:
        results = prefetch(pool, function, range(3), ahead=2)
        next(results)
        assert started.wait(10)  # the next item is worked on while this one is used


def test_prefetch_hands_on_an_error_and_stops() -> None:
    done: list[int] = []

    def function(number: int) -> int:
        done.append(number)
        if number == 2:
            raise ZeroDivisionError
        return number

    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        list(prefetch(pool, function, range(1000), ahead=10))
    assert len(done) < 50
