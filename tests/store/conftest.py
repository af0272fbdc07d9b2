"""Fixtures of the store's tests; ``store_samples`` has the plain helpers."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from store_samples import finish, plan, set_manifest

from synthgap.store import atomic
from synthgap.store.sets import ImageSet


@pytest.fixture
def finished_set(tmp_path: Path) -> ImageSet:
    image_set = ImageSet(tmp_path / "set", set_manifest())
    image_set.write_plan(plan())
    return finish(image_set)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on the disk is full: the kernel's own answer, from /dev/full, to every write of ours."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    real = atomic._open_locked

    def open_full(temp: Path, wait: bool) -> BinaryIO:
        real(temp, wait).close()
        return open("/dev/full", "r+b")  # noqa: PTH123

    return lambda: monkeypatch.setattr(atomic, "_open_locked", open_full)
