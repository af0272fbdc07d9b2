"""Options that several subcommands share."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from synthgap.console import Format
from synthgap.core.specs import EncoderSpec, MeasureSpec, Resources

Flat = Parameter(name="*")
Output = Annotated[Format, Parameter(name="--format")]
How = Annotated[Resources | None, Flat]
Encoder = Annotated[EncoderSpec | None, Flat]
Measures = Annotated[MeasureSpec | None, Flat]


def located(path: Path) -> Path:
    """A set's place: ``lab:NAME`` is an image set that comes with the lab."""
    from synthgap.study import LAB, lab_images

    return lab_images(str(path).removeprefix(LAB)) if str(path).startswith(LAB) else path


def command_line() -> str:
    """The command as the user typed it."""
    return shlex.join(["synthgap", *sys.argv[1:]])
