"""What every executor runs: a job of many shards, each of which any process may make, as often as it likes, the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from synthgap.core.counting import counted
from synthgap.core.errors import RunError

Check = Callable[[], None]
"""Raises Interrupted when the run is to stop."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Rows that were just made; sent from wherever the work is done to where it is counted."""

    rows: int
    failed: int = 0
    error: str = ""
    """The first reason."""
    found: bool = False
    """There already, and not made now."""


Tell = Callable[[Tick], None]


class Worker(Protocol):
    """Makes shards in one process, on one device."""

    def work(self, shards: Sequence[str], check: Check, tell: Tell) -> None:
        """Make the shards, in order; each is whole or not there at all when this returns or raises."""
        ...


class Job(Protocol):
    """What is to be made. Picklable: it may travel to another process or machine that sees the same folders."""

    def shards(self) -> Mapping[str, int]:
        """All shards and their rows, in order."""
        ...

    def pending(self, shards: Iterable[str]) -> list[str]:
        """Those of the shards that are not whole yet."""
        ...

    def worker(self, device: str | None) -> Worker:
        """Load the model on a device; None for the best there is."""
        ...


class Tally:
    """How far a job is, and whether too much of it failed.

    Args:
        total: rows in all.
        budget: share of failed rows at which the run stops; None for no limit.
        report: called with rows done and rows in all.
    """

    LEAST = 20
    """The budget is not looked at before this many rows."""

    def __init__(self, total: int, budget: float | None, report: Callable[[int, int], None] | None) -> None:
        self._total, self._budget, self._report = total, budget, report
        self._found = self._made = self._failed = 0
        self._error = ""

    def add(self, tick: Tick) -> None:
        """Count rows; raises RunError once more than the budget of at least ``LEAST`` rows failed."""
        if tick.found:
            self._found += tick.rows
        else:
            self._made += tick.rows
        self._failed += tick.failed
        self._error = self._error or tick.error
        if self._budget is not None and self._made >= self.LEAST and self._failed > self._budget * self._made:
            self._stop()
        if self._report is not None:
            self._report(min(self._total, self._found + self._made), self._total)

    def close(self) -> None:
        """Raise RunError where not one row came out, however few there were to make."""
        if self._made and self._failed == self._made:
            self._stop()

    def _stop(self) -> None:
        budget = f", more than failure_budget {self._budget:g} allows" if self._budget is not None else ""
        raise RunError(
            f"{self._failed} of {counted(self._made, 'image')} failed{budget}; "
            f"the first: {self._error}; mend the cause and run the same command again"
        )


def portions(shards: Mapping[str, int], rows: int) -> Iterator[list[str]]:
    """Consecutive shards in portions of at least ``rows`` rows, the last one smaller: what a process is handed at a time."""
    portion: list[str] = []
    held = 0
    for shard, count in shards.items():
        portion.append(shard)
        held += count
        if held >= rows:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion
