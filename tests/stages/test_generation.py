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

from synthgap.core.errors import FingerprintError, GeneratorMemoryError, InputError, Interrupted, RunError
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.generator import Drawn, Generator, PipelineGenerator, load_generator
from synthgap.stages.generation import estimate, generate, plan_set, worker
from synthgap.store.sets import ImageSet, copy_set
from synthgap.store.sources import open_images
from synthgap.store.status import status

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
    table, plan = rows(out), list(plan_set(spec))
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
    monkeypatch.setattr(worker, "load_generator", lambda *_: pytest.fail("nothing is left to draw"))
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


# What an image depends on


def images(folder: Path) -> dict[str, bytes]:
    return {row["image_key"]: row["image"]["bytes"] for row in rows(folder)}


def test_an_image_is_the_same_bytes_whatever_is_drawn_beside_it(spec: GenerateSpec, tmp_path: Path) -> None:
    """With the same batch size: other classes, another order, other shards, fewer images."""
    whole = images(generate(spec, tmp_path / "whole", RESOURCES))
    others = {
        "order": {"classes": "dog,frog,cat"},
        "shards": {"shard_size": 100},
        "fewer": {"per_class": 2, "eval_per_class": 0},
        "alone": {"classes": "dog", "per_class": 1},
    }
    for name, changes in others.items():
        found = images(generate(spec.model_copy(update=changes), tmp_path / name, RESOURCES))
        shared = found.keys() & whole.keys()
        assert len(shared) >= 1 and all(found[key] == whole[key] for key in shared), name


def test_another_batch_size_changes_an_image_by_rounding_only(spec: GenerateSpec, tmp_path: Path) -> None:
    spec = spec.model_copy(update={"image_format": "png"})
    one, other = (
        generate(spec, tmp_path / str(size), RESOURCES.model_copy(update={"batch_size": size})) for size in (3, 5)
    )
    for row, same in zip(rows(one), rows(other), strict=True):
        assert np.abs(pixels(row).astype(int) - pixels(same)).max() <= 1


def test_every_batch_has_the_same_shape(spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, sizes = PipelineGenerator.sample, []

    def sample(self: Generator, prompts: list[str], seeds: list[int], **options: Any) -> Drawn:
        sizes.append(len(seeds))
        return original(self, prompts, seeds, **options)

    monkeypatch.setattr(PipelineGenerator, "sample", sample)
    generate(spec, tmp_path / "set", RESOURCES)
    assert sizes == [4, 4, 4, 4]  # 14 images: batches are filled across shards, and the last one is filled up


def test_a_grown_set_holds_the_images_of_a_larger_one(
    spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = generate(spec, tmp_path / "set", RESOURCES)
    before = contents(out)
    drawn: list[tuple[int, int]] = []
    larger = spec.model_copy(update={"per_class": 8, "classes": "frog,cat,dog"})
    generate(larger, out, RESOURCES, lambda done, total, _: drawn.append((done, total)))
    assert drawn[0] == (14, 30) and drawn[-1] == (30, 30)
    after = contents(out)
    assert all(after[name] == data for name, data in before.items() if name.startswith(("data/", "done/")))
    assert images(out) == images(generate(larger, tmp_path / "larger", RESOURCES))
    assert list(open_images(out).classes.values()) == ["cat", "dog", "frog"]  # labels of what was there stay
    with pytest.raises(FingerprintError, match="8 train images of 'cat' are there and 7 are asked for"):
        generate(larger.model_copy(update={"per_class": 7}), out, RESOURCES)
    with pytest.raises(FingerprintError, match="are there and 0 are asked for"):
        generate(larger.model_copy(update={"classes": "cat,dog"}), out, RESOURCES)


OVERRIDES = """version: 1
overrides:
  - {class: cat, old: "cat, true cat", new: "%s"}
"""


def test_a_clarified_prompt_redraws_its_class_alone_and_can_be_undone(spec: GenerateSpec, tmp_path: Path) -> None:
    path = tmp_path / "clear.yaml"
    path.write_text(OVERRIDES.replace("class: cat", "class: cat.n.01") % "a cat")
    spec = spec.model_copy(update={"recipe": "disambiguated", "overrides": path})
    out = generate(spec, tmp_path / "set", RESOURCES)
    first = contents(out)
    path.write_text(path.read_text().replace("a cat", "a tabby cat"))
    drawn: list[int] = []
    generate(spec, out, RESOURCES, lambda done, *_: drawn.append(done))
    assert drawn[0] == 7 and drawn[-1] == 14  # the dogs stay
    assert {row["prompt"] for row in rows(out) if row["class_key"].startswith("n02121620")} == {"a tabby cat"}
    assert [row["seed"] for row in rows(out)] == [
        row["seed"] for row in rows(generate(spec, tmp_path / "fresh", RESOURCES))
    ]
    path.write_text(path.read_text().replace("a tabby cat", "a cat"))
    told: list[int] = []
    generate(spec, out, RESOURCES, lambda done, *_: told.append(done))
    again = contents(out)
    assert told == [14]  # nothing was drawn: the old shards came back
    assert all(again[name] == data for name, data in first.items())


ADJUSTMENTS = """version: 1
adjustments:
  - {class: cat, %s}
"""


def test_an_adjusted_class_is_drawn_alone_with_its_noise_and_can_be_undone(spec: GenerateSpec, tmp_path: Path) -> None:
    out = generate(spec, tmp_path / "set", RESOURCES)
    plain, first = contents(out), rows(out)
    path = tmp_path / "adjustments.yaml"
    path.write_text(ADJUSTMENTS % "recipe: hypernym, guidance_scale: 2.5, num_inference_steps: 3")
    adjusted = spec.model_copy(update={"adjustments": path})
    assert estimate(adjusted, out, RESOURCES, trial=False).images_there == 7
    drawn: list[int] = []
    generate(adjusted, out, RESOURCES, lambda done, *_: drawn.append(done))
    assert drawn[0] == 7 and drawn[-1] == 14  # the dogs stay
    after, dog = contents(out), next(row["class_key"] for row in first if row["label"] == 1)
    assert all(after[name] == data for name, data in plain.items() if f"/{dog}-" in name)
    assert [(row["image_key"], row["seed"]) for row in rows(out)] == [(row["image_key"], row["seed"]) for row in first]
    told = {
        tuple(row[name] for name in ("label", "recipe", "guidance_scale", "num_inference_steps")) for row in rows(out)
    }
    assert told == {(0, "hypernym", 2.5, 3), (1, "name", 7.5, 2)}
    fresh = {"recipe": "hypernym", "guidance_scale": 2.5, "num_inference_steps": 3, "classes": "cat"}
    alone = images(generate(spec.model_copy(update=fresh), tmp_path / "alone", RESOURCES))
    assert alone.items() <= images(out).items()
    assert images(generate(adjusted, tmp_path / "fresh", RESOURCES)) == images(out)
    told_again: list[int] = []
    generate(spec, out, RESOURCES, lambda done, *_: told_again.append(done))
    assert told_again == [14] and all(contents(out)[name] == data for name, data in plain.items())


def test_no_image_of_another_guidance_is_kept(spec: GenerateSpec, tmp_path: Path) -> None:
    path = tmp_path / "adjustments.yaml"
    spec = spec.model_copy(update={"adjustments": path})
    for guidance in (2.0, 3.0, 7.5):
        path.write_text(ADJUSTMENTS % f"guidance_scale: {guidance}")
        out = generate(spec, tmp_path / "set", RESOURCES)
        same = generate(
            spec.model_copy(update={"guidance_scale": guidance, "adjustments": None}),
            tmp_path / f"{guidance}",
            RESOURCES,
        )
        cats = {key: data for key, data in images(same).items() if key.startswith("n02121620")}
        assert cats.items() <= images(out).items()


def test_a_copied_set_changes_alone(spec: GenerateSpec, tmp_path: Path) -> None:
    out = generate(spec, tmp_path / "set", RESOURCES)
    before, copy = contents(out), tmp_path / "copy"
    copy_set(out, copy)
    assert contents(copy) == {name: data for name, data in before.items() if name != "README.md"}
    assert (copy / "data/train").is_dir() and all(path.stat().st_nlink == 2 for path in copy.rglob("data/*/*.parquet"))
    path = tmp_path / "adjustments.yaml"
    path.write_text(ADJUSTMENTS % "prompt: a lynx")
    generate(spec.model_copy(update={"adjustments": path}), copy, RESOURCES)
    changed = contents(copy)
    copy_set(out, copy)  # completes, and takes nothing back
    assert contents(copy) == changed and contents(out) == before
    assert {row["prompt"] for row in rows(copy)} == {"a lynx", "dog, domestic dog, Canis familiaris"}


def test_two_processes_draw_the_same_set(spec: GenerateSpec, tmp_path: Path) -> None:
    spec = spec.model_copy(update={"per_class": 300, "eval_per_class": 0, "shard_size": 250, "num_inference_steps": 1})
    here = generate(spec, tmp_path / "here", RESOURCES.model_copy(update={"batch_size": 50}))
    two = RESOURCES.model_copy(update={"batch_size": 50, "device": "cpu,cpu"})
    assert contents(generate(spec, tmp_path / "two", two)) == contents(here)


def test_ranks_draw_the_same_set(spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = generate(spec, tmp_path / "here", RESOURCES)
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        out = generate(spec, tmp_path / "ranks", RESOURCES)
        assert ImageSet(out).is_finished() == (rank == 1)
    assert contents(out) == contents(here)


def test_without_memory_the_batch_is_halved(
    spec: GenerateSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, sizes = PipelineGenerator.sample, []

    def sample(self: Generator, prompts: list[str], seeds: list[int], **options: Any) -> Drawn:
        sizes.append(len(seeds))
        if len(seeds) > 2:
            raise GeneratorMemoryError("CUDA out of memory")
        return original(self, prompts, seeds, **options)

    monkeypatch.setattr(PipelineGenerator, "sample", sample)
    out = generate(spec, tmp_path / "set", RESOURCES.model_copy(update={"batch_size": 8}))
    assert sizes[:3] == [8, 4, 2] and set(sizes[2:]) == {2}
    assert [row["status"] for row in rows(out)] == ["ok"] * 14
    assert "no memory for 8 images at a time; going on with 4" in caplog.text
    monkeypatch.setattr(
        PipelineGenerator, "sample", lambda *_, **__: (_ for _ in ()).throw(GeneratorMemoryError("none left"))
    )
    with pytest.raises(RunError, match="none left; one image at a time is the least"):
        generate(spec, tmp_path / "other", RESOURCES)


def test_an_estimate_counts_and_writes_nothing(spec: GenerateSpec, tmp_path: Path) -> None:
    found = estimate(spec, tmp_path / "set", RESOURCES)
    assert (found.images, found.images_there, found.classes, found.prompts) == (14, 0, 2, 2)
    assert found.images_by_split == {"train": 10, "eval": 4} and found.settings["guidance_scale"] == 7.5
    assert found.seconds is not None and found.seconds == pytest.approx(14 * (found.seconds_per_image or 0))
    assert found.bytes_per_image is not None and found.bytes_per_image > 100
    assert not (tmp_path / "set").exists()
    generate(spec, tmp_path / "set", RESOURCES)
    more = estimate(spec.model_copy(update={"per_class": 6}), tmp_path / "set", RESOURCES, trial=False)
    assert (more.images, more.images_there, more.seconds) == (16, 14, None)


def test_images_are_counted_without_their_generator(spec: GenerateSpec, tmp_path: Path) -> None:
    far = spec.model_copy(update={"generator": str(tmp_path / "far"), "guidance_scale": 2.5})
    with pytest.raises(InputError, match=r"far.* or count without it: --no-trial"):
        estimate(far, tmp_path / "set", RESOURCES)
    found = estimate(far, tmp_path / "set", RESOURCES, trial=False)
    assert (found.images, found.settings["guidance_scale"], found.settings["height"]) == (14, 2.5, None)
    assert any("far" in note for note in found.notes)


def test_status_reads_what_is_there(spec: GenerateSpec, tmp_path: Path) -> None:
    out = generate(spec, tmp_path / "run" / "sets" / "one", RESOURCES)
    (found,) = status(tmp_path / "run")
    assert found.finished and (found.rows, found.rows_done, found.failed, found.flagged) == (14, 14, 0, None)
    assert found.bytes == sum(path.stat().st_size for path in out.glob("data/**/*.parquet"))
    lost = min(out.glob("done/train/*-00001.json"))
    lost.unlink()
    (found,) = status(out)
    assert not found.finished and (found.rows_done, found.shards - found.shards_done) == (12, 1)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        status(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no set and no embeddings"):
        status(tmp_path / "empty")


# What goes wrong on the way


Sample = Callable[..., Drawn]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[int], bool]], None]]:
    """Makes the generator fail whenever a seed that the test chooses is in the batch."""
    original: Sample = PipelineGenerator.sample

    def install(is_bad: Callable[[int], bool]) -> None:
        def sample(self: Generator, prompts: list[str], seeds: list[int], **options: Any) -> Drawn:
            if any(map(is_bad, seeds)):
                raise RuntimeError("CUDA error:\n out of luck")
            return original(self, prompts, seeds, **options)

        monkeypatch.setattr(PipelineGenerator, "sample", sample)

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
    original: Sample = PipelineGenerator.sample
    calls = []

    def sample(self: Generator, prompts: list[str], seeds: list[int], **options: Any) -> Drawn:
        calls.append(len(seeds))
        drawn = original(self, prompts, seeds, **options)
        drawn.finite[0] = len(calls) != 2
        return drawn

    monkeypatch.setattr(PipelineGenerator, "sample", sample)
    table = rows(generate(spec, tmp_path / "set", RESOURCES))
    assert [(row["image_key"], row["error"]) for row in table if row["status"] == "failed"] == [
        (table[4]["image_key"], "the generator gave NaN")
    ]
    assert calls == [4] * 4  # the second batch holds image 4 first


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
