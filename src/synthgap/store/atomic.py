"""Files that appear whole or not at all: written beside their target, flushed to disk, then renamed.

A reader never sees half a file, a kill leaves at most one hidden ``.<name>.tmp`` beside the target, and the next write
of the same target takes that very file over, so that a killed and repeated run leaves the same folder as a quiet one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from synthgap.core.errors import InputError, RunError

if sys.platform != "win32":
    import fcntl


def temp_path(target: Path) -> Path:
    """Where a target is written before it is renamed: hidden, and never matched by a reader's ``*.parquet``."""
    return target.with_name(f".{target.name}.tmp")


@contextmanager
def atomic_file(target: Path, *, wait: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file that becomes ``target`` when the block ends well, and vanishes when it does not.

    Args:
        target: the file to make or replace; missing folders are made.
        wait: wait for another process that writes the same target; otherwise that is a ``RunError``.

    Raises:
        RunError: the disk is full or the file cannot be written; one line that says so. The old target stays.
    """
    with own_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = _open_locked(temp_path(target), wait)
    try:
        yield handle
        with own_errors(target):
            handle.flush()
            os.fsync(handle.fileno())
            temp_path(target).replace(target)
            _sync_folder(target.parent)
    except BaseException:
        temp_path(target).unlink(missing_ok=True)  # before the lock goes with the handle
        with suppress(OSError):  # closing flushes, and fails again where the disk is full
            handle.close()
        raise
    handle.close()


@contextmanager
def writing(target: Path) -> Iterator[BinaryIO]:
    """``atomic_file`` for a block that only writes: an ``OSError`` inside it is a ``RunError`` of one line too."""
    with atomic_file(target) as handle, own_errors(target):
        yield handle


@contextmanager
def own_errors(target: Path) -> Iterator[None]:
    """Tell an ``OSError`` inside the block as the ``RunError`` of a target that cannot be written."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise RunError(
            f"{target}: cannot be written: {why}; what was finished is kept: mend this and run the same command again"
        ) from error


def _open_locked(temp: Path, wait: bool) -> BinaryIO:
    """Open a temp file that only this process writes, emptied of what a killed process left in it."""
    while True:
        handle = os.fdopen(os.open(temp, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            _lock(handle, wait)
            if _is_at(handle, temp):
                handle.truncate(0)
                return handle
        except BlockingIOError:
            handle.close()
            raise RunError(f"{temp}: another process is writing this file; wait for it or stop it") from None
        except BaseException:
            handle.close()
            raise
        handle.close()  # the other writer renamed it while we waited for the lock: open a new one


def _lock(handle: BinaryIO, wait: bool) -> None:
    if sys.platform == "win32":
        return  # no flock there: a temp file is guarded by its name alone
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks: the rename is still atomic


def _is_at(handle: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; not every file system lets a folder be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with writing(target) as handle:
        handle.write(data)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file atomically: where the file system can, as a second name of the same bytes."""
    with own_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        second = target.with_name(f".{target.name}.link")
        second.unlink(missing_ok=True)
        try:
            second.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, second)
        second.replace(target)
        second.unlink(missing_ok=True)  # still there where both are names of the same bytes already


def write_text(target: Path, text: str) -> None:
    """Write a whole UTF-8 text file atomically."""
    write_bytes(target, text.encode())


def write_json(target: Path, value: Any) -> None:
    """Write JSON atomically: readable, in the order given, NaN and infinities as null, numpy numbers as numbers."""
    write_text(target, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing, unreadable or no JSON; one line that names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows: NaN and infinities become None, tuples lists, numpy values Python's own."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
