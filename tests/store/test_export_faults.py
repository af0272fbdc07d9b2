"""Exports that are killed, stopped, short of disk or memory, or made of hostile names."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import files_of, plan, rows_of, set_manifest

from synthgap.core.errors import Interrupted, RunError
from synthgap.store.export import exporting, shuffle
from synthgap.store.export.exporting import export
from synthgap.store.export.folder import read_record
from synthgap.store.export.names import file_key, tar_key
from synthgap.store.export.spec import ExportSpec, Kind
from synthgap.store.images import encode_jpeg
from synthgap.store.keys import is_safe
from synthgap.store.sets import ImageSet

KINDS: tuple[Kind, ...] = ("hub", "webdataset", "imagefolder")


def run_export(folder: Path, out: Path, kind: Kind, *, die_at: int, expect: int) -> None:
    """Export in a process of its own, which kills itself with SIGKILL at its progress call number ``die_at``."""
    code = f"""
        import os, signal
        from pathlib import Path
        from synthgap.store.export import shuffle
        from synthgap.store.export.exporting import export
        from synthgap.store.export.spec import ExportSpec
        shuffle.RUN_BYTES = 1500
        calls = 0
        def progress(done, total, what):
            global calls
            calls += 1
            if calls == {die_at}:
                os.kill(os.getpid(), signal.SIGKILL)
            assert done <= total
        export(Path({str(folder)!r}), Path({str(out)!r}), ExportSpec(kind={kind!r}, shard_bytes=3000), progress=progress)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60, check=False)
    assert done.returncode == expect, done.stderr.decode()


@pytest.mark.parametrize(
    ("kind", "calls"), [("hub", (3, 9, 14, 24)), ("webdataset", (9, 14)), ("imagefolder", (2, 9, 20))]
)
def test_kill_minus_9_and_the_same_command_again(
    finished_set: ImageSet, tmp_path: Path, kind: Kind, calls: tuple[int, ...]
) -> None:
    run_export(finished_set.folder, tmp_path / "quiet", kind, die_at=-1, expect=0)
    for number in calls:
        out = tmp_path / f"killed-{number}"
        run_export(finished_set.folder, out, kind, die_at=number, expect=-9)
        assert not read_record(out).finished
        whole = {path: path.stat().st_mtime_ns for path in whole_files(out)}
        run_export(finished_set.folder, out, kind, die_at=-1, expect=0)
        assert files_of(out) == files_of(tmp_path / "quiet"), number
        assert {path: path.stat().st_mtime_ns for path in whole} == whole, "nothing whole is written twice"
    assert whole


def whole_files(out: Path) -> list[Path]:
    """Files of a killed export that need not be written again."""
    lines = [line for part in out.glob(".export/*/*.jsonl") for line in part.read_text().splitlines()]
    return [*out.glob("data/*.parquet"), *out.glob("*.tar"), *(out / json.loads(line)["file_name"] for line in lines)]


def test_a_run_without_its_index_is_written_again(
    finished_set: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index comes last: a kill before it leaves rows that are not to be trusted."""
    with monkeypatch.context() as patch:
        patch.setattr(exporting.shuffle, "cut", lambda *a: (_ for _ in ()).throw(RunError("stop")))
        with pytest.raises(RunError, match="stop"):
            export(finished_set.folder, tmp_path / "out")
    (index,) = (tmp_path / "out" / ".export").glob("train-*.index")
    index.unlink()
    index.with_suffix(".rows").write_bytes(b"half")
    export(finished_set.folder, tmp_path / "out")
    export(finished_set.folder, tmp_path / "quiet")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "quiet")


def test_a_polite_stop_says_how_to_go_on(finished_set: ImageSet, tmp_path: Path) -> None:
    def progress(done: int, total: int, what: str) -> None:
        os.kill(os.getpid(), 15)

    with pytest.raises(Interrupted, match=r"SIGTERM: the export in .* is not finished; to continue, "):
        export(finished_set.folder, tmp_path / "out", progress=progress)
    export(finished_set.folder, tmp_path / "out")
    export(finished_set.folder, tmp_path / "quiet")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "quiet")


@pytest.mark.parametrize("kind", ["hub", "webdataset"])
@pytest.mark.parametrize("step", [0, 2])
def test_a_full_disk(
    finished_set: ImageSet,
    tmp_path: Path,
    full_disk: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    step: int,
) -> None:
    """It is full when the folder is claimed, or once the images are sorted; after it the same call goes on."""
    if step == 0:
        full_disk()
    real = shuffle.cut
    monkeypatch.setattr(exporting.shuffle, "cut", lambda *a: (full_disk() if step else None, real(*a))[1])
    with pytest.raises(RunError, match="No space left on device; what was finished is kept") as caught:
        export(finished_set.folder, tmp_path / "out", ExportSpec(kind=kind))
    assert "\n" not in str(caught.value)
    assert not any(name.endswith((".parquet", ".tar")) for name in files_of(tmp_path / "out"))


def test_a_full_disk_for_an_image_folder(
    finished_set: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunError, match="No space left on device"):
            export(finished_set.folder, tmp_path / "out", ExportSpec(kind="imagefolder"))
    assert export(finished_set.folder, tmp_path / "out", ExportSpec(kind="imagefolder")).splits["train"] == 15


def test_memory_is_that_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of 24 MB passes through runs and files of 1 MB; Python holds a few of these at most."""
    import tracemalloc

    classes = {"a": "ape", "b": "bee"}
    image_set = ImageSet(tmp_path / "set", set_manifest(classes=classes))
    image_set.write_plan(plan(train=240, held_out=0, block=20, classes=classes))
    noise = encode_jpeg(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    padded = noise + b"\0" * (50_000 - len(noise))
    for shard in image_set.pending_shards():
        image_set.write_shard(shard, (row | {"image": padded} for row in rows_of(image_set, shard)))
    monkeypatch.setattr(shuffle, "RUN_BYTES", 1_000_000)
    tracemalloc.start()
    try:
        record = export(image_set.folder, tmp_path / "out", ExportSpec(kind="webdataset", shard_bytes=1_000_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(record.files) > 20
    assert peak < 6_000_000, f"{peak:,} bytes for 24 MB of images"


HOSTILE = ["../../up", "/etc/passwd", "con", "a b", ".hidden", "é🐸", "x" * 300, "dot.", "", "a/b", "nul.txt", "-", "~"]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_keys_stay_inside_the_export(tmp_path: Path, kind: Kind) -> None:
    image_set = ImageSet(tmp_path / "set", set_manifest(classes={"a": "ape"}))
    image_set.write_plan(plan(train=len(HOSTILE), held_out=0, block=20, classes={"a": "ape"}))
    (shard,) = image_set.planned_shards()
    rows = zip(rows_of(image_set, shard), HOSTILE, strict=True)
    image_set.write_shard(shard, (row | {"image_key": key} for row, key in rows))
    before = {path for path in tmp_path.rglob("*") if tmp_path / "out" not in path.parents}
    assert export(image_set.folder, tmp_path / "out", ExportSpec(kind=kind)).splits == {"train": len(HOSTILE)}
    assert {path for path in tmp_path.rglob("*") if tmp_path / "out" not in path.parents} - before == {tmp_path / "out"}
    if kind == "imagefolder":
        assert len(list((tmp_path / "out" / "train" / "a").iterdir())) == len(HOSTILE)


@given(st.lists(st.text(max_size=40), unique=True, max_size=20))
def test_file_names_are_safe_and_differ(keys: list[str]) -> None:
    names = [file_key(key) for key in keys]
    tars = [tar_key(key) for key in keys]
    assert len(set(names)) == len(set(tars)) == len(keys)
    assert all(is_safe(name.replace("~", "_")) for name in names)
    assert not any("." in name or "/" in name for name in tars)
    assert [file_key(name) for name in names] == names


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_no_file_names(key: str) -> None:
    assert file_key(key) != key or is_safe(key.replace("~", "_"))
