"""Generation: the set that comes out, and what happens when something goes wrong on the way."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from synthgap.core.errors import FingerprintError, InputError, Interrupted, RunError
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.generator import Drawn, Generator, load_generator
from synthgap.stages.generation import drawing, plan_set
from synthgap.stages.generation.drawing import even_batches, generate
from synthgap.store.sets import ImageSet
from synthgap.store.sources import open_images

RESOURCES = Resources(device="cpu", batch_size=4, workers=2)


@pytest.fixture
def spec(tiny_generator: Path) -> GenerateSpec:
    return GenerateSpec(
        classes="cat,dog",
        per_class=5,
        eval_per_class=2,
        shard_size=3,
        generator=str(tiny_generator),
        num_inference_steps=2,
        seed=3,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too, with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path) -> list[dict[str, Any]]:
    image_set = ImageSet(folder)
    return [
        row
        for shard in image_set.planned_shards()
        for row in pq.read_table(folder / f"data/{shard}.parquet").to_pylist()
    ]


def pixels(row: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


def test_every_column_of_every_row(spec: GenerateSpec, tmp_path: Path) -> None:
    spec = spec.model_copy(update={"image_format": "png", "recipe": "hypernym", "guidance_scale": 2.5})
    told: list[tuple[int, int]] = []
    out = generate(spec, tmp_path / "set", RESOURCES, lambda done, total, _: told.append((done, total)))
    table, plan = rows(out), list(plan_set(spec).images())
    assert [row["image_key"] for row in table] == [image.image_key for image in plan]
    assert told[0] == (0, 14) and told[-1] == (14, 14) and sorted(told) == told
    generator = load_generator(spec)
    for row, image in zip(table, plan, strict=True):
        assert (row["class_key"], row["prompt"], row["seed"]) == (image.class_key, image.prompt, image.seed)
        expected = generator.draw([image.prompt], [image.seed])[0]
        assert np.abs(pixels(row).astype(int) - expected).max() <= 1  # PNG keeps them; another batch rounds
    row = table[-1]
    assert row["label"] == 1 and row["recipe"] == "hypernym" and row["negative_prompt"] == ""
    assert (row["guidance_scale"], row["num_inference_steps"]) == (2.5, 2)
    assert (row["scheduler"], row["generator"]) == ("DPMSolverMultistepScheduler", "tiny-generator")
    assert (row["generator_revision"], row["width"], row["height"]) == (generator.fingerprint, 32, 32)
    assert (row["is_synthetic"], row["status"], row["error"]) == (True, "ok", "")
    assert row["safety_score"] is None and row["safety_flag"] is None


def test_jpeg_of_the_asked_quality_is_the_default(spec: GenerateSpec, tmp_path: Path) -> None:
    sizes = []
    for quality in (95, 50):
        out = generate(spec.model_copy(update={"jpeg_quality": quality}), tmp_path / str(quality), RESOURCES)
        first = rows(out)[0]["image"]
        assert first["path"].endswith(".jpg") and Image.open(io.BytesIO(first["bytes"])).format == "JPEG"
        sizes.append(len(first["bytes"]))
    assert sizes[0] > 1.5 * sizes[1]


def test_the_set_is_a_source_of_images(spec: GenerateSpec, tmp_path: Path) -> None:
    source = open_images(generate(spec, tmp_path / "set", RESOURCES))
    assert source.splits == ("train", "eval") and len(source) == 14
    assert list(source.classes.values()) == ["cat", "dog"]
    row = next(iter(source.rows("eval")))
    assert row.prompt is not None and len(row.read()) > 100


def test_two_folders_hold_the_same_bytes(spec: GenerateSpec, tmp_path: Path) -> None:
    first, second = (contents(generate(spec, tmp_path / name, RESOURCES)) for name in ("a", "b"))
    assert first == second
    for folder in (tmp_path, Path(spec.generator).parent):  # so that two machines can agree
        assert str(folder).encode() not in first["manifest.json"]


def test_a_finished_set_is_not_drawn_again(spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = generate(spec, tmp_path / "set", RESOURCES)
    before = contents(out)
    monkeypatch.setattr(drawing, "load_generator", lambda *_: pytest.fail("nothing is left to draw"))
    told: list[tuple[int, int]] = []
    generate(spec, out, RESOURCES, lambda done, total, _: told.append((done, total)))
    assert contents(out) == before and told == [(14, 14)]


def test_only_missing_shards_are_drawn(spec: GenerateSpec, tmp_path: Path) -> None:
    out = generate(spec, tmp_path / "set", RESOURCES)
    before = contents(out)
    lost = min(out.glob("done/train/*-00001.json"))
    lost.unlink()
    drawn: list[int] = []
    generate(spec, out, RESOURCES, lambda done, *_: drawn.append(done))
    assert contents(out) == before
    assert drawn == [12, 14]  # that shard has two images


def test_another_spec_is_refused_with_what_differs(spec: GenerateSpec, tmp_path: Path) -> None:
    out = generate(spec, tmp_path / "set", RESOURCES)
    with pytest.raises(FingerprintError, match=r"guidance_scale is 7\.5 there and 2\.0 here"):
        generate(spec.model_copy(update={"guidance_scale": 2.0}), out, RESOURCES)
    generate(spec.model_copy(update={"failure_budget": 0.9}), out, RESOURCES)  # changes no image


def test_another_generator_is_refused(spec: GenerateSpec, tmp_path: Path, tiny_generator: Path) -> None:
    folder = shutil.copytree(tiny_generator, tmp_path / "tiny-generator")
    out = generate(spec, tmp_path / "set", RESOURCES)
    (folder / "synthgap.json").write_text('{"num_inference_steps": 3}')
    with pytest.raises(FingerprintError, match=r"parents\.generator|generator"):
        generate(spec.model_copy(update={"generator": str(folder)}), out, RESOURCES)


def test_nothing_is_written_for_input_that_cannot_work(spec: GenerateSpec, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        generate(spec.model_copy(update={"generator": "./missing"}), tmp_path / "set", RESOURCES)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(("rows", "size", "expected"), [(80, 64, [40, 40]), (5, 4, [2, 3]), (4, 4, [4]), (0, 4, [])])
def test_batches_are_even(rows: int, size: int, expected: list[int]) -> None:
    batches = list(even_batches(range(rows), size))  # type: ignore[arg-type]
    assert [len(batch) for batch in batches] == expected
    assert [item for batch in batches for item in batch] == list(range(rows))


# What goes wrong on the way


Sample = Callable[..., Drawn]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[int], bool]], None]]:
    """Makes the generator fail whenever a seed that the test chooses is in the batch."""
    original: Sample = Generator.sample

    def install(is_bad: Callable[[int], bool]) -> None:
        def sample(self: Generator, prompts: list[str], seeds: list[int], **options: Any) -> Drawn:
            if any(map(is_bad, seeds)):
                raise RuntimeError("CUDA error:\n out of luck")
            return original(self, prompts, seeds, **options)

        monkeypatch.setattr(Generator, "sample", sample)

    yield install


def test_a_failed_image_is_a_row_and_is_tried_again(
    spec: GenerateSpec, tmp_path: Path, failing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec.model_copy(update={"image_format": "png"})
    whole = generate(spec, tmp_path / "whole", RESOURCES)
    bad = rows(whole)[7]
    failing(lambda seed: seed == bad["seed"])
    out = generate(spec, tmp_path / "set", RESOURCES)
    table = rows(out)
    (failed,) = [row for row in table if row["status"] != "ok"]
    assert failed["image_key"] == bad["image_key"] and failed["image"] is None
    assert failed["error"] == "RuntimeError: CUDA error: out of luck"
    assert (failed["width"], failed["prompt"]) == (32, bad["prompt"])
    for row, sound in zip(table, rows(whole), strict=True):  # its neighbours were drawn one by one
        assert row is failed or np.abs(pixels(row).astype(int) - pixels(sound)).max() <= 1
    monkeypatch.undo()
    assert contents(generate(spec, out, RESOURCES)) == contents(whole)


def test_nan_is_a_failed_row_and_its_neighbours_are_not_drawn_again(
    spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Sample = Generator.sample
    calls = []

    def sample(self: Generator, prompts: list[str], seeds: list[int], **options: Any) -> Drawn:
        calls.append(len(seeds))
        drawn = original(self, prompts, seeds, **options)
        drawn.finite[0] = len(calls) != 2
        return drawn

    monkeypatch.setattr(Generator, "sample", sample)
    table = rows(generate(spec, tmp_path / "set", RESOURCES))
    assert [(row["image_key"], row["error"]) for row in table if row["status"] == "failed"] == [
        (table[3]["image_key"], "the generator gave NaN")
    ]
    assert sum(calls) == 14


def test_too_many_failures_stop_the_run(spec: GenerateSpec, tmp_path: Path, failing: Callable[..., None]) -> None:
    spec = spec.model_copy(update={"per_class": 12})
    failing(lambda seed: seed % 2 == 0)
    with pytest.raises(
        RunError, match=r"of 20 images failed, .* failure_budget 0\.05 .* the first: RuntimeError: CUDA"
    ):
        generate(spec, tmp_path / "set", RESOURCES)
    generous = spec.model_copy(update={"failure_budget": 0.95})
    assert ImageSet(generate(generous, tmp_path / "set", RESOURCES)).is_finished()


def test_a_small_set_without_one_image_is_a_failure(
    spec: GenerateSpec, tmp_path: Path, failing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec.model_copy(update={"per_class": 1, "eval_per_class": 0})
    failing(lambda seed: True)
    with pytest.raises(RunError, match="2 of 2 images failed"):
        generate(spec, tmp_path / "set", RESOURCES)
    monkeypatch.undo()
    generate(spec, tmp_path / "set", RESOURCES)
    assert [row["status"] for row in rows(tmp_path / "set")] == ["ok"] * 2


def test_a_full_disk_keeps_what_was_finished(
    spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(generate(spec, tmp_path / "whole", RESOURCES))
    original, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        calls.extend([name] if name.endswith(".parquet.tmp") and "/data/" in name else [])
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(RunError, match=r"No space left on device.*run the same command again"):
        generate(spec, tmp_path / "set", RESOURCES)
    monkeypatch.undo()
    assert len(list((tmp_path / "set" / "done").rglob("*.json"))) >= 2
    assert contents(generate(spec, tmp_path / "set", RESOURCES)) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_finished_shards_and_tells_how_to_go_on(
    spec: GenerateSpec, tmp_path: Path, number: signal.Signals
) -> None:
    whole = contents(generate(spec, tmp_path / "whole", RESOURCES))
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]

    def stop(done: int, *_: Any) -> None:
        if done == 8:
            signal.raise_signal(number)

    with pytest.raises(
        Interrupted, match=rf"stopped by {number.name}: 8 of 14 images are in .*; to continue"
    ) as caught:
        generate(spec, tmp_path / "set", RESOURCES, stop)
    assert caught.value.exit_code == 130
    assert len(ImageSet(tmp_path / "set").done_shards()) == 3
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert contents(generate(spec, tmp_path / "set", RESOURCES)) == whole


def test_a_signal_drops_the_batch_between_two_steps(
    spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def step(self: Any, *args: Any, **options: Any) -> Any:
        steps.append(1)
        if len(steps) == 6:  # the second step of the second batch
            signal.raise_signal(signal.SIGINT)
        return forward(self, *args, **options)

    from diffusers import UNet2DConditionModel

    forward = UNet2DConditionModel.forward
    monkeypatch.setattr(UNet2DConditionModel, "forward", step)
    with pytest.raises(Interrupted):
        generate(spec.model_copy(update={"num_inference_steps": 4}), tmp_path / "set", RESOURCES)
    assert len(steps) == 6


RUN = """
import sys
from pathlib import Path
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.stages.generation import generate
generate(GenerateSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Resources.model_validate_json(sys.argv[3]))
"""


def test_kill_minus_nine_and_the_same_command_give_the_same_bytes(spec: GenerateSpec, tmp_path: Path) -> None:
    spec = spec.model_copy(update={"recipe": "augmented", "per_class": 12, "num_inference_steps": 8})
    out = tmp_path / "set"
    command = [sys.executable, "-c", RUN, spec.model_dump_json(), str(out), RESOURCES.model_dump_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 120
        while len(list(out.glob("done/train/*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
    finished = len(list(out.glob("done/*/*.json")))
    assert 2 <= finished < 10, "the kill came too late or never"
    generate(spec, out, RESOURCES)
    assert contents(out) == contents(generate(spec, tmp_path / "uninterrupted", RESOURCES))
