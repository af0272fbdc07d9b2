"""What the command line shows: results on stdout, progress and hints on stderr, errors as one line."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Format = Literal["human", "json"]
LINE_SECONDS = 5.0
"""Seconds between progress lines where stderr is not a terminal."""


def hint(text: str) -> None:
    """Say something on stderr that is not a result."""
    print(text, file=sys.stderr, flush=True)


def plain(value: Any) -> Any:
    """Make a value fit for JSON: NaN becomes null, paths and records become text and objects."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


def emit(value: Any, output: Format, human: Callable[[Any], str]) -> None:
    """Print a result on stdout, as JSON or as ``human(value)``."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=2) if output == "json" else human(value)
    print(text, flush=True)


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Align rows of text under a header, numbers to the right."""
    cells = [[str(item) for item in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [all(_is_number(row[i]) for row in cells[1:]) and len(cells) > 1 for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _is_number(text: str) -> bool:
    return (bool(text) and (text[0].isdigit() or text[0] in "-–.+")) or text in ("", "nan")


def duration(seconds: float) -> str:
    """Write seconds as people do.

    >>> duration(0.4), duration(75), duration(7260), duration(400_000)
    ('0 s', '1 min 15 s', '2 h 1 min', '4 d 15 h')
    """
    whole = round(seconds)
    for name, unit, rest_name, rest in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // rest} {rest_name}"
    return f"{whole} s"


def size(count: float) -> str:
    """Write bytes as people do, in powers of 1024.

    >>> size(900), size(250_000), size(3e9)
    ('900 B', '244.1 KiB', '2.8 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def figure(value: float | None, digits: int = 3) -> str:
    """Write a number with sensible digits; an undefined one is a dash.

    >>> figure(0.123456), figure(None), figure(0.0000213)
    ('0.123', '–', '2.13e-05')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" if value == 0 or abs(value) >= 10**-digits else f"{value:.{digits - 1}e}"


def interval(found: dict[str, Any]) -> str:
    """Write the interval of a figure that has ``ci_low`` and ``ci_high``."""
    return f"{figure(found['ci_low'])} to {figure(found['ci_high'])}"


class Progress:
    """Shows (done, total, what): a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: Any = None
        self._said = 0.0
        self._begun = 0.0

    def __call__(self, done: int, total: int, what: str) -> None:
        """Report that ``done`` of ``total`` steps of ``what`` are finished."""
        if sys.stderr.isatty():
            self._draw(done, total, what)
        else:
            self._line(done, total, what)

    def _draw(self, done: int, total: int, what: str) -> None:
        from tqdm import tqdm

        if self._bar is None or what != self._what:
            self.close()
            self._bar, self._what = tqdm(total=total, desc=what, leave=True), what
        self._bar.update(done - self._bar.n)

    def _line(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._begun, self._said = what, now, now - LINE_SECONDS
        if now - self._said >= LINE_SECONDS or done == total:
            self._said = now
            hint(f"{what}: {done}/{total} ({now - self._begun:.0f} s)")

    def close(self) -> None:
        """Finish the bar that is drawn."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


OF_THE_MACHINE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO}
    | {errno.ENOTDIR, errno.EMFILE, errno.ENFILE, errno.ESTALE}
)
"""What a file system answers where the user's place, and not the program, is at fault."""


def guarded(action: Callable[[], None]) -> int:
    """Run a command and return its exit code: 0, 1 (ran and failed), 2 (wrong input), 130 (interrupted).

    Errors that a user can mend are one line on stderr, a place that may not be read or written among them; anything else keeps its traceback, as it is ours to mend.
    """
    from synthgap.core.errors import SynthgapError

    try:
        action()
    except SynthgapError as error:
        hint(f"{'error' if error.exit_code != 130 else 'interrupted'}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        hint("interrupted: run the same command again to continue")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader (head, less) has gone: stdout must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in OF_THE_MACHINE or error.filename is None:
            raise
        hint(
            f"error: {error.filename}: {error.strerror}; what was finished is kept: mend this and run the same command again"
        )
        return 1
    return 0
