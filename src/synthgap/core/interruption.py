"""Ctrl-C and SIGTERM as something a stage can act on at a moment of its own choosing."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from synthgap.core.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Hold back SIGINT and SIGTERM inside the block; the given function raises ``Interrupted`` once one has come.

    Call it wherever work can be dropped. A second signal does not wait: it raises ``KeyboardInterrupt`` at once.
    Outside the main thread, where Python delivers no signals, the function never raises.
    """
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    def check() -> None:
        if received:
            raise Interrupted(f"stopped by {signal.Signals(received[0]).name}")

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = [signal.signal(number, note) for number in SIGNALS]
    try:
        yield check
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            # None: a handler that was not set from Python, which Python cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def how_to_continue() -> str:
    """What to do to go on with an interrupted run, in words that fit behind a semicolon."""
    program = Path(sys.argv[0])
    if program.stem == "synthgap" or program.parent.name == "synthgap":
        return f"to continue, run the same command again: {shlex.join(['synthgap', *sys.argv[1:]])}"
    return "to continue, make the same call again"
