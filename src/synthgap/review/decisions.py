"""Decisions: the adjustments of a refinement, changed one class at a time by a person, and the journal that undoes them."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.records import ClassEntry
from synthgap.pipeline.refine_folder import JOURNAL, writing_decisions
from synthgap.prompts.adjustments import Adjustment, adjustments_text, read_adjustments
from synthgap.stages.generation import write_adjustments
from synthgap.store.atomic import own_errors

UNDO = "undo"


class Conflict(InputError):
    """Somebody else has decided on the class since the reader saw it; ``theirs`` is what the file holds now."""

    def __init__(self, class_key: str, theirs: Adjustment | None) -> None:
        super().__init__(
            f"{class_key} was decided on by others since this page was shown; nothing was written: compare, and choose"
        )
        self.theirs = theirs


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal: what a class was before a decision, and after it."""

    number: int
    class_key: str
    action: str
    before: Adjustment | None
    after: Adjustment | None
    undoes: int | None = None
    """Number of the event that this one takes back."""
    who: str = ""
    when: str = ""


class Decisions:
    """The decisions of one refinement.

    The file is read anew for each decision, which changes one class of it: what others have written about
    other classes stays, also what another process writes. Entries are in the order of the class keys, so that two people's decisions merge line by line.

    Args:
        path: ``adjustments.yaml``, which need not be there yet; the journal lies beside it.
        entries: Classes of the set.
        who: The person who decides.
    """

    def __init__(self, path: Path, entries: Sequence[ClassEntry], who: str) -> None:
        self.path, self.entries, self.who = path, entries, who
        names = Counter(one.name for one in entries)
        self._keys = {one.name: one.class_key for one in entries if names[one.name] == 1}
        self._keys |= {one.class_key: one.class_key for one in entries}
        self._lock = threading.Lock()
        self._parsed: tuple[tuple[int, int, int], dict[str, Adjustment]] | None = None

    def read(self) -> dict[str, Adjustment]:
        """Entry by class key of the set, parsed anew when the file is another. Raises InputError where it is broken."""
        if not self.path.is_file():
            return {}
        status = self.path.stat()
        signature = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._parsed is None or self._parsed[0] != signature:
            self._parsed = (signature, self._parse())
        return dict(self._parsed[1])

    def _parse(self) -> dict[str, Adjustment]:
        if not self.path.is_file():
            return {}
        return {one.class_key: one for one in read_adjustments(self.path, self.entries)}

    def decide(self, class_key: str, wanted: Adjustment | None, seen: str, action: str) -> None:
        """Write what is decided of a class; None for no entry. What the file says already is not written again.

        Args:
            class_key: The set's own.
            wanted: The entry; who and when are filled in.
            seen: ``mark`` of the entry that the reader saw.
            action: For the journal.

        Raises:
            Conflict: the entry is another one now.
            InputError: the file is broken.
            RunError: it cannot be written.
        """
        with self._lock, writing_decisions(self.path.parent):
            there = self._parse()
            before = there.get(class_key)
            if wanted is not None:
                wanted = _tidy(replace(wanted, who=self.who, when=date.today().isoformat()))
            if mark(before) != seen:
                if _same(before, wanted):  # the same form once more
                    return
                raise Conflict(class_key, before)
            self._write(there, class_key, wanted)
            self._log(class_key, action, before, wanted)

    def undo(self, number: int) -> Event:
        """Take back a decision that the reader saw, the last one of its class; returns it.

        Raises:
            InputError: it is taken back already, or the class was decided on since.
        """
        if not self.path.with_name(JOURNAL).is_file():
            raise InputError("nothing is left to undo")
        with self._lock, writing_decisions(self.path.parent):
            event = next((one for one in self.undoable().values() if one.number == number), None)
            if event is None:
                raise InputError("that decision is undone already, or another was taken since: look again")
            there = self._parse()
            if mark(there.get(event.class_key)) != mark(event.after):
                raise InputError(
                    f"{event.class_key} was changed by others since that decision, so it is not undone; decide anew"
                )
            self._write(there, event.class_key, event.before)
            self._log(event.class_key, UNDO, event.after, event.before, event.number)
            return event

    def undoable(self) -> dict[str, Event]:
        """The decision of each class that would be taken back next, the last of all at the end."""
        events = self.journal()
        undone = {event.undoes for event in events}
        standing = [event for event in events if event.action != UNDO and event.number not in undone]
        last = {event.class_key: event for event in standing}
        return {event.class_key: event for event in standing if event is last[event.class_key]}

    def last(self) -> dict[str, Event]:
        """The last event of each class."""
        return {event.class_key: event for event in self.journal()}

    def journal(self) -> list[Event]:
        """Every event in order; a line that was cut by a crash, or is none of ours, is left out."""
        path = self.path.with_name(JOURNAL)
        if not path.is_file():
            return []
        found = (self._event(number, line) for number, line in enumerate(path.read_bytes().splitlines()))
        return [event for event in found if event is not None]

    def _event(self, number: int, line: bytes) -> Event | None:
        try:
            row = json.loads(line)
            # Where the set was not there, the run's names of classes had to do.
            key = self._keys.get(str(row["class"]), str(row["class"]))
            before, after = (None if row[name] is None else _entry(row[name], key) for name in ("before", "after"))
            undoes = row.get("undoes")
            if not isinstance(undoes, int | None):
                return None
            who, when = str(row.get("who", "")), str(row.get("when", ""))
            return Event(number, key, str(row["action"]), before, after, undoes, who, when)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def _write(self, there: Mapping[str, Adjustment], class_key: str, wanted: Adjustment | None) -> None:
        kept = {key: one for key, one in there.items() if key != class_key}
        if wanted is not None:
            kept[class_key] = wanted
        write_adjustments(self.path, kept.values())

    def _log(
        self,
        class_key: str,
        action: str,
        before: Adjustment | None,
        after: Adjustment | None,
        undoes: int | None = None,
    ) -> None:
        row: dict[str, Any] = {
            "class": class_key,
            "action": action,
            "before": None if before is None else asdict(before),
            "after": None if after is None else asdict(after),
            "who": self.who,
            "when": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        row |= {} if undoes is None else {"undoes": undoes}
        path = self.path.with_name(JOURNAL)
        with own_errors(path), path.open("a+b") as handle:
            end = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, end - 1))
            whole = end == 0 or handle.read(1) == b"\n"
            handle.write((b"" if whole else b"\n") + json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())


def mark(entry: Adjustment | None) -> str:
    """What tells one entry from another; empty for none.

    >>> mark(None)
    ''
    """
    return "" if entry is None else fingerprint(adjustments_text([entry]))


def person(folder: Path) -> str:
    """Who decides: git's user name, else the account's."""
    try:
        asked = subprocess.run(
            ["git", "config", "user.name"], cwd=folder, capture_output=True, text=True, timeout=5, check=False
        )
        if name := " ".join(asked.stdout.split()):
            return name
    except (OSError, subprocess.SubprocessError):
        pass  # no git here
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return "review"


def _tidy(one: Adjustment) -> Adjustment:
    """The entry as it comes back from the file: texts on one line."""
    texts: dict[str, Any] = {
        name: " ".join(getattr(one, name).split()) for name in ("reason", "who", "when", "outcome")
    }
    return replace(one, prompts=tuple(" ".join(text.split()) for text in one.prompts), **texts)


def _same(one: Adjustment | None, other: Adjustment | None) -> bool:
    """Whether two entries say the same, whoever wrote them, and when."""
    return mark(one and replace(one, who="", when="")) == mark(other and replace(other, who="", when=""))


def _entry(row: Mapping[str, Any], class_key: str) -> Adjustment:
    """An entry of the journal. Raises TypeError, ValueError, KeyError or AttributeError for what is none."""
    texts = [*row["prompts"], *(row[name] for name in ("recipe", "reason", "who", "when", "outcome"))]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("no text")
    kept = {"class_key": class_key, "prompts": tuple(row["prompts"]), "was": dict(row["was"])}
    return Adjustment(**{**row, **kept})
