"""Serving a desk on this machine until somebody ends it."""

from __future__ import annotations

import importlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from synthgap.core.errors import InputError, Interrupted, MissingExtra
from synthgap.core.interruption import SIGNALS, interruptible
from synthgap.review.desk import Desk

HOST = "127.0.0.1"
GRACE = 2
"""Seconds that an answer under way may take at the end."""


def check_extra() -> None:
    """Raises MissingExtra where the web server is not installed."""
    for name in ("starlette", "uvicorn"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra(
                f"synthgap review needs {error.name or name}, which is not installed; pip install 'synthgap[review]'"
            ) from None


def serve(desk: Desk, port: int, ready: Callable[[str], None]) -> None:
    """Serve the pages of a desk until SIGINT or SIGTERM comes.

    Args:
        desk: What is reviewed; closed at the end.
        port: Where to listen; 0 for any free port.
        ready: Told the address once it answers.

    Raises:
        MissingExtra: the web server is not installed.
        InputError: the port is taken.
        Interrupted: the signal came; nothing is half written.
    """
    check_extra()
    import uvicorn

    from synthgap.review.app import build

    class Server(uvicorn.Server):
        """Ends on the first signal, at once on the second, and raises neither of them in the loop."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            received.append(sig)
            self.should_exit, self.force_exit = True, len(received) > 1

    async def look() -> None:
        """End on a signal that came before the server listened to signals."""
        try:
            check()
        except Interrupted:
            server.should_exit = True

    received: list[int] = []
    listener = _listen(port)
    config = uvicorn.Config(
        build(desk),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        lifespan="off",  # nothing to begin or end, and a second Ctrl-C would find it waiting
        callback_notify=look,
        timeout_notify=1,
    )
    server = Server(config)
    try:
        with interruptible() as check:
            ready(f"http://{HOST}:{listener.getsockname()[1]}/")
            server.run(sockets=[listener])
            check()
            if received:
                raise Interrupted(f"stopped by {signal.Signals(received[0]).name}")
    finally:
        listener.close()
        desk.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or error
        raise InputError(f"--port {port}: cannot listen there ({why}); give another, or none for a free one") from None
    listener.listen(128)
    return listener
