"""The errors a user can meet.

    SynthgapError
    ├── InputError            your input is wrong; exit code 2, one line with the next step
    │   ├── MissingExtra      an optional package is not installed; says which
    │   └── FingerprintError  the output folder holds another run; says what differs
    ├── RunError              the input was fine and the run failed; exit code 1
    │   └── GeneratorMemoryError  the device has no memory for a batch; a smaller one may do
    └── Interrupted           Ctrl-C or a polite kill; exit code 130, with the command to continue

A message holds the value found, what was expected and the next step, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthgapError(Exception):
    """Base of every error that is shown to the user as one line, without a traceback."""

    exit_code = 1


class InputError(SynthgapError):
    """The user's input is wrong and the user can mend it."""

    exit_code = 2


class MissingExtra(InputError):
    """A feature needs a package that is not installed."""


class FingerprintError(InputError):
    """An output folder holds the result of another configuration."""


class RunError(SynthgapError):
    """The input was fine and the run failed."""


class GeneratorMemoryError(RunError):
    """The device has no memory for this many images at once."""


class Interrupted(SynthgapError):
    """The user, or the machine's scheduler, stopped the run; what was finished is kept and the same command goes on."""

    exit_code = 130


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, or an empty string when none is near.

    >>> nearest("guidence_scale", ["guidance_scale", "seed"])
    "; did you mean 'guidance_scale'?"
    """
    found = difflib.get_close_matches(str(wrong), [str(name) for name in known], n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
