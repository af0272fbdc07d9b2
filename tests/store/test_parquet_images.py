import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_samples import png

from synthgap.core.errors import InputError
from synthgap.store.features import IMAGE
from synthgap.store.images import BrokenImage
from synthgap.store.parquet_images import split_of
from synthgap.store.sources import ImageSource, duplicates, open_images


def write(
    path: Path,
    labels: list[Any],
    names: list[str] | None = None,
    *,
    features: dict[str, Any] | None = None,
    row_group: int = 3,
    **columns: Any,
) -> Path:
    """A Parquet file as ``datasets`` writes it; the image of row i is ``png(i)``."""
    images = [{"bytes": png(i), "path": None} for i in range(len(labels))]
    table = pa.table({"image": pa.array(images, IMAGE), "label": labels} | columns)
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}} | (features or {})
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group)
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        list(open_images(path).rows())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seen(source: ImageSource) -> list[tuple[str, str]]:
    return [(row.image_key, row.class_key) for row in source.rows()]


def test_a_file_with_class_names(tmp_path: Path) -> None:
    path = write(tmp_path / "natural.parquet", [1, 0, 1, 1], ["cat", "a \"b\"\n'c' 🐸", "unused"])
    source = open_images(path)
    assert (source.kind, source.name, source.splits) == ("parquet", "natural", ("train",))
    assert list(source.classes.values()) == ["cat", "a \"b\"\n'c' 🐸", "unused"]
    assert source.empty_classes == ("unused",)
    odd = list(source.classes)[1]
    assert seen(source) == [
        ("train-0000000", odd),
        ("train-0000001", "cat"),
        ("train-0000002", odd),
        ("train-0000003", odd),
    ]
    assert [row.read() for row in source.rows()] == [png(i) for i in range(4)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([7, 3, 7, 10], ["3", "7", "10"]), (["b", "a", "b", "b"], ["a", "b"]), ([0, None, -1, 0], ["0"])],
)
def test_labels_without_names(tmp_path: Path, labels: list[Any], classes: list[str]) -> None:
    source = open_images(write(tmp_path / "x.parquet", labels))
    assert list(source.classes) == classes
    kept = [(i, label) for i, label in enumerate(labels) if label not in (None, -1)]
    assert seen(source) == [(f"train-{i:07d}", str(label)) for i, label in kept]
    assert [row.read() for row in source.rows()] == [png(i) for i, _ in kept]


def test_rows_without_a_label_are_left_out_and_told(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 1, 0], ["a", "b"])
    write(tmp_path / "test.parquet", [-1, -1], ["a", "b"])
    source = open_images(tmp_path)
    assert source.splits == ("train",)
    assert source.notes == ("left out: 2 rows without a label",)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("natural.parquet", "train"), ("train.parquet", "train"), ("data/test-00000-of-00003.parquet", "test"),
        ("data/validation/0000.parquet", "validation"), ("My_Eval_1.parquet", "eval"), ("contest.parquet", "train"),
        ("val/train-1.parquet", "train"), ("latest/training.parquet", "training"),
    ],
)  # fmt: skip
def test_splits_are_in_the_names_of_files(name: str, split: str) -> None:
    assert split_of(Path(name)) == split


def test_a_folder_as_the_hub_has_it(tmp_path: Path) -> None:
    names = ["a", "b"]
    write(tmp_path / "data" / "train-00000-of-00002.parquet", [0, 0, 0, 0], names)
    write(tmp_path / "data" / "train-00001-of-00002.parquet", [1, 1], names)
    write(tmp_path / "data" / "test-00000-of-00001.parquet", [1, 0, 1], names)
    (tmp_path / "data" / ".train-00002.parquet.tmp").write_bytes(b"half")
    source = open_images(tmp_path)
    assert source.splits == ("train", "test")
    assert source.counts == {"train": {"a": 4, "b": 2}, "test": {"a": 1, "b": 2}}
    assert [part.name for part in source.shards()] == ["train/a-00000", "train/b-00000", "test/rows-00000"]
    assert [row.read() for row in source.rows("train")] == [png(i) for i in (0, 1, 2, 3, 0, 1)]
    assert duplicates(source) == 5


def test_any_range_reads_what_the_whole_reads(tmp_path: Path) -> None:
    labels = [0, 1, -1, 1, 0, -1, -1, 1, 0, 0]
    write(tmp_path / "train-0.parquet", labels, ["a", "b"])
    write(tmp_path / "train-1.parquet", [1, 0, -1, 1], ["a", "b"])
    source = open_images(tmp_path)
    whole = [(row.image_key, row.class_key, row.read()) for row in source.rows()]
    assert len(whole) == 10
    for start in range(11):
        for stop in range(start, 12):
            part = [(row.image_key, row.class_key, row.read()) for row in source.rows("train", start, stop)]
            assert part == whole[start:stop]


def test_a_shuffled_file_is_cut_into_ranges_and_a_sorted_one_by_class(tmp_path: Path) -> None:
    mixed = open_images(write(tmp_path / "mixed.parquet", [0, 1] * 5, ["a", "b"]))
    assert [(one.name, one.start, one.stop) for one in mixed.shards(4)] == [
        ("train/rows-00000", 0, 4), ("train/rows-00001", 4, 8), ("train/rows-00002", 8, 10),
    ]  # fmt: skip
    ordered = open_images(write(tmp_path / "ordered.parquet", [1] * 5 + [0] * 3, ["a", "b"]))
    assert [(one.name, one.start, one.stop) for one in ordered.shards(4)] == [
        ("train/b-00000", 0, 4), ("train/b-00001", 4, 5), ("train/a-00000", 5, 8),
    ]  # fmt: skip


def test_our_own_columns_are_used(tmp_path: Path) -> None:
    path = write(
        tmp_path / "export.parquet",
        [0, 1, 1],
        ["crane (n02012849)", "crane (n03126707)"],
        class_key=["n02012849", "n03126707", "n03126707"],
        image_key=["x", "y", "z w"],
        prompt=["one", "two", "three"],
        status=["ok", "ok", "failed"],
        error=["", "", "out of memory"],
    )
    source = open_images(path)
    assert source.classes == {"n02012849": "crane", "n03126707": "crane"}
    rows = list(source.rows())
    assert [row.prompt for row in rows] == ["one", "two", "three"]
    assert [row.image_key for row in rows][:2] == ["x", "y"]
    assert rows[2].image_key.startswith("z-w~")
    with pytest.raises(BrokenImage, match="out of memory"):
        rows[2].read()


def test_image_keys_that_repeat_are_not_used(tmp_path: Path) -> None:
    source = open_images(write(tmp_path / "x.parquet", [0, 0], ["a"], image_key=["same", "same"]))
    assert [row.image_key for row in source.rows()] == ["train-0000000", "train-0000001"]


def test_a_row_without_bytes_says_so(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([{"bytes": None, "path": "a/1.jpg"}, None], IMAGE), "label": [0, 0]})
    pq.write_table(table, tmp_path / "x.parquet")
    rows = list(open_images(tmp_path / "x.parquet").rows())
    for row, why in zip(rows, [r"holds a path \(a/1.jpg\) and no image bytes", "no image"], strict=True):
        with pytest.raises(BrokenImage, match=why):
            row.read()


def test_plain_bytes_and_other_column_names(tmp_path: Path) -> None:
    table = pa.table({"img": [png(0), png(1)], "labels": [1, 0]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert [row.read() for row in open_images(tmp_path / "x.parquet").rows()] == [png(0), png(1)]
    features = {"photo": {"_type": "Image"}, "kind": {"_type": "ClassLabel", "names": ["a", "b"]}}
    table = table.rename_columns(["photo", "kind"])
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "y.parquet")
    assert [row.class_key for row in open_images(tmp_path / "y.parquet").rows()] == ["b", "a"]


@pytest.mark.parametrize(
    ("columns", "features", "expected"),
    [
        ({"x": [1]}, None, "has no image column; it has x; expected a column 'image'"),
        ({"image": [b"x"]}, None, "has no label column; it has image"),
        ({"image": ["a.jpg"], "label": [1]}, None, "its column 'image' holds string; expected image bytes"),
        ({"image": [b"x"], "label": [[1, 2]]}, None, "holds list<element: int64>; expected one number or text"),
        ({"image": [b"x"], "label": [0.5]}, None, "its column 'label' holds double; expected one number or text"),
        (
            {"image": [b"x"], "fine": [1], "coarse": [0]},
            {"fine": {"_type": "ClassLabel"}, "coarse": {"_type": "ClassLabel"}},
            "has several label columns, fine, coarse; rename the one to use to 'label'",
        ),
        (
            {"image": [b"x"], "label": [2]},
            {"label": {"_type": "ClassLabel", "names": ["a", "b"]}},
            "label 2 is outside its 2 class names",
        ),
        ({"image": [None], "label": pa.array([None], pa.int64())}, None, "its column 'image' holds null"),
    ],
)
def test_columns_that_do_not_fit(
    tmp_path: Path, columns: dict[str, Any], features: dict[str, Any] | None, expected: str
) -> None:
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "x.parquet")
    assert expected in refused(tmp_path / "x.parquet")


def test_files_that_are_no_parquet_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no")
    assert "cannot be read as Parquet" in refused(tmp_path / "text.parquet")
    (tmp_path / "empty.parquet").write_bytes(b"")
    assert "cannot be read as Parquet" in refused(tmp_path / "empty.parquet")
    data = write(tmp_path / "cut.parquet", [0, 0, 0], ["a"]).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[:-20])
    assert "cannot be read as Parquet" in refused(tmp_path / "cut.parquet")


def test_unlabelled_only_and_no_rows(tmp_path: Path) -> None:
    assert "holds no images" in refused(write(tmp_path / "test.parquet", [-1, -1], ["a"]))
    table = pa.table({"image": pa.array([], IMAGE), "label": pa.array([], pa.int64())})
    pq.write_table(table, tmp_path / "none.parquet")
    assert "holds no images" in refused(tmp_path / "none.parquet")


def test_two_sets_in_one_folder_are_not_stirred_together(tmp_path: Path) -> None:
    write(tmp_path / "natural.parquet", [0], ["a"])
    write(tmp_path / "sd14.parquet", [0], ["a"])
    assert "holds several sets, natural.parquet, sd14.parquet; give the path of one file" in refused(tmp_path)
    write(tmp_path / "other" / "train.parquet", [0], ["a"])
    write(tmp_path / "other" / "test.parquet", [0], ["b"])
    assert "other columns or class names than" in refused(tmp_path / "other")


def test_numbered_parts_are_one_set(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"part-{number}.parquet", [0, 1], ["a", "b"])
    assert len(open_images(tmp_path)) == 6


def test_datasets_writes_what_we_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "frog"]),
            "prompt": datasets.Value("string"),
        }
    )
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(4)], "label": [1, 0, 1, 1], "prompt": list("wxyz")}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    source = open_images(tmp_path)
    assert source.classes == {"cat": "cat", "frog": "frog"}
    assert [(row.class_key, row.prompt, row.read()) for row in source.rows()] == [
        (name, prompt, png(i))
        for i, (name, prompt) in enumerate(zip(["frog", "cat", "frog", "frog"], "wxyz", strict=True))
    ]


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [0, 1], ["a", "b"])
    os.utime(path, ns=(10**18, 10**18))
    first = open_images(path).fingerprint
    assert open_images(path).fingerprint == first
    os.utime(path, ns=(10**18, 2 * 10**18))
    assert open_images(path).fingerprint != first


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """A file of 200 MB, read to its end in a process of its own, costs far less than 200 MB."""
    schema = pa.schema([("image", IMAGE), ("label", pa.int64())])
    with pq.ParquetWriter(tmp_path / "big.parquet", schema, compression="none") as writer:
        for group in range(20):
            image = {"bytes": bytes([group]) * 100_000, "path": None}
            rows = pa.Table.from_pylist([{"image": image, "label": group}] * 100, schema=schema)
            writer.write_table(rows)
    code = f"""
from pathlib import Path
from synthgap.store.sources import open_images
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
base = peak()
n = sum(len(row.read()) for row in open_images(Path({str(tmp_path / "big.parquet")!r})).rows())
print(n, (peak() - base) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    read, megabytes = map(int, done.stdout.split())
    assert read == 200_000_000
    assert megabytes < 90, f"{megabytes} MB for 200 MB of images"
