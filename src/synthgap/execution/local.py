"""The local executor: this process for one device, a process per device for several.

A process that dies (killed, out of memory) costs the portion it held: another takes its place and makes that again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from synthgap.core.errors import Interrupted, RunError, SynthgapError
from synthgap.core.interruption import interruptible
from synthgap.execution.jobs import Check, Job, Tell, Tick, portions

DEATHS = 3
"""So many processes may die for each device before the run gives up."""
PORTION_ROWS = 500
"""Rows that a process is handed at a time; batches are filled across shards within them."""

Message = tuple[Literal["tick", "done", "error"], Any]


def run_here(job: Job, shards: Sequence[str], device: str | None, check: Check, tell: Tell) -> None:
    """Make shards in this process."""
    if shards:
        job.worker(device).work(shards, check, tell)


def run_processes(job: Job, shards: Sequence[str], devices: Sequence[str], check: Check, tell: Tell) -> None:
    """Make shards in a process per device.

    Raises:
        RunError: what a process raised, or too many of them died.
        Interrupted: ``check`` raised it; the processes drop their batches and end.
    """
    rows = job.shards()
    pool = _Pool(job, deque(portions({shard: rows[shard] for shard in shards}, PORTION_ROWS)), tell)
    with _threads_shared(len(devices)):
        try:
            for device in devices[: len(pool.waiting)]:
                pool.start(device)
            while pool.hands:
                check()
                pool.listen()
        finally:
            pool.stop()


@contextmanager
def _threads_shared(processes: int) -> Iterator[None]:
    """Give each process its part of the cores, where the user has not said how many threads it may have."""
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // processes))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


class _Hand:
    """One process with its device, its pipe and what it is making."""

    def __init__(self, job: Job, device: str) -> None:
        # spawn: CUDA does not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.device = device
        self.portion: list[str] = []
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(job, device, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, portion: list[str]) -> None:
        self.portion = portion
        self.pipe.send(portion)


class _Pool:
    def __init__(self, job: Job, waiting: deque[list[str]], tell: Tell) -> None:
        self.job, self.waiting, self.tell = job, waiting, tell
        self.hands: list[_Hand] = []
        self._deaths = 0

    def start(self, device: str) -> None:
        hand = _Hand(self.job, device)
        self.hands.append(hand)
        hand.give(self.waiting.popleft())

    def listen(self) -> None:
        """Take what the processes say for a moment, and hand out more work."""
        ready = wait([hand.pipe for hand in self.hands], timeout=0.2)
        for hand in [hand for hand in self.hands if hand.pipe in ready]:
            try:
                kind, value = hand.pipe.recv()
            except (EOFError, OSError):
                self._mourn(hand)
                continue
            if kind == "tick":
                self.tell(value)
            elif kind == "error":
                raise value
            elif self.waiting:
                hand.give(self.waiting.popleft())
            else:
                hand.pipe.send(None)
                self.hands.remove(hand)
                hand.process.join()

    def _mourn(self, hand: _Hand) -> None:
        hand.process.join()
        self.hands.remove(hand)
        self._deaths += 1
        if self._deaths > DEATHS:
            code = hand.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise RunError(
                f"{self._deaths} worker processes died, the last on {hand.device} by {how}; finished shards are kept: "
                "give more memory or a smaller batch_size and run the same command again"
            )
        if left := self.job.pending(hand.portion):
            self.waiting.appendleft(left)
        if self.waiting:
            self.start(hand.device)

    def stop(self) -> None:
        """End what still runs: politely, then not."""
        for hand in self.hands:
            hand.pipe.close()  # wakes one that waits for its next portion, where a signal is only noted
            hand.process.terminate()
        for hand in self.hands:
            hand.process.join(timeout=30)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()


def _serve(job: Job, device: str, pipe: Connection) -> None:
    """What a process does: make the portions it is handed until there are none."""

    def tell(tick: Tick) -> None:
        pipe.send(("tick", tick))

    with interruptible() as check:
        try:
            worker = job.worker(device)
            while (portion := pipe.recv()) is not None:
                worker.work(portion, check, tell)
                pipe.send(("done", None))
        except (Interrupted, EOFError, BrokenPipeError):
            return
        except SynthgapError as error:
            pipe.send(("error", error))
        except Exception as error:
            pipe.send(("error", RunError(f"a worker on {device} failed: {type(error).__name__}: {error}")))
