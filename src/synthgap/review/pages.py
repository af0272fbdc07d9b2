"""The pages: records for the templates, which escape all they show."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2

from synthgap.prompts import MIXTURES, RECIPES
from synthgap.prompts.adjustments import Adjustment, adjustments_text
from synthgap.review.decisions import Conflict, mark
from synthgap.review.desk import FIELDS, STATES, Desk, Standing
from synthgap.review.opening import Number
from synthgap.stages.report import formats
from synthgap.stages.report.formats import Unit
from synthgap.stages.report.page import TEMPLATES as REPORT
from synthgap.stages.report.page import with_code
from synthgap.stages.report.sets import SHAPES

OWN = Path(__file__).parent / "templates"
SHOWN = 24
"""Pictures of a class and set that a page shows at first."""
PEEK = 3
"""Pictures of a class and set in the list."""
TITLES: Mapping[str, tuple[str, Unit, str]] = {
    "centroid_accuracy": ("Accuracy", "percent", "images whose nearest natural centroid is their own class's"),
    "coverage": ("Coverage", "percent", "natural images with one of these near them"),
    "centroid_distance_ratio": ("Spread over natural", "number", "1 is as natural"),
    "centroid_shift": ("Shift", "number", "how far the middle of the class lies from nature's"),
}
"""The figures of a trial."""
SETTINGS = {"recipe": "recipe", "prompt": "prompt", "guidance_scale": "guidance", "num_inference_steps": "steps"}


@dataclass(frozen=True, slots=True)
class Pair:
    """One noise, before and after; addresses of the small and the large picture."""

    key: str
    before: str
    after: str


class Pages:
    """Every page of a desk.

    Args:
        desk: What is shown.
        token: Stands in every form.
    """

    def __init__(self, desk: Desk, token: str) -> None:
        self._desk, self._token = desk, token
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader([OWN, REPORT]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "code": with_code,
            "percent": formats.percent,
            "number": formats.number,
            "ratio": formats.ratio,
            "count": formats.count,
            "words": change_words,
            "address": lambda text: quote(text, safe=""),
        }

    def index(self, show: str, notice: str = "") -> str:
        """The list of classes; ``show`` one state, or all, and ``notice`` what was done."""
        every = self._desk.all()
        undoable = list(self._desk.decisions.undoable().values())
        counts = Counter(one.state for one in every)
        kept = [one for one in every if one.state == show] if show in STATES else every
        rows = [(one, self._peek(one)) for one in kept]
        states = [(state, counts[state]) for state in STATES if counts[state]]
        return self._render(
            "list.html.j2",
            rows=rows,
            total=len(every),
            states=states,
            show=show if show in STATES else "",
            undoable=undoable[-1] if undoable else None,
            command=self._command(),
            notice=notice,
        )

    def one(
        self,
        key: str,
        *,
        notice: str = "",
        error: str = "",
        typed: Mapping[str, str] | None = None,
        every: bool = False,
    ) -> str:
        """The page of a class; ``typed`` is what was written into a form that could not be saved."""
        desk, subject = self._desk, self._desk.subject
        standing = desk.one(key)
        keys = list(subject.classes)
        place = keys.index(key)
        sense, others = subject.sense(key)
        prompts, number_of_prompts = subject.prompts(key)
        strips = self._strips(standing, every)
        return self._render(
            "class.html.j2",
            one=standing,
            row=standing.reviewed.row,
            place=place + 1,
            total=len(keys),
            before_key=keys[place - 1] if place else "",
            next_key=keys[place + 1] if place + 1 < len(keys) else "",
            strips=strips,
            more=not every and any(left for *_, left in strips),
            pairs=self._pairs(standing),
            trial=[_trial_row(row) for row in standing.trial.rows] if standing.trial else [],
            numbers=[_number_row(number) for number in subject.numbers(key)],
            sense=sense,
            others=others,
            clearer=subject.clearer(key),
            prompts=prompts,
            number_of_prompts=number_of_prompts,
            settings={name: subject.spec[name] for name in SETTINGS if subject.spec.get(name) is not None},
            unsaved=typed is not None,
            fields=typed or _fields(standing.entry or subject.standing.get(standing.reviewed.own_key)),
            recipes=[*RECIPES, *MIXTURES],
            error=error,
            notice=notice,
            here=key,
            answer=bool(error),
        )

    def conflict(self, key: str, do: str, form: Mapping[str, str], conflict: Conflict) -> str:
        """What the file holds now, and what was about to be written."""
        standing = self._desk.one(key)
        mine = {name: form[name] for name in FIELDS if form.get(name)}
        return self._render(
            "conflict.html.j2",
            row=standing.reviewed.row,
            said=str(conflict),
            theirs=_yaml(conflict.theirs),
            mine=mine,
            do=do,
            suggestion=_yaml(standing.reviewed.suggestion) if do.startswith("accept") else "",
            fields={name: form.get(name, "") for name in FIELDS},
            seen=mark(conflict.theirs),
            answer=True,
        )

    def message(self, text: str) -> str:
        """A page that says one thing."""
        return self._render("message.html.j2", text=text)

    def status(self) -> dict[str, Any]:
        """What is being drawn, for the script."""
        drawing = self._desk.redrawing
        if drawing is None:
            return {"busy": False, "finished": 0}
        now, waiting = drawing.now, drawing.waiting
        return {
            "busy": bool(now.class_key or waiting),
            "name": self._name(now.class_key),
            "what": now.what,
            "done": now.done,
            "total": now.total,
            "waiting": len(waiting),
            "finished": drawing.finished,
        }

    def _name(self, own_key: str) -> str:
        return next((one.row.name for one in self._desk.subject.classes.values() if one.own_key == own_key), own_key)

    def _render(self, template: str, **view: Any) -> str:
        subject = self._desk.subject
        return self._environment.get_template(template).render(
            token=self._token,
            natural=subject.natural,
            target=subject.target,
            why_not=subject.why_not,
            file=_from_here(self._desk.decisions.path),
            status=self.status(),
            shapes=SHAPES,
            **{"notice": "", "here": "", "answer": False} | view,
        )

    def _peek(self, one: Standing) -> list[tuple[str, str]]:
        """A few small pictures of a class as (style, address)."""
        subject, row = self._desk.subject, one.reviewed.row
        sides = (
            ("nat", "natural", subject.natural_shelf.sample(row.key)),
            ("syn0", "before", subject.shelf.sample(one.reviewed.own_key)),
        )
        return [(style, _address(name, row.key, key)) for style, name, keys in sides for key in keys[:PEEK]]

    def _strips(self, one: Standing, every: bool) -> list[tuple[str, str, list[tuple[str, str]], int]]:
        """(style, name of the set, (key, address) of the pictures, how many are left out) of both sets."""
        subject, row = self._desk.subject, one.reviewed.row
        found = []
        for style, title, name, keys in (
            ("nat", subject.natural, "natural", subject.natural_shelf.keys(row.key)),
            ("syn0", subject.target, "before", subject.shelf.keys(one.reviewed.own_key)),
        ):
            shown = keys if every else keys[:SHOWN]
            found.append((style, title, [(key, _address(name, row.key, key)) for key in shown], len(keys) - len(shown)))
        return found

    def _pairs(self, one: Standing) -> list[Pair]:
        """The first pairs of a class that was drawn anew."""
        after = self._desk.after() if one.trial is not None else None
        if after is None:
            return []
        key, own = one.reviewed.row.key, one.reviewed.own_key
        there = set(after.keys(own))
        keys = [image for image in self._desk.subject.shelf.keys(own) if image in there][:SHOWN]
        return [
            Pair(image, _address("before", key, image), _address("after", key, image, after.version)) for image in keys
        ]

    def _command(self) -> str:
        """What draws and measures what is decided, and nothing that is only proposed."""
        subject = self._desk.subject
        words = ["synthgap", "refine", _from_here(subject.run), "--accept", ""]
        if not subject.is_main:
            words += ["--target", subject.target]
        if subject.out != subject.run / "refined":
            words += ["--out", _from_here(subject.out)]
        return shlex.join(words)


def change_words(changes: Mapping[str, Any]) -> str:
    """Changes as a reader says them.

    >>> change_words({"prompt": "a crane bird", "guidance_scale": 2.5})
    "prompt 'a crane bird', guidance 2.5"
    """
    told = []
    for name, value in changes.items():
        if name == "prompt":
            texts = [value] if isinstance(value, str) else list(value)
            more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
            told.append(f"prompt '{texts[0]}'{more}")
        else:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            told.append(f"{SETTINGS.get(name, name)} {shown}")
    return ", ".join(told)


def _address(shelf: str, class_key: str, image_key: str, version: str = "") -> str:
    """Address of a picture; ``&size=large`` after it is the large one."""
    parts = {"set": shelf, "class": class_key, "key": image_key} | ({"v": version} if version else {})
    return f"/image?{urlencode(parts)}"


def _fields(entry: Adjustment | None) -> dict[str, str]:
    if entry is None:
        return dict.fromkeys(FIELDS, "")
    return {
        "prompt": "\n".join(entry.prompts),
        "recipe": entry.recipe,
        "guidance_scale": "" if entry.guidance_scale is None else f"{entry.guidance_scale:g}",
        "num_inference_steps": "" if entry.num_inference_steps is None else str(entry.num_inference_steps),
        "reason": entry.reason,
    }


def _yaml(entry: Adjustment | None) -> str:
    return "" if entry is None else adjustments_text([entry]).partition("adjustments:\n")[2]


def _number_row(number: Number) -> dict[str, Any]:
    unit = number.definition.unit
    return {
        "label": number.definition.label,
        "blurb": number.definition.blurb,
        "value": number.found.text(unit),
        "interval": number.found.interval(unit),
        "natural": number.natural.text(unit) if number.natural.defined else "",
        "natural_interval": number.natural.interval(unit),
    }


def _trial_row(row: Mapping[str, Any]) -> dict[str, Any]:
    label, unit, blurb = TITLES.get(row["metric"], (row["metric"], "number", ""))
    values = {
        name: math.nan if row.get(name) is None else float(row[name])
        for name in ("before", "after", "natural", "difference", "ci_low", "ci_high", "p_value")
    }
    difference = formats.points(values["difference"]) if unit == "percent" else _signed(values["difference"])
    goal = (
        values["natural"]
        if math.isfinite(values["natural"])
        else 0.0
        if row["metric"] == "centroid_shift"
        else math.nan
    )
    return {
        "label": label,
        "blurb": blurb,
        "before": formats.shown(values["before"], unit),
        "after": formats.shown(values["after"], unit),
        "natural": formats.shown(values["natural"], unit) if math.isfinite(values["natural"]) else "",
        "difference": difference,
        "interval": formats.interval(values["ci_low"], values["ci_high"], unit),
        "p": _p(values["p_value"]),
        "sure": values["p_value"] < 0.05,
        "nearer": _nearer(values["before"], values["after"], goal),
        "mark": _mark(values["before"], values["after"], goal),
    }


def _from_here(path: Path) -> str:
    """A path as short as it holds: below the folder that the program runs in, or whole."""
    whole = path.resolve()
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)


def _signed(value: float) -> str:
    shown = formats.number(value)
    return f"+{shown}" if value > 0 else shown


def _p(value: float) -> str:
    if not math.isfinite(value):
        return formats.NOTHING
    return f"{value:.3f}" if value >= 0.001 else "<\u00a00.001"


def _nearer(before: float, after: float, goal: float) -> str:
    """Whether the change led to what natural images have; empty where that cannot be told."""
    if not all(map(math.isfinite, (before, after, goal))) or before == after:
        return ""
    return "nearer" if abs(after - goal) < abs(before - goal) else "further"


def _mark(before: float, after: float, goal: float) -> dict[str, float] | None:
    """Places of before, after and natural on an axis from 0 to 100."""
    if not (math.isfinite(before) and math.isfinite(after)):
        return None
    end = max([1e-12, before, after, *([goal] if math.isfinite(goal) else [])])
    found = {"before": 100 * max(0.0, before) / end, "after": 100 * max(0.0, after) / end}
    return found | ({"natural": 100 * goal / end} if math.isfinite(goal) else {})
