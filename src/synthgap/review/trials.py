"""A class drawn anew by an entry, and held against what it was: with the functions and in the folder of `synthgap refine`.

Figures are of the steering half of the natural images. The report half is left alone: a person who chose by it would
have nothing left that tells whether the choice was good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, SynthgapError
from synthgap.core.specs import RefineSpec, Resources
from synthgap.pipeline.refine_folder import RESULT, TRIALS, drawing_alone
from synthgap.pipeline.refine_judging import deciding, verdict
from synthgap.pipeline.refine_origin import Origin
from synthgap.pipeline.refine_sets import adjusted, embeddings_of, take_over
from synthgap.pipeline.run import CompareOptions, Run
from synthgap.prompts.adjustments import Adjustment, recorded_adjustments
from synthgap.stages.alignment import rename_classes, without_direction
from synthgap.stages.before_after import Facing, as_json
from synthgap.stages.embedding import embed_images
from synthgap.stages.generation import generate
from synthgap.stages.measurement.roles import both_roles
from synthgap.store.atomic import read_json, write_json
from synthgap.store.embeddings import load_embeddings
from synthgap.store.manifest import read_manifest
from synthgap.store.sets import copy_set
from synthgap.store.sources import open_images

Progress = Callable[[int, int, str], None]
TEXTS = ("class_key", "metric")
"""What of a row of figures is no number."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A class as it was drawn anew, and what came of it."""

    change: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    """Differences of the class, as in ``refine.json``; none where it has no natural images."""
    good: bool
    """Whether `synthgap refine` would keep it, judging it alone."""
    outcome: str
    """Why, in its words."""
    when: str

    def is_of(self, entry: Adjustment | None) -> bool:
        """Whether an entry asks for just this."""
        return entry is not None and dict(self.change) == entry.changes


def read_trials(out: Path) -> dict[str, Trial]:
    """The last trial of each class, by the set's own key; one that cannot be read is left out."""
    path = out / TRIALS
    try:
        found = read_json(path) if path.is_file() else {}
    except InputError:
        return {}
    trials = {}
    for key, row in found.items() if isinstance(found, dict) else ():
        try:
            trials[key] = Trial(
                dict(row["change"]),
                tuple(map(_figure, row["rows"])),
                bool(row["good"]),
                str(row["outcome"]),
                str(row["when"]),
            )
        except (KeyError, TypeError, ValueError):
            continue
    return trials


def _figure(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of figures. Raises KeyError, TypeError or ValueError for anything else."""
    texts = {name: str(row[name]) for name in TEXTS}
    return texts | {name: value if value is None else float(value) for name, value in row.items() if name not in texts}


class Bench:
    """Draws classes of one set anew and measures them; the sets are opened and embedded once, at the first trial.

    Args:
        origin: The run and the set.
        out: Folder of the refinement.
        resources: How to draw and embed.
        progress: Called with what is done, what there is in all, and what is being done; may raise to stop.
    """

    def __init__(self, origin: Origin, out: Path, resources: Resources, progress: Progress) -> None:
        self.origin, self.out = origin, out
        self._name = f"{origin.target.name} refined"
        self._options = CompareOptions(origin.encoder, origin.measure, resources, progress)
        self._opened = False

    @property
    def folder(self) -> Path:
        """The refined set."""
        return self.out / "set"

    def draw(self, entry: Adjustment, ends: Callable[[], bool] = lambda: False) -> Trial:
        """Draw one class by an entry, measure it, and write down what came of it.

        What the set holds of other classes stays, and a class that is there by this very entry is not drawn again.

        What comes to nothing is taken back, unless ``ends``, the program, by then: whoever goes on finds it.

        Raises:
            RunError: somebody else draws in the folder at the moment.
            InputError, FingerprintError, RunError, Interrupted: as drawing and embedding do.
        """
        with drawing_alone(self.out, "synthgap review"):
            return self._draw(entry, ends)

    def _draw(self, entry: Adjustment, ends: Callable[[], bool]) -> Trial:
        copy_set(self.origin.target.path, self.folder)
        self._unfinish()
        there = recorded_adjustments(read_manifest(self.folder).info.get("adjusted"))
        wanted = {one.class_key: one for one in there} | {entry.class_key: entry}
        try:
            self._generate(wanted.values(), self._since_begin())
            rows, good, outcome = self._measured(entry.class_key)
        except SynthgapError:
            if not ends():
                with suppress(SynthgapError):  # the first error tells more
                    self._generate(there, None)
            raise
        trial = Trial(entry.changes, rows, good, outcome, datetime.now().astimezone().isoformat(timespec="seconds"))
        kept = {key: asdict(one) for key, one in read_trials(self.out).items()}
        write_json(self.out / TRIALS, kept | {entry.class_key: asdict(trial)})
        return trial

    def _generate(self, adjustments: Iterable[Adjustment], progress: Progress | None) -> None:
        with adjusted(self.origin.spec, adjustments) as spec:
            generate(spec, self.folder, self._options.resources, progress)

    def _since_begin(self) -> Progress:
        """Progress of what is drawn now: the images of all other classes are there from the first call on."""
        tell, there = self._options.progress, list[int]()

        def report(done: int, total: int, what: str) -> None:
            there.append(done)
            if tell is not None:
                tell(done - there[0], total - there[0], what)

        return report

    def _unfinish(self) -> None:
        """An earlier ``refine.json`` no longer speaks of the set."""
        found = read_json(self.out / RESULT)
        if not isinstance(found, dict):
            raise InputError(f"{self.out / RESULT}: not the result of a refinement; give a new folder: --out DIR")
        if found.get("finished"):
            write_json(self.out / RESULT, found | {"finished": False})

    def _open(self) -> None:
        origin = self.origin
        sets = (origin.natural, origin.target, *origin.others)
        for one in sets:
            take_over(origin.run, one.name, self.out, one.name)
        take_over(origin.run, origin.target.name, self.out, self._name)
        self._study = Run(self.out, self._options).study(sets)
        self._steering, self._report = both_roles(self._study.natural, origin.measure.seed)
        self._opened = True

    def _measured(self, class_key: str) -> tuple[tuple[Mapping[str, Any], ...], bool, str]:
        """Differences of a class, whether refine would keep it, and why."""
        if not self._opened:
            self._open()
        options, study, measure = self._options, self._study, self.origin.measure
        renamed = study.aligned.renamed[self.origin.target.name]
        if class_key not in renamed:
            return (), True, "not judged: no natural images of this class"
        folder, key = embeddings_of(self.out, self._name), renamed[class_key]
        embed_images(open_images(self.folder), options.encoder, folder, options.resources, options.progress)
        images = without_direction(load_embeddings(folder).renamed(self._name))
        after = rename_classes(images, renamed, study.aligned.names)
        # Natural images of the other half tell what nature reaches; no drawn image is held against them.
        facing = Facing(self._steering, study.main, after, measure, RefineSpec().permutations, self._report)
        rows = tuple(as_json(row) for row in facing.measure([key]) if row.class_key == key)
        figures = deciding(self._steering, study.main, after, measure, [key])
        return rows, *verdict(key, figures, keep_worse=False)
