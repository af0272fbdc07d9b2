"""The folder of a refinement: whose it is, and who works in it at the moment. `refine` and `review` share it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, RunError
from synthgap.pipeline.refine_origin import Where
from synthgap.store.atomic import own_errors, read_json, write_json

if sys.platform != "win32":
    import fcntl

ADJUSTMENTS, RESULT = "adjustments.yaml", "refine.json"
JOURNAL, TRIALS = "review.log.jsonl", "review.json"
_BEGUN = (ADJUSTMENTS, RESULT, JOURNAL, TRIALS)
"""What a folder may hold before `claim` has written its `RESULT`: older versions of `review` began without."""
_DECIDING, _DRAWING = ".adjustments.lock", ".set.lock"


def told_before(out: Path) -> dict[str, Any]:
    """What ``refine.json`` holds; empty where there is none, or none that is ours. Raises InputError: it is no JSON."""
    there = read_json(out / RESULT) if (out / RESULT).is_file() else {}
    return there if isinstance(there, dict) else {}


def check_owner(out: Path, marker: Mapping[str, str]) -> None:
    """Raises InputError where a folder holds anything but the refinement of ``marker``.

    Args:
        out: The folder, which need not be there.
        marker: ``run``, which may move, ``target``, and ``set``, its fingerprint; empty where the set is not there.
    """
    if (out / RESULT).is_file():
        there = told_before(out)
        same_set = there.get("set") == marker["set"] or "" in (there.get("set"), marker["set"])
        if there.get("target") != marker["target"] or not same_set:
            which = "another set named " if there.get("target") == marker["target"] else ""
            raise InputError(
                f"{out}: holds the refinement of {which}{there.get('target')!r} of {there.get('run')}; give --out DIR"
            )
    elif out.exists() and (not out.is_dir() or any(not _begins(path.name) for path in out.iterdir())):
        raise InputError(
            f"{out}: holds files that are no refinement of synthgap's; give a new or empty folder: --out DIR"
        )


def claim(out: Path, marker: Mapping[str, str], where: Where | None) -> None:
    """Begin a folder, or go on with the refinement that it holds.

    Args:
        out: The folder, which need not be there.
        marker: As for `check_owner`.
        where: Paths to remember for the next call; None leaves those that are told.

    Raises:
        InputError: the folder holds something else.
        RunError: it cannot be written.
    """
    check_owner(out, marker)
    there = told_before(out)
    told = {**marker, "where": {}, "finished": False} | there
    told |= {"set": told["set"] or marker["set"]}
    told |= {} if where is None else {"where": where.as_json()}
    if told != there:
        write_json(out / RESULT, told)


@contextmanager
def writing_decisions(out: Path) -> Iterator[None]:
    """Alone with ``adjustments.yaml`` and its journal, to read, change and write them; others wait, which takes no time.

    Raises RunError where the folder cannot be written.
    """
    with _locked(out / _DECIDING, "", wait=True):
        yield


@contextmanager
def drawing_alone(out: Path, who: str) -> Iterator[None]:
    """Alone with the refined set and its result. Raises RunError, naming who draws there, where somebody does."""
    with _locked(out / _DRAWING, f"{who} (process {os.getpid()})", wait=False):
        yield


@contextmanager
def _locked(path: Path, who: str, *, wait: bool) -> Iterator[None]:
    if sys.platform == "win32":
        yield  # no flock there
        return
    with own_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+b")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().decode(errors="replace") or "another process"
            raise RunError(f"{holder} is drawing in {path.parent}; wait until it is done, or end it") from None
        except OSError:
            pass  # a file system without locks
        with suppress(OSError):  # a full disk costs a name
            handle.truncate(0)
            handle.write(who.encode())
            handle.flush()
        yield


def _begins(name: str) -> bool:
    return name.startswith((*(f".{one}" for one in _BEGUN), _DECIDING, _DRAWING)) or name in _BEGUN
