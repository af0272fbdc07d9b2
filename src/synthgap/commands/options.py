"""Options that several subcommands share."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from synthgap.console import Format
from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec, MeasureSpec, Resources

if TYPE_CHECKING:
    from synthgap.store.rows import ImageSource

Flat = Parameter(name="*")
Output = Annotated[Format, Parameter(name="--format")]
How = Annotated[Resources | None, Flat]
Encoder = Annotated[EncoderSpec | None, Flat]
Measures = Annotated[MeasureSpec | None, Flat]


def located(path: Path) -> Path:
    """A set's place: ``lab:NAME`` is an image set that comes with the lab."""
    from synthgap.study import LAB, lab_images

    return lab_images(str(path).removeprefix(LAB)) if str(path).startswith(LAB) else path


def open_set(name: str) -> ImageSource:
    """Open an image set by its place."""
    from synthgap.store.sources import open_images

    return open_images(located(Path(name)))


def of_world(world: str, part: str) -> str:
    """The folder of a world's generator or encoder; ``lab`` is the shipped world and stays its name."""
    if world == "lab":
        return world
    place = Path(world).expanduser() / part
    if not place.is_dir():
        raise InputError(f"{world}: holds no folder {part!r}; expected 'lab' or a folder of `synthgap lab train`")
    return str(place)


def with_share(text: str) -> tuple[str, float | None]:
    """``SET@0.5`` as set and share; a path that exists is never cut."""
    path, at, share = text.rpartition("@")
    if not at or Path(text).expanduser().exists():
        return text, None
    try:
        number = float(share)
    except ValueError:
        return text, None
    if not 0 < number < float("inf"):
        raise InputError(f"{text}: its share is {share}; expected a number above 0, such as {path}@0.5")
    return path, number


def command_line() -> str:
    """The command as the user typed it."""
    return shlex.join(["synthgap", *sys.argv[1:]])
