import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthgap.core.errors import InputError, RunError
from synthgap.store.atomic import atomic_file, plain, read_json, sha256_of, temp_path, write_bytes, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_target_appears_only_when_the_block_ended(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    with atomic_file(target) as handle:
        handle.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(target.parent) == ["file.bin"]


def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyError), atomic_file(target) as handle:
        handle.write(b"half")
        raise KeyError("the caller's own mistake")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_a_callers_own_oserror_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "x"):
        (tmp_path / "missing image").read_bytes()


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_full_disk_is_one_line_and_keeps_the_old_file(
    tmp_path: Path, full_disk: Callable[[], None], size: int
) -> None:
    write_bytes(tmp_path / "file.bin", b"old")
    full_disk()
    with pytest.raises(
        RunError, match=r"file\.bin: cannot be written: No space left on device; .*same command again"
    ) as e:
        write_bytes(tmp_path / "file.bin", b"x" * size)
    assert "\n" not in str(e.value)
    assert (tmp_path / "file.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_a_target_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"cannot be written: (Not a directory|File exists)"):
        write_bytes(tmp_path / "file" / "below", b"x")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(RunError, match=r"folder: cannot be written: Is a directory"):
        write_bytes(tmp_path / "folder", b"x")
    assert not temp_path(tmp_path / "folder").exists()


def test_a_killed_writers_leftover_is_taken_over(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    temp_path(target).write_bytes(b"half of something much longer")
    write_bytes(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert names(tmp_path) == ["file.bin"]


def test_kill_minus_9_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    write_bytes(target, b"old")
    code = f"""
import os, signal
from pathlib import Path
from synthgap.store.atomic import atomic_file
with atomic_file(Path({str(target)!r})) as handle:
    handle.write(b"x" * 100_000)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == -9
    assert target.read_bytes() == b"old"
    assert temp_path(target).exists()
    write_bytes(target, b"new")
    assert names(tmp_path) == ["file.bin"]


def test_two_writers_at_once_take_turns(tmp_path: Path) -> None:
    """Each writes its own letter many times: whole files only, and no error."""
    target = tmp_path / "file.bin"
    seen: set[bytes] = set()

    def write(letter: bytes) -> None:
        for _ in range(20):
            write_bytes(target, letter * 50_000)
            seen.add(target.read_bytes())

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= {letter * 50_000 for letter in (b"a", b"b", b"c")}
    assert len(seen) > 0
    assert names(tmp_path) == ["file.bin"]


def test_a_second_writer_that_will_not_wait_is_told(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    with atomic_file(target) as handle:
        handle.write(b"first")
        with pytest.raises(RunError, match="another process is writing"), atomic_file(target, wait=False):
            pass
    assert target.read_bytes() == b"first"


def test_json_is_readable_ordered_and_strict(tmp_path: Path) -> None:
    value = {"é": [float("nan"), float("inf"), 1.5], "a": np.float32(2), "n": np.int64(3), "p": Path("x"), "t": (1, 2)}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert "é" in text and text.endswith("}\n")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "é": [None, None, 1.5],
        "a": 2.0,
        "n": 3,
        "p": "x",
        "t": [1, 2],
    }
    assert read_json(tmp_path / "x.json") == json.loads(text)
    assert plain(np.array([[1.0, np.nan]])) == [[1.0, None]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [(None, "no such file"), (b"{", "not JSON"), (b"\xff", "not JSON"), (b"[" * 10**5, "not JSON")],
)
def test_json_that_cannot_be_read(tmp_path: Path, data: bytes | None, expected: str) -> None:
    path = tmp_path / "x.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=expected):
        read_json(path)
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
