"""Drawing in the background while pages are shown: one class at a time, in the order asked."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from synthgap.core.errors import Interrupted, SynthgapError
from synthgap.prompts.adjustments import Adjustment
from synthgap.review.trials import Bench, Progress

PATIENCE = 10.0
"""Seconds to wait for a batch that is being drawn when the program ends; files are whole at any time."""

ENDING = "ends after this batch"


@dataclass(frozen=True, slots=True)
class Now:
    """What is being drawn at the moment."""

    class_key: str = ""
    """The set's own key; empty when nothing is."""
    what: str = ""
    done: int = 0
    total: int = 0


class Redrawing:
    """A thread that draws what it is asked.

    Args:
        bench: Given the thread's progress, what to draw with.
    """

    def __init__(self, bench: Callable[[Progress], Bench]) -> None:
        self._bench = bench(self._tell)
        self._waiting: deque[Adjustment] = deque()
        self._lock = threading.Lock()
        self._stopped, self._cancelled = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.now = Now()
        self.finished = 0
        """Trials that have ended since the program began, well or not."""
        self.failed: dict[str, str] = {}
        """What became of the last trial of a class, where it did not end well, by the set's own key: a sentence."""

    @property
    def waiting(self) -> tuple[str, ...]:
        """Classes that are asked for and not begun."""
        with self._lock:
            return tuple(entry.class_key for entry in self._waiting)

    def ask(self, entry: Adjustment) -> None:
        """Draw a class by an entry as soon as those before it are done; a later wish for a class replaces an earlier."""
        with self._lock:
            kept = [one for one in self._waiting if one.class_key != entry.class_key]
            self._waiting = deque([*kept, entry])
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._work, name="redrawing", daemon=True)
                self._thread.start()

    def cancel(self) -> bool:
        """Drop what is not begun, and end what is being drawn after its batch; returns whether anything is."""
        with self._lock:
            self._waiting.clear()
            if not self.now.class_key:
                return False
            self._cancelled.set()
            self.now = replace(self.now, what=ENDING)
            return True

    def stop(self) -> None:
        """Drop what is not drawn yet, and wait for the batch at hand."""
        self._stopped.set()
        thread = self._thread
        if thread is not None:
            thread.join(PATIENCE)

    def join(self) -> None:
        """Wait until all is drawn."""
        while (thread := self._thread) is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._stopped.is_set() or not self._waiting:
                    self._thread, self.now = None, Now()
                    return
                self._cancelled.clear()
                entry = self._waiting.popleft()
                self.now = Now(entry.class_key, "beginning")
            self._draw(entry)

    def _draw(self, entry: Adjustment) -> None:
        self.failed.pop(entry.class_key, None)
        try:
            self._bench.draw(entry, self._stopped.is_set)
        except Interrupted:
            self.failed[entry.class_key] = "Drawing was stopped; the class is as it was before"
        except SynthgapError as error:
            self.failed[entry.class_key] = f"Drawing failed: {error}"
        except Exception as error:  # ours to mend: the traceback goes to the terminal, the pages live on
            traceback.print_exc()
            self.failed[entry.class_key] = f"Drawing failed: {type(error).__name__}: {error}"
        self.finished += 1

    def _tell(self, done: int, total: int, what: str) -> None:
        if self._stopped.is_set() or self._cancelled.is_set():
            raise Interrupted("drawing was stopped")
        self.now = replace(self.now, what=what, done=done, total=total)
