import json
import shutil
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from store_samples import CLASSES, embedding_manifest, files_of, finish, plan, png, rows_of, set_manifest

from synthgap.core.errors import FingerprintError, InputError, RunError
from synthgap.store import plan as plans
from synthgap.store import shards
from synthgap.store.atomic import temp_path
from synthgap.store.features import COLUMNS, hf_features, image_schema, label_names
from synthgap.store.images import BrokenImage, decode_image
from synthgap.store.manifest import claim_folder, kind_of, read_manifest
from synthgap.store.sets import ImageSet, PlannedImage
from synthgap.store.sources import open_images

SHARD = "train/n02012849-00000"


def test_the_folder_is_the_contract(finished_set: ImageSet) -> None:
    files = set(files_of(finished_set.folder))
    names = {
        f"{split}/{key}-{block:05d}" for key in CLASSES for split, block in [("train", 0), ("train", 1), ("eval", 0)]
    }
    assert files == {"manifest.json", "README.md", "plan.parquet", "prompts.parquet", "shards.parquet"} | {
        path for shard in names for path in (f"data/{shard}.parquet", f"done/{shard}.json")
    }
    assert set(finished_set.planned_shards()) == names
    assert finished_set.is_finished() and finished_set.pending_shards() == []
    assert finished_set.splits() == ("train", "eval")


def test_columns_are_the_contract(finished_set: ImageSet) -> None:
    expected = """image label class_key image_key prompt recipe negative_prompt seed guidance_scale num_inference_steps
        scheduler generator generator_revision width height safety_score safety_flag is_synthetic status error"""
    assert tuple(expected.split()) == COLUMNS
    file = pq.ParquetFile(finished_set.folder / f"data/{SHARD}.parquet")
    assert tuple(file.schema_arrow.names) == COLUMNS
    rows = file.read().to_pylist()
    assert [row["label"] for row in rows] == [0, 0, 0]
    assert rows[1] | {"image": None} == dict.fromkeys(COLUMNS) | {
        "label": 0, "class_key": "n02012849", "image_key": "n02012849-train-0000001", "prompt": "a photo of crane",
        "recipe": "name", "seed": 2**63 - 2, "guidance_scale": 7.5, "width": 10, "height": 8, "is_synthetic": True,
        "status": "ok", "error": "",
    }  # fmt: skip
    assert rows[1]["image"] == {"bytes": png((2**63 - 2) % 1000), "path": "n02012849-train-0000001.png"}


def test_row_groups_pages_and_compression(tmp_path: Path) -> None:
    image_set = ImageSet(tmp_path, set_manifest())
    image_set.write_plan(plan(train=250, held_out=0, block=250))
    done = image_set.write_shard(SHARD, rows_of(image_set, SHARD))
    assert (done.rows, done.ok, done.failed) == (250, 250, 0)
    metadata = pq.ParquetFile(tmp_path / f"data/{SHARD}.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100, 100, 50]
    columns = {metadata.row_group(0).column(i).path_in_schema: metadata.row_group(0).column(i) for i in range(21)}
    assert columns["image.bytes"].compression == "UNCOMPRESSED"
    assert columns["prompt"].compression == "ZSTD" and columns["prompt"].has_dictionary_page
    assert columns["prompt"].has_offset_index and columns["prompt"].has_column_index
    assert columns["prompt"].is_stats_set and not columns["image.bytes"].is_stats_set


def test_datasets_opens_it_offline(finished_set: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    temp_path(finished_set.folder / "data" / f"{SHARD}.parquet").write_bytes(b"left by a kill")
    loaded = datasets.load_dataset(str(finished_set.folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 15, "eval": 6}
    train = loaded["train"]
    assert train.features["label"].names == ["crane (n02012849)", "crane (n03126707)", CLASSES["odd~1"]]
    assert train.features == datasets.Features.from_arrow_schema(image_schema(CLASSES))
    for row in train:
        assert row["label"] == list(CLASSES).index(row["class_key"])
        assert np.array_equal(np.asarray(row["image"]), decode_image(png(row["seed"] % 1000)))
        assert row["prompt"] == f"a photo of {CLASSES[row['class_key']]}"


def test_datasets_sees_only_the_splits_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    image_set = ImageSet(tmp_path / "set", set_manifest())
    image_set.write_plan(plan(held_out=0))
    finish(image_set)
    assert list(datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))) == ["train"]


def test_timm_opens_it(finished_set: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = pytest.importorskip("timm.data")
    found = data.create_dataset(f"hfds/{finished_set.folder}", root=str(tmp_path / "cache"), split="train")
    assert len(found) == 15
    image, label = found[3]
    assert (image.size, label) == ((10, 8), 0)


def test_the_card_is_yaml_that_names_the_splits(finished_set: ImageSet) -> None:
    text = (finished_set.folder / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train/*.parquet"},
        {"split": "eval", "path": "data/eval/*.parquet"},
    ]
    assert "| train | 15 |" in text and "guidance_scale: 7.5" in text


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ({"a": "x", "b": "y"}, ["x", "y"]),
        ({"a": "x", "b": "x"}, ["x (a)", "x (b)"]),
        ({"a": "x", "b": "x", "c": "x (a)"}, ["x (a)", "x (b)", "x (a) (c)"]),
        ({}, []),
    ],
)
def test_label_names_are_unique(classes: dict[str, str], names: list[str]) -> None:
    assert label_names(classes) == names
    assert hf_features(image_schema(classes))["label"]["names"] == names


def test_the_plan_survives(finished_set: ImageSet) -> None:
    assert list(finished_set.read_plan()) == plan()
    assert list(finished_set.read_plan(SHARD)) == [image for image in plan() if image.shard == SHARD]
    assert list(finished_set.read_plan("train/none-00000")) == []
    prompts = pq.read_table(finished_set.folder / "prompts.parquet").to_pylist()
    assert prompts[0] == {
        "class_key": "n02012849", "split": "train", "index": 0, "prompt": "a photo of crane", "recipe": "name",
    }  # fmt: skip
    assert len(prompts) == len(plan())


def test_the_same_plan_changes_nothing(finished_set: ImageSet) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_set.folder.rglob("*")}
    ImageSet(finished_set.folder, set_manifest()).write_plan(plan())
    assert {path: path.stat().st_mtime_ns for path in finished_set.folder.rglob("*")} == before


def test_a_set_grows_and_keeps_its_shards(finished_set: ImageSet) -> None:
    before = files_of(finished_set.folder)
    classes = CLASSES | {"n01639765": "frog"}
    grown = ImageSet(finished_set.folder, set_manifest(classes=classes))
    grown.write_plan(plan(classes=classes))
    assert grown.pending_shards() == ["train/n01639765-00000", "train/n01639765-00001", "eval/n01639765-00000"]
    with pytest.raises(InputError, match="3 of 12 shards missing"):
        open_images(grown.folder)
    source = open_images(finish(grown).folder)
    assert list(source.classes) == list(classes) and source.counts["train"]["n01639765"] == 5
    after = files_of(finished_set.folder)
    assert all(after[name] == data for name, data in before.items() if name.startswith(("data/", "done/")))


def test_a_killed_growth_is_made_good(finished_set: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of shards is written last: until then the set is the old one, and the same call ends the growth."""
    grown = set_manifest(classes=CLASSES | {"n01639765": "frog"})
    monkeypatch.setattr(plans, "write_plan", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ImageSet(finished_set.folder, grown).write_plan(plan(classes=dict(grown.classes)))
    assert ImageSet(finished_set.folder).is_finished()
    monkeypatch.undo()
    again = ImageSet(finished_set.folder, grown)
    again.write_plan(plan(classes=dict(grown.classes)))
    assert len(again.pending_shards()) == 3


def test_a_set_does_not_shrink(finished_set: ImageSet) -> None:
    before = files_of(finished_set.folder)
    fewer = {key: name for key, name in CLASSES.items() if key != "n03126707"}
    with pytest.raises(FingerprintError, match="holds class 'crane', which is not asked for"):
        ImageSet(finished_set.folder, set_manifest(classes=fewer)).write_plan(plan(classes=fewer))
    with pytest.raises(FingerprintError, match="holds another order"):
        turned = dict(reversed(CLASSES.items()))
        ImageSet(finished_set.folder, set_manifest(classes=turned)).write_plan(plan(classes=turned))
    with pytest.raises(FingerprintError, match="holds 2 images in train/n02012849-00001, 1 are asked for"):
        finished_set.write_plan(plan(train=4))
    assert files_of(finished_set.folder) == before


def reworded(prompt: str) -> list[PlannedImage]:
    return [replace(one, prompt=prompt) if one.class_key == "n02012849" else one for one in plan()]


def test_another_prompt_makes_the_shards_of_its_class_outdated_and_the_old_ones_are_kept(
    finished_set: ImageSet,
) -> None:
    before = files_of(finished_set.folder)
    finished_set.write_plan(reworded("a grey bird"))
    mine = [SHARD, "train/n02012849-00001", "eval/n02012849-00000"]
    assert finished_set.pending_shards() == mine
    assert finished_set.kept_rows(SHARD) == {} and not finished_set.restore(SHARD)
    finish(finished_set)
    assert pq.read_table(finished_set.folder / f"data/{SHARD}.parquet")["prompt"].to_pylist() == ["a grey bird"] * 3
    kept = [data for name, data in files_of(finished_set.folder / "replaced").items() if name.endswith(".parquet")]
    assert sorted(kept) == sorted(before[f"data/{shard}.parquet"] for shard in mine)
    finished_set.write_plan(plan())
    assert [finished_set.restore(shard) for shard in mine] == [True] * 3
    after = files_of(finished_set.folder)
    assert finished_set.is_finished() and all(after[name] == data for name, data in before.items())
    finished_set.write_plan(reworded("a grey bird"))  # and forward again, without drawing
    assert all(finished_set.restore(shard) for shard in mine) and finished_set.is_finished()


def test_rows_that_are_sound_and_as_planned_are_kept(tmp_path: Path) -> None:
    image_set = ImageSet(tmp_path, set_manifest())
    image_set.write_plan(plan(held_out=0))
    rows = list(rows_of(image_set, SHARD))
    image_set.write_shard(SHARD, [rows[0], rows[1] | {"image": None, "error": "no"}, rows[2] | {"prompt": "other"}])
    kept = image_set.kept_rows(SHARD)
    assert list(kept) == ["n02012849-train-0000000"]
    assert kept["n02012849-train-0000000"]["image"] == rows[0]["image"]
    image_set.write_shard(SHARD, [kept["n02012849-train-0000000"], *rows[1:]])
    assert len(image_set.kept_rows(SHARD)) == 3
    assert not (tmp_path / "replaced").exists()  # the same plan: nothing was lost


def test_the_same_rows_give_the_same_bytes(finished_set: ImageSet, tmp_path: Path) -> None:
    again = ImageSet(tmp_path / "again", set_manifest())
    again.write_plan(plan())
    for shard in reversed(again.pending_shards()):
        again.write_shard(shard, rows_of(again, shard))
    assert files_of(again.folder) == files_of(finished_set.folder)
    finished_set.write_shard(SHARD, rows_of(finished_set, SHARD))
    assert files_of(again.folder) == files_of(finished_set.folder)


def run_generation(folder: Path, *, die_at: int = -1, expect: int = 0) -> Path:
    """Write the sample set in a process of its own, which kills itself with SIGKILL before row ``die_at``."""
    code = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from store_samples import plan, rows_of, set_manifest
        from synthgap.store.sets import ImageSet
        image_set = ImageSet(Path({str(folder)!r}), set_manifest())
        image_set.write_plan(plan())
        count = 0
        def rows(shard):
            global count
            for row in rows_of(image_set, shard):
                if count == {die_at}:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
                yield row
        for shard in image_set.pending_shards():
            image_set.write_shard(shard, rows(shard))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60, check=False)
    assert done.returncode == expect, done.stderr.decode()
    return folder


def test_kill_minus_9_and_the_same_command_again(finished_set: ImageSet, tmp_path: Path) -> None:
    """The result is byte for byte what this process wrote without any interruption."""
    folder = run_generation(tmp_path / "killed", die_at=7, expect=-9)
    killed = ImageSet(folder)
    assert [len(killed.done_shards()), len(killed.pending_shards())] == [2, 7]
    assert any(name.endswith(".tmp") for name in files_of(folder))
    with pytest.raises(InputError, match="7 of 9 shards missing; unfinished: run the same command again"):
        open_images(folder)
    run_generation(folder)
    assert files_of(folder) == files_of(finished_set.folder)


def test_a_shard_counts_only_with_its_marker_and_its_bytes(finished_set: ImageSet) -> None:
    data = finished_set.folder / f"data/{SHARD}.parquet"
    marker = finished_set.folder / f"done/{SHARD}.json"
    whole, said = data.read_bytes(), marker.read_bytes()
    assert finished_set.is_done(SHARD) and SHARD in finished_set.done_shards()

    def not_done() -> bool:
        return (
            not finished_set.is_done(SHARD)
            and SHARD not in finished_set.done_shards()
            and finished_set.pending_shards() == [SHARD]
        )

    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for wrong in (bytes(flipped), whole[:-1], b"", whole + b"x"):
        data.write_bytes(wrong)
        assert not_done()
    data.unlink()
    assert not_done()
    assert not finished_set.is_finished()
    data.write_bytes(whole)
    for wrong in (b"", b"{}", b"[]", said.replace(b"n02012849", b"n03126707"), said[:-5], b"null"):
        marker.write_bytes(wrong)
        assert not_done()
    marker.unlink()
    assert not_done()
    finished_set.write_shard(SHARD, rows_of(finished_set, SHARD))
    assert (data.read_bytes(), marker.read_bytes()) == (whole, said)
    assert finished_set.is_done(SHARD)


def test_a_failed_image_is_a_row_with_its_reason(tmp_path: Path) -> None:
    image_set = ImageSet(tmp_path, set_manifest())
    image_set.write_plan(plan(held_out=0))

    def rows(shard: str) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(rows_of(image_set, shard)):
            yield row | ({"image": None, "error": "out of memory"} if number == 1 else {})

    for shard in image_set.pending_shards():
        image_set.write_shard(shard, rows(shard))
    done = image_set.done_shards()[SHARD]
    assert (done.rows, done.ok, done.failed) == (3, 2, 1)
    assert json.loads((tmp_path / f"done/{SHARD}.json").read_text())["failed"] == 1
    source = open_images(tmp_path)
    assert source.notes == ("6 images failed to be drawn",)
    row = next(source.rows("train", 1, 2))
    with pytest.raises(BrokenImage, match="out of memory"):
        row.read()


def test_a_set_is_a_source(finished_set: ImageSet) -> None:
    source = open_images(finished_set.folder)
    assert (source.kind, source.splits, source.classes) == ("set", ("train", "eval"), CLASSES)
    assert source.counts == {"train": dict.fromkeys(CLASSES, 5), "eval": dict.fromkeys(CLASSES, 2)}
    planned = [(p.image_key, p.class_key, p.split, p.prompt) for p in plan()]
    assert [(r.image_key, r.class_key, r.split, r.prompt) for r in source.rows()] == planned
    assert [row.read() for row in source.rows("eval")] == [png(p.seed % 1000) for p in plan() if p.split == "eval"]
    assert [part.name for part in source.shards(2)][:4] == [
        "train/n02012849-00000", "train/n02012849-00001", "train/n02012849-00002", "train/n03126707-00000",
    ]  # fmt: skip
    part = source.shards(2)[1]
    assert [r.image_key for r in source.rows(part.split, part.start, part.stop)] == [p.image_key for p in plan()[2:4]]


def test_the_fingerprint_of_a_set_follows_its_bytes_and_not_its_place(finished_set: ImageSet, tmp_path: Path) -> None:
    copy = shutil.copytree(finished_set.folder, tmp_path / "copy")
    first = open_images(finished_set.folder).fingerprint
    assert open_images(copy).fingerprint == first
    other = ImageSet(copy)
    other.write_shard(SHARD, [row | {"image": png(999)} for row in rows_of(other, SHARD)])
    assert open_images(copy).fingerprint != first


def test_another_run_is_refused_with_what_differs(finished_set: ImageSet) -> None:
    before = files_of(finished_set.folder)
    other = set_manifest(fingerprint="f2", spec={"generator": "lab", "guidance_scale": 2.5, "steps": 9})
    with pytest.raises(FingerprintError) as caught:
        ImageSet(finished_set.folder, other)
    text = str(caught.value)
    assert "guidance_scale is 7.5 there and 2.5 here" in text
    assert "steps is absent there and 9 here" in text and "seed is 7 there and absent here" in text
    assert "generator" not in text and "\n" not in text
    assert files_of(finished_set.folder) == before


def test_a_changed_parent_or_class_is_named_too(tmp_path: Path) -> None:
    claim_folder(tmp_path, set_manifest(parents={"generator": "aaa"}))
    with pytest.raises(FingerprintError, match=r"parents\.generator is 'aaa' there and 'bbb' here"):
        claim_folder(tmp_path, set_manifest(fingerprint="f2", parents={"generator": "bbb"}))
    folder = tmp_path / "embeddings"
    claim_folder(folder, embedding_manifest())
    with pytest.raises(FingerprintError, match=r"classes\.x is absent there and 'new' here"):
        claim_folder(folder, embedding_manifest(fingerprint="f2", classes={"a": "A", "b": "B", "c": "C", "x": "new"}))
    with pytest.raises(FingerprintError, match="the contents it was made from have changed"):
        claim_folder(tmp_path, set_manifest(fingerprint="f2", parents={"generator": "aaa"}))
    claim_folder(tmp_path, set_manifest(parents={"generator": "aaa"}, version="later", info={"note": 1}))


def test_a_folder_of_the_user_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files that are not synthgap's; give a new or empty folder"):
        ImageSet(tmp_path, set_manifest())
    with pytest.raises(InputError, match="is a file; expected a new or empty folder"):
        ImageSet(tmp_path / "thesis.txt", set_manifest())
    with pytest.raises(InputError, match="no image set of synthgap"):
        ImageSet(tmp_path)
    assert files_of(tmp_path) == {"thesis.txt": b"mine"}


def test_a_place_that_is_no_set_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder; expected a folder of 'synthgap generate'"):
        ImageSet(tmp_path / "nowhere")
    claim_folder(tmp_path / "embeddings", embedding_manifest())
    with pytest.raises(InputError, match="embeddings: holds embeddings, not an image set; expected"):
        ImageSet(tmp_path / "embeddings")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="link: is a link to nothing; expected a new or empty folder"):
        claim_folder(tmp_path / "link", embedding_manifest())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{}", "kind: Field required"), ("[1]", "the file"), ("nope", "not JSON"), ('{"kind": 3}', "kind")],
)
def test_a_manifest_that_is_not_ours(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert kind_of(tmp_path) is None
    with pytest.raises(InputError, match=expected):
        read_manifest(tmp_path)
    with pytest.raises(InputError):
        ImageSet(tmp_path, set_manifest())
    assert (tmp_path / "manifest.json").read_text() == text


def test_a_begun_folder_without_a_plan_says_so(tmp_path: Path) -> None:
    image_set = ImageSet(tmp_path, set_manifest())
    with pytest.raises(InputError, match=r"has no shards\.parquet; unfinished: run the same command again"):
        image_set.planned_shards()
    with pytest.raises(InputError, match="unfinished"):
        open_images(tmp_path)


def test_wrong_rows_are_programming_errors(finished_set: ImageSet) -> None:
    row = next(rows_of(finished_set, SHARD))
    before = files_of(finished_set.folder)
    with pytest.raises(ValueError, match=r"column 'promt' is not one of an image set; did you mean 'prompt'\?"):
        finished_set.write_shard(SHARD, [row | {"promt": "x"}])
    with pytest.raises(KeyError, match="n99"):
        finished_set.write_shard(SHARD, [row | {"class_key": "n99"}])
    with pytest.raises(pa.ArrowInvalid):
        finished_set.write_shard(SHARD, [row | {"width": "wide"}])
    with pytest.raises(ValueError, match="expected '<split>/<class_key>-<block>'"):
        finished_set.write_shard("../../x", [row])
    assert files_of(finished_set.folder) == before


def test_rows_are_taken_one_group_at_a_time(tmp_path: Path) -> None:
    class Row(dict[str, Any]):
        """A row that can be watched."""

        __hash__ = object.__hash__  # type: ignore[assignment]

    alive: weakref.WeakSet[Row] = weakref.WeakSet()
    most = 0

    def rows() -> Iterator[Row]:
        nonlocal most
        for number in range(500):
            row = Row(x=number)
            alive.add(row)
            most = max(most, len(alive))
            yield row

    done = shards.write_shard(tmp_path, SHARD, rows(), pa.schema([("x", pa.int64())]))
    assert done.rows == 500
    assert most <= 2 * shards.ROW_GROUP_ROWS + 1
    assert pq.read_table(tmp_path / f"data/{SHARD}.parquet")["x"].to_pylist() == list(range(500))


def test_a_full_disk_keeps_the_finished_shards(finished_set: ImageSet, full_disk: Callable[[], None]) -> None:
    shutil.rmtree(finished_set.folder / "data/eval")
    before = files_of(finished_set.folder)
    shard = finished_set.pending_shards()[0]
    full_disk()
    with pytest.raises(RunError, match=r"No space left on device; what was finished is kept: .* same command again"):
        finished_set.write_shard(shard, rows_of(finished_set, shard))
    assert files_of(finished_set.folder) == before
    assert len(finished_set.done_shards()) == 6


def test_a_disk_that_fills_up_for_real(tmp_path: Path) -> None:
    """A file system of 256 KiB, in a mount namespace of its own: a real ENOSPC in the middle of a shard."""
    code = f"""
        import os, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from store_samples import files_of, plan, set_manifest
        from synthgap.core.errors import RunError
        from synthgap.store.sets import ImageSet
        folder = Path({str(tmp_path / "small")!r})
        image_set = ImageSet(folder / "set", set_manifest())
        image_set.write_plan(plan(train=50, block=5))
        try:
            for shard in image_set.pending_shards():
                before = files_of(folder)
                image_set.write_shard(shard, [
                    dict(image=os.urandom(4000), image_key=p.image_key, class_key=p.class_key)
                    for p in image_set.read_plan(shard)])
        except RunError as error:
            assert files_of(folder) == before, "something half was left"
            print(len(image_set.done_shards()), error)
    """
    (tmp_path / "small").mkdir()
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    mount = f"mount -t tmpfs -o size=256k tmpfs {tmp_path / 'small'} || exit 77"
    command = ["unshare", "-rm", "sh", "-c", f"{mount}; exec {sys.executable} {script}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if done.returncode in (1, 77) and not done.stdout and "Traceback" not in done.stderr:
        pytest.skip(f"no small file system here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    finished, message = done.stdout.split(" ", 1)
    assert int(finished) > 2
    assert "cannot be written: No space left on device" in message and message.count("\n") == 1
