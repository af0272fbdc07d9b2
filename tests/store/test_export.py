"""Exports: what is in them, in which order, and what becomes of a killed one."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import CLASSES, files_of, finish, pixels, plan, png, rows_of, set_manifest

from synthgap.core.errors import FingerprintError, InputError
from synthgap.core.records import Finding
from synthgap.store.export import hub, shuffle
from synthgap.store.export.exporting import export
from synthgap.store.export.folder import read_record
from synthgap.store.export.spec import ExportSpec, Kind
from synthgap.store.images import encode_jpeg
from synthgap.store.marks import Mark, read_mark
from synthgap.store.sets import ImageSet
from synthgap.store.tables import write_findings

KINDS: tuple[Kind, ...] = ("hub", "webdataset", "imagefolder")


def table_of(out: Path, split: str = "train") -> list[dict[str, Any]]:
    files = sorted((out / "data").glob(f"{split}-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def keys_of(out: Path, split: str = "train") -> list[str]:
    return [row["image_key"] for row in table_of(out, split)]


@pytest.fixture
def flawed_set(tmp_path: Path) -> ImageSet:
    """Of each class the first train image failed, and the crane birds' second and third are flagged."""
    image_set = ImageSet(tmp_path / "flawed", set_manifest())
    image_set.write_plan(plan())

    def rows(shard: str) -> Iterator[dict[str, Any]]:
        for row in rows_of(image_set, shard):
            number = int(row["image_key"].rpartition("-")[2])
            flag = row["class_key"] == "n02012849" and number in (1, 2)
            flags = {"safety_flag": flag, "safety_score": 0.5}
            if shard.startswith("train") and number == 0:  # of one class the file is there, and still no good
                flags |= {"status": "failed", "error": "black"}
                flags |= {} if row["class_key"] == "odd~1" else {"image": None}
            yield row | flags

    for shard in image_set.pending_shards():
        image_set.write_shard(shard, rows(shard))
    return image_set


@pytest.mark.parametrize("size", [1, 3_000, 500_000_000])
def test_every_image_once_with_all_it_has(finished_set: ImageSet, tmp_path: Path, size: int) -> None:
    record = export(finished_set.folder, tmp_path / "out", ExportSpec(shard_bytes=size))
    assert record.splits == {"train": 15, "eval": 6}
    for split in record.splits:
        rows = {row["image_key"]: row for row in table_of(tmp_path / "out", split)}
        planned = [image for image in plan() if image.split == split]
        assert sorted(rows) == sorted(image.image_key for image in planned)
        for image in planned:
            row = rows[image.image_key]
            assert row["image"] == {"bytes": png(image.seed % 1000), "path": f"{image.image_key}.png"}
            assert (row["prompt"], row["seed"], row["class_key"]) == (image.prompt, image.seed, image.class_key)
            assert row["label"] == list(CLASSES).index(image.class_key)
    files = [file for file in record.files if file.split == "train"]
    assert sum(file.rows for file in files) == 15
    assert max(file.rows for file in files) - min(file.rows for file in files) <= 1
    assert len(files) == {1: 15, 3_000: 4, 500_000_000: 1}[size]
    assert [file.path for file in files][-1] == f"data/train-{len(files) - 1:05d}-of-{len(files):05d}.parquet"


def test_the_shuffle_depends_on_seed_and_keys_alone(
    finished_set: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(finished_set.folder, tmp_path / "one", ExportSpec(seed=1))
    order = keys_of(tmp_path / "one")
    assert order != sorted(order)
    monkeypatch.setattr(shuffle, "RUN_BYTES", 1)  # a run for every row group
    export(finished_set.folder, tmp_path / "many", ExportSpec(seed=1, shard_bytes=2_000))
    assert keys_of(tmp_path / "many") == order
    other_blocks = ImageSet(tmp_path / "blocks", set_manifest())
    other_blocks.write_plan(plan(block=2))
    export(finish(other_blocks).folder, tmp_path / "blocked", ExportSpec(seed=1))
    assert keys_of(tmp_path / "blocked") == order
    export(finished_set.folder, tmp_path / "two", ExportSpec(seed=2))
    assert keys_of(tmp_path / "two") != order


def test_the_shuffle_is_uniform() -> None:
    """Where an image stands is uniform in the seed: each third of the ranks gets a third of the seeds."""
    names = [f"class-train-{number:07d}" for number in range(30)]
    ranks = [
        sorted(names, key=lambda name, seed=seed: shuffle.order_key(seed, "train", name)).index(names[0])
        for seed in range(3000)
    ]
    counts = Counter(rank // 10 for rank in ranks)
    assert all(abs(counts[third] - 1000) < 100 for third in range(3)), counts  # 3.9 standard deviations


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=200), st.integers(1, 20))
def test_parts_cover_all_keys_and_none_is_empty(keys: list[int], files: int) -> None:
    class Memory:
        index = None

        class rows:
            @staticmethod
            def stat() -> Any:
                return type("stat", (), {"st_size": files})

        def keys(self) -> np.ndarray:
            return np.array([(key, 0) for key in sorted(keys)], dtype=shuffle._INDEX)

    parts = shuffle.cut([Memory()], 1)  # type: ignore[list-item]
    assert sum(part.rows for part in parts) == len(keys)
    assert all(part.rows == sum(part.low <= key < part.high for key in keys) > 0 for part in parts)
    assert all(before.high <= after.low for before, after in pairwise(parts))


def test_keys_at_the_edges_of_parts_are_in_one_part(tmp_path: Path) -> None:
    keys = [0, (1 << 48) - 1, 1 << 48, 2**64 - 1]
    run = shuffle.Run(tmp_path / "a.rows", tmp_path / "a.index")
    shuffle._write_run(run, [(key, {"image_key": str(key), "image": b"x"}) for key in reversed(keys)])
    parts = shuffle.cut([run], 1)
    found = [[int(row["image_key"]) for row in shuffle.read_part([run], part)] for part in parts]
    assert [key for part in found for key in part] == keys
    assert [len(part) for part in found] == [part.rows for part in parts]


def test_failed_rows_stay_out_and_flagged_ones_where_asked(flawed_set: ImageSet, tmp_path: Path) -> None:
    for kind in KINDS:
        kept = export(flawed_set.folder, tmp_path / kind, ExportSpec(kind=kind))
        assert (kept.splits, kept.failed, kept.left_out) == ({"train": 12, "eval": 6}, 3, {})
        dropped = export(flawed_set.folder, tmp_path / f"{kind}-2", ExportSpec(kind=kind, drop_flagged=True))
        assert (dropped.splits, dropped.left_out) == ({"train": 10, "eval": 5}, {"n02012849": 3})
    rows = table_of(tmp_path / "hub-2") + table_of(tmp_path / "hub-2", "eval")
    assert len(rows) == 15 and {row["status"] for row in rows} == {"ok"} and not any(row["safety_flag"] for row in rows)
    text = (tmp_path / "hub-2" / "README.md").read_text(encoding="utf-8")
    assert "3 of 21 images could not be drawn" in text and "The flagged images (3) are left out here." in text
    assert "| crane (n02012849) | 3 | 42.9% |" in text


def test_a_split_without_any_image_is_refused(flawed_set: ImageSet, tmp_path: Path) -> None:
    for shard in flawed_set.planned_shards():
        if shard.startswith("eval"):
            flawed_set.write_shard(shard, ({**row, "image": None} for row in rows_of(flawed_set, shard)))
    with pytest.raises(InputError, match="split 'eval' has no image to export: all failed or were left out; name"):
        export(flawed_set.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export(flawed_set.folder, tmp_path / "out", ExportSpec(splits=("train",))).splits == {"train": 12}


def test_a_class_without_images_is_noted(tmp_path: Path) -> None:
    image_set = ImageSet(tmp_path / "set", set_manifest())
    image_set.write_plan(plan(block=10))
    for shard in image_set.planned_shards():
        lost = {"image": None} if shard.startswith("eval/odd~1") else {}
        image_set.write_shard(shard, (row | lost for row in rows_of(image_set, shard)))
    assert export(image_set.folder, tmp_path / "hub").notes == ("split 'eval' has no image of odd~1",)
    (note,) = export(image_set.folder, tmp_path / "folder", ExportSpec(kind="imagefolder")).notes
    assert note.endswith("odd~1; readers that number the folders number its classes differently")


def test_unfinished_sets(finished_set: ImageSet, tmp_path: Path) -> None:
    (finished_set.folder / "done" / "train" / "odd~1-00001.json").unlink()
    with pytest.raises(InputError, match=r"1 of 9 shards missing; finish the set .* or .* --allow-unfinished"):
        export(finished_set.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export(finished_set.folder, tmp_path / "out", ExportSpec(allow_unfinished=True)).splits["train"] == 13
    with pytest.raises(FingerprintError, match="the image set is another, or has changed since"):
        export(finish(finished_set).folder, tmp_path / "out")


def test_a_damaged_shard_counts_as_missing(finished_set: ImageSet, tmp_path: Path) -> None:
    path = finished_set.folder / "data" / "train" / "odd~1-00001.parquet"
    data = bytearray(path.read_bytes())
    data[200] ^= 1  # in an image: Parquet alone would not see it without page checksums
    path.write_bytes(data)
    with pytest.raises(InputError, match="1 of 9 shards missing"):
        export(finished_set.folder, tmp_path / "out")


@pytest.mark.parametrize("splits", [("eval",), ("eval,train",), (" train , eval",)])
def test_splits_are_chosen(finished_set: ImageSet, tmp_path: Path, splits: tuple[str, ...]) -> None:
    found = export(finished_set.folder, tmp_path / "out", ExportSpec(splits=splits)).splits
    assert set(found) == {name.strip() for item in splits for name in item.split(",")}


def test_wrong_input_is_one_line(finished_set: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no split 'test'; it has train, eval"):
        export(finished_set.folder, tmp_path / "out", ExportSpec(splits=("test",)))
    with pytest.raises(InputError, match="no image set of synthgap"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="there is no generator folder"):
        export(finished_set.folder, tmp_path / "out", generator=tmp_path / "none")
    with pytest.raises(InputError, match="no such file"):
        export(finished_set.folder, tmp_path / "out", findings=tmp_path / "none.parquet")
    assert not (tmp_path / "out").exists()


def test_nothing_of_the_users_is_touched(finished_set: ImageSet, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files that are no export; give a new or empty folder"):
        export(finished_set.folder, out)
    with pytest.raises(InputError, match="holds files that are no export"):
        export(finished_set.folder, finished_set.folder)
    with pytest.raises(InputError, match="is a file"):
        export(finished_set.folder, out / "thesis.txt")
    assert files_of(out) == {"thesis.txt": b"years of work"}
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "export.json").write_text("{}")
    with pytest.raises(InputError, match="not an export of synthgap"):
        export(finished_set.folder, tmp_path / "json")


def test_another_export_in_the_folder_is_refused(finished_set: ImageSet, tmp_path: Path) -> None:
    export(finished_set.folder, tmp_path / "out", ExportSpec(seed=1))
    before = files_of(tmp_path / "out")
    with pytest.raises(FingerprintError, match="seed is 1 there and 2 here; give a new folder"):
        export(finished_set.folder, tmp_path / "out", ExportSpec(seed=2))
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_export_is_left_alone(finished_set: ImageSet, tmp_path: Path, kind: Kind) -> None:
    spec = ExportSpec(kind=kind, shard_bytes=3_000)
    first = export(finished_set.folder, tmp_path / "out", spec)
    before = files_of(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/*") if path.is_file()}
    assert export(finished_set.folder, tmp_path / "out", spec) == first == read_record(tmp_path / "out")
    assert files_of(tmp_path / "out") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not any(".export/" in name for name in before)


def test_a_lost_file_is_written_again_and_a_changed_one_refused(finished_set: ImageSet, tmp_path: Path) -> None:
    spec = ExportSpec(shard_bytes=3_000)
    record = export(finished_set.folder, tmp_path / "out", spec)
    before = files_of(tmp_path / "out")
    lost = tmp_path / "out" / record.files[1].path
    lost.unlink()
    export(finished_set.folder, tmp_path / "out", spec)
    assert files_of(tmp_path / "out") == before
    lost.write_bytes(b"short")
    with pytest.raises(InputError, match="has changed since it was exported; move it away"):
        export(finished_set.folder, tmp_path / "out", spec)


def test_an_edited_card_stays(finished_set: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "out"
    export(finished_set.folder, out)
    write_findings(tmp_path / "findings.parquet", [Finding("odd~1", "ambiguous", 0.8, True, "x", "0.3 of 50")])
    export(finished_set.folder, out, findings=tmp_path / "findings.parquet")
    assert "ambiguous" in (out / "README.md").read_text(encoding="utf-8")
    assert "ambiguous" in (out / "croissant.json").read_text(encoding="utf-8")
    (out / "README.md").write_text("mine")
    for _ in range(2):
        export(finished_set.folder, out)
    assert (out / "README.md").read_text() == "mine"
    assert "was edited" in caplog.text


def test_row_groups_are_small_in_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {"a": "ape"}
    image_set = ImageSet(tmp_path / "set", set_manifest(classes=classes))
    image_set.write_plan(plan(train=250, held_out=0, block=50, classes=classes))
    finish(image_set)

    def groups(out: Path) -> list[int]:
        (file,) = (out / "data").glob("*.parquet")
        metadata = pq.ParquetFile(file).metadata
        image = next(c for n in range(30) if (c := metadata.row_group(0).column(n)).path_in_schema == "image.bytes")
        assert (image.compression, image.has_offset_index) == ("UNCOMPRESSED", True)
        return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]

    export(image_set.folder, tmp_path / "rows")
    assert groups(tmp_path / "rows") == [100, 100, 50]
    monkeypatch.setattr(hub, "GROUP_BYTES", 10 * len(png(1)))
    export(image_set.folder, tmp_path / "bytes")
    assert max(groups(tmp_path / "bytes")) < 15


def test_labels_of_a_grown_set_follow_the_manifest(tmp_path: Path) -> None:
    """A shard from before the set grew may number its classes otherwise; ``class_key`` counts."""
    image_set = ImageSet(tmp_path / "set", set_manifest(classes={"b": "bee"}))
    image_set.write_plan(plan(classes={"b": "bee"}, held_out=0))
    finish(image_set)
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest | {"classes": {"a": "ape", "b": "bee"}}))
    export(tmp_path / "set", tmp_path / "out")
    assert {row["label"] for row in table_of(tmp_path / "out")} == {1}
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest | {"classes": {"a": "ape"}}))
    with pytest.raises(InputError, match="class 'b' is not in the set's manifest"):
        export(tmp_path / "set", tmp_path / "other")


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    image_set = ImageSet(tmp_path / "set", set_manifest())
    image_set.write_plan(plan())
    for shard in image_set.planned_shards():
        image_set.write_shard(shard, (row | {"image_key": "same"} for row in rows_of(image_set, shard)))
    with pytest.raises(InputError, match="two images are called 'same'"):
        export(image_set.folder, tmp_path / "out")


def test_marks_survive_and_the_card_says_so(tmp_path: Path) -> None:
    image_set = ImageSet(tmp_path / "set", set_manifest())
    image_set.write_plan(plan())
    marked = encode_jpeg(pixels(0), mark=Mark(generator="lab"))
    for shard in image_set.planned_shards():
        image_set.write_shard(shard, (row | {"image": marked} for row in rows_of(image_set, shard)))
    export(image_set.folder, tmp_path / "out", ExportSpec(kind="imagefolder"))
    files = list((tmp_path / "out" / "train").rglob("*.jpg"))
    assert len(files) == 15 and all(read_mark(file.read_bytes()) == Mark("lab") for file in files)
    assert "## Marks" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_the_card_of_an_unmarked_set_claims_no_mark(finished_set: ImageSet, tmp_path: Path) -> None:
    export(finished_set.folder, tmp_path / "out")
    assert "## Marks" not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
