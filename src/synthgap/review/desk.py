"""The desk: what a person sees of each class, and what they can do with it. No web in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from synthgap.core.errors import InputError
from synthgap.core.specs import Resources
from synthgap.pipeline.refine_folder import ADJUSTMENTS
from synthgap.pipeline.refine_origin import Where
from synthgap.prompts.adjustments import Adjustment, recorded_adjustments
from synthgap.review.decisions import UNDO, Decisions, Event, mark, person
from synthgap.review.opening import Reviewed, Subject
from synthgap.review.pictures import Shelf
from synthgap.review.redrawing import Redrawing
from synthgap.review.trials import Bench, Trial, read_trials
from synthgap.store.sources import open_images

State = Literal["open", "decided", "drawing", "redrawn", "kept", "brought back", "left alone", "undone", ""]
"""``redrawn``: to be kept or undone. ``brought back``: `synthgap refine` did. Empty: sound, and nobody wants a change."""
STATES = get_args(State)[:-1]
FIELDS = ("prompt", "recipe", "guidance_scale", "num_inference_steps", "reason")
"""What a person may write."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One class as it stands."""

    reviewed: Reviewed
    entry: Adjustment | None
    state: State
    mark: str
    """Of the entry: what a decision must name, so that nobody's words are lost."""
    trial: Trial | None
    """The last one, where it is of the entry."""
    undoable: Event | None
    """What undo would take back."""
    failed: str
    """What became of the last drawing of the class, where nothing did, as a sentence without its stop."""


class Desk:
    """One set under review.

    Args:
        run: Folder of a comparison or a study.
        out: Folder of its refinement; ``run/refined`` by default.
        target: Name of the set; the run's main one by default.
        where: Paths that the run does not tell.
        resources: How to draw and embed.

    Raises:
        InputError: as `Subject`; or ``adjustments.yaml`` is broken.
    """

    def __init__(
        self,
        run: Path,
        out: Path | None = None,
        target: str | None = None,
        where: Where | None = None,
        resources: Resources | None = None,
    ) -> None:
        self.subject = subject = Subject(run, out, target, where)
        self.decisions = Decisions(subject.out / ADJUSTMENTS, subject.entries, person(subject.run))
        self.decisions.read()
        self.redrawing: Redrawing | None = None
        if (origin := subject.origin) is not None:
            made = resources or Resources()
            self.redrawing = Redrawing(lambda tell: Bench(origin, subject.out, made, tell))
        self._after: tuple[int, Shelf] | None = None

    def close(self) -> None:
        """End what is being drawn."""
        if self.redrawing is not None:
            self.redrawing.stop()

    def all(self) -> list[Standing]:
        """Every class as it stands, worst first."""
        entries, trials = self.decisions.read(), read_trials(self.subject.out)
        undoable, last = self.decisions.undoable(), self.decisions.last()
        drawing = self.redrawing
        busy = {drawing.now.class_key, *drawing.waiting} if drawing is not None else set()
        found = []
        for one in self.subject.classes.values():
            key = one.own_key
            entry, trial, event = entries.get(key), trials.get(key), undoable.get(key)
            trial = trial if trial is not None and trial.is_of(entry) else None
            state = _state(one, entry, trial is not None, key in last and last[key].action == UNDO)
            failed = drawing.failed.get(key, "") if drawing is not None else ""
            state = "drawing" if key in busy else state
            found.append(Standing(one, entry, state, mark(entry), trial, event, failed))
        return found

    def one(self, key: str) -> Standing:
        """One class by the run's key. Raises KeyError."""
        wanted = self.subject.classes[key]
        return next(one for one in self.all() if one.reviewed is wanted)

    def after(self) -> Shelf | None:
        """The pictures of the refined set; None before anything was drawn, and while it is being drawn."""
        drawing = self.redrawing
        if drawing is None:
            return None
        if self._after is None or self._after[0] != drawing.finished:
            try:
                shelf = Shelf(open_images(self.subject.out / "set"), {})
            except InputError:
                return None
            self._after = (drawing.finished, shelf)
        return self._after[1]

    def accept(self, key: str, seen: str) -> None:
        """Decide for what the finding proposes. Raises InputError where it proposes nothing."""
        one = self.subject.classes[key]
        if one.suggestion is None:
            raise InputError(f"{one.row.name}: there is no suggestion to accept{_because(one.why_none)}")
        self._decide(one, one.suggestion, seen, "accept")

    def save(self, key: str, seen: str, typed: Mapping[str, str]) -> None:
        """Decide for what a person typed, one of `FIELDS` each.

        Raises InputError, naming the field, for anything that cannot be drawn by, or where nothing changes.
        """
        one = self.subject.classes[key]
        self._decide(one, self._entry(one, typed), seen, "edit")

    def leave(self, key: str, seen: str) -> None:
        """Decide that a class stays as it is, whatever is proposed."""
        one = self.subject.classes[key]
        entry = self.decisions.read().get(one.own_key) or one.suggestion
        if entry is None:  # an entry must say what it does not do: the set's own recipe changes nothing
            entry = Adjustment(one.own_key, recipe=str(self.subject.spec.get("recipe") or "name"))
        self._decide(one, replace(entry, apply=False, outcome=""), seen, "leave alone")

    def keep(self, key: str, seen: str) -> None:
        """Keep a class as it was drawn anew. Raises InputError where it was not."""
        standing = self.one(key)
        if standing.trial is None or standing.entry is None:
            raise InputError(f"{standing.reviewed.row.name}: was not drawn by this decision yet; redraw it first")
        outcome = f"kept by eye; {standing.trial.outcome.rpartition(':')[0] or standing.trial.outcome}"
        self._decide(standing.reviewed, replace(standing.entry, apply=True, outcome=outcome), seen, "keep")

    def undo(self, number: int) -> tuple[str, str]:
        """Take back a decision by its number in the journal; returns the class and what was undone.

        Raises InputError where it cannot be.
        """
        event = self.decisions.undo(number)
        of = next((one.row for one in self.subject.classes.values() if one.own_key == event.class_key), None)
        return (of.key if of else "", f"{of.name if of else event.class_key}: {event.action} undone")

    def redraw(self, key: str) -> None:
        """Draw a class by its entry, in the background. Raises InputError where that cannot be."""
        one = self.subject.classes[key]
        if self.redrawing is None:
            raise InputError(f"cannot be redrawn: {self.subject.why_not}")
        entry = self.decisions.read().get(one.own_key)
        if entry is None or not entry.apply:
            raise InputError(f"{one.row.name}: nothing is decided that it could be drawn by; accept or edit first")
        self.subject.claim()
        self.redrawing.ask(entry)

    def stop_drawing(self) -> str:
        """End what is being drawn after its batch, and drop what waits; returns what to say."""
        waiting = len(self.redrawing.waiting) if self.redrawing is not None else 0
        if self.redrawing is None or not self.redrawing.cancel():
            return "nothing is being drawn"
        more = f", and {waiting} that waited {'is' if waiting == 1 else 'are'} not drawn" if waiting else ""
        return f"drawing ends after the batch at hand{more}"

    def _decide(self, one: Reviewed, entry: Adjustment, seen: str, action: str) -> None:
        self.subject.claim()
        self.decisions.decide(one.own_key, entry, seen, action)

    def _entry(self, one: Reviewed, typed: Mapping[str, str]) -> Adjustment:
        prompts = [line.strip() for line in typed.get("prompt", "").splitlines() if line.strip()]
        change: dict[str, Any] = {"prompt": prompts} if prompts else {}
        if recipe := typed.get("recipe", "").strip():
            change["recipe"] = recipe
        for name, kind, words in (
            ("guidance_scale", float, "a number"),
            ("num_inference_steps", int, "a whole number"),
        ):
            if text := typed.get(name, "").strip():
                try:
                    change[name] = kind(text)
                except ValueError:
                    raise InputError(f"{name.replace('_', ' ')} is {text[:40]!r}; expected {words}") from None
        if not change:
            raise InputError("nothing is changed: write a prompt, or choose a recipe, guidance or steps")
        try:
            (entry,) = recorded_adjustments({one.own_key: change})
        except InputError as error:  # it begins with the place in a file, and there is none
            raise InputError(str(error).partition(": ")[2]) from None
        spec = self.subject.spec
        was = {
            name: spec[name]
            for name in ("guidance_scale", "num_inference_steps")
            if change.get(name) and spec.get(name)
        }
        if (prompts or recipe) and spec.get("recipe"):
            was = {"recipe": spec["recipe"]} | was
        return replace(entry, was=was, reason=typed.get("reason", ""))


def _state(one: Reviewed, entry: Adjustment | None, tried: bool, undone: bool) -> State:
    if entry is not None and not entry.apply:
        return "brought back" if entry.outcome else "left alone"
    if entry is not None:
        return "kept" if entry.outcome else "redrawn" if tried else "decided"
    if undone:
        return "undone"
    return "open" if one.row.flagged else ""


def _because(why: str) -> str:
    return f": {why}" if why else ""
