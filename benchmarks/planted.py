"""Faults of known kind and strength, planted in sets of embeddings: what `diagnosis.py` counts findings on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from simulated import Vectors, World, make_set

from synthgap.core.specs import MeasureSpec
from synthgap.stages.diagnosis import Case, SweepSet, diagnose
from synthgap.store.embeddings import EmbeddingSet

CAUSES = ("ambiguous", "wrong-concept", "over-adherent", "under-adherent", "low-diversity", "concept-missing", "sound")
STRENGTHS = {"full": 1.0, "half": 0.5}
RAISED = 0.43
"""How much narrower guidance 7.5 makes the lab's classes: their centroid distance, of the fourth power, is a ninth."""


LOST = 0.75
"""Share of the accuracy above chance that guidance 1 loses in the lab, of what natural images have."""
HIGH, LOW = 7.5, 1.0
"""Guidance of a trial's set; the other of its sweep has the other."""


class Place(Protocol):
    """Classes to draw images of, and for each a concept that is no class."""

    classes: int
    rng: np.random.Generator

    def draw(self, index: int, n: int) -> Vectors: ...
    def draw_other(self, index: int, n: int) -> Vectors: ...
    def as_drawn(self, index: int, images: Vectors) -> Vectors: ...
    def mean(self, index: int) -> Vectors: ...
    def other_mean(self, index: int) -> Vectors: ...
    def prompts(self) -> tuple[Vectors, Vectors]: ...


class Simulated:
    """A simulated world. The synthetic images have all moved a little, as those of any generator have; the angles among
    those of a class stay, and its prompt, off in the modality gap, points its way: without a plant there is no fault.
    """

    def __init__(self, world: World, shared: float) -> None:
        self.world, self.rng, self.classes = world, world.rng, world.classes
        self.shared = world.direction(shared)
        self.offsets = [world.elsewhere(index) for index in range(world.classes)]
        basis = np.linalg.qr(np.stack(world.means, axis=1))[0]
        gap = world.direction(1.0)
        gap -= basis @ (basis.T @ gap)
        self.gap = 3.0 * gap / np.linalg.norm(gap)

    def as_drawn(self, index: int, images: Vectors) -> Vectors:
        """The images as the generator would draw them."""
        mean = self.mean(index)
        wider = np.linalg.norm(mean + self.shared) / np.linalg.norm(mean)
        return mean + self.shared + wider * (images - mean)

    def draw(self, index: int, n: int) -> Vectors:
        return self.world.draw(index, n)

    def draw_other(self, index: int, n: int) -> Vectors:
        return self.world.draw(index, n, offset=self.offsets[index])

    def mean(self, index: int) -> Vectors:
        return self.world.means[index]

    def other_mean(self, index: int) -> Vectors:
        return self.world.means[index] + self.offsets[index]

    def prompts(self) -> tuple[Vectors, Vectors]:
        own, other = (
            [2 * mean(index) / np.linalg.norm(mean(index)) + self.gap for index in range(self.classes)]
            for mean in (self.mean, self.other_mean)
        )
        noise = [self.world.direction(0.05) for _ in own]
        return np.stack(own) + noise, np.stack(other) + noise


class Real:
    """Embeddings of real images, half of them standing for synthetic ones; some classes are held out as other concepts."""

    HELD_OUT = 3

    def __init__(self, images: EmbeddingSet, texts: Vectors, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        keys = np.array(images.class_keys)
        order = self.rng.permutation(len(images.classes))
        self.listed, self.held = order[: -self.HELD_OUT], order[-self.HELD_OUT :]
        self.classes, self.texts = len(self.listed), texts
        names = list(images.classes)
        self.pools = [images.embeddings[keys == name] for name in names]
        self.turns = [self.rng.permutation(len(pool)) for pool in self.pools]
        self.taken = [0] * len(names)
        self.others = [self.held[self.rng.integers(self.HELD_OUT)] for _ in self.listed]

    def _take(self, which: int, n: int) -> Vectors:
        """Images that were not taken before."""
        start, self.taken[which] = self.taken[which], self.taken[which] + n
        rows = self.turns[which][start : start + n]
        if len(rows) < n:
            raise ValueError(f"class {which} has {len(self.turns[which])} images, too few")
        return self.pools[which][rows].astype(np.float64)

    def draw(self, index: int, n: int) -> Vectors:
        return self._take(self.listed[index], n)

    def draw_other(self, index: int, n: int) -> Vectors:
        return self._take(self.others[index], n)

    def as_drawn(self, index: int, images: Vectors) -> Vectors:
        return images

    def mean(self, index: int) -> Vectors:
        return self.pools[self.listed[index]].mean(axis=0, dtype=np.float64)

    def other_mean(self, index: int) -> Vectors:
        return self.pools[self.others[index]].mean(axis=0, dtype=np.float64)

    def prompts(self) -> tuple[Vectors, Vectors]:
        return self.texts[self.listed], self.texts[self.others]


class Drawn(Real):
    """The same of images that a generator drew, which can also be had at other guidances."""

    def __init__(self, images: EmbeddingSet, texts: Vectors, other: dict[str, EmbeddingSet], seed: int) -> None:
        super().__init__(images, texts, seed)
        names = list(images.classes)
        self.other_pools = {
            what: [one.embeddings[np.array(one.class_keys) == name].astype(np.float64) for name in names]
            for what, one in other.items()
        }

    def raised(self, index: int, n: int, strength: str) -> tuple[Vectors, float]:
        """Images at a higher guidance, and the share of diversity that it takes."""
        pool = self.other_pools[f"raised {strength}"][self.listed[index]]
        lost = 1 - spread(pool) / spread(self.pools[self.listed[index]].astype(np.float64))
        return pool[self.rng.permutation(len(pool))[:n]], lost

    def lowered(self, index: int, n: int, strength: str) -> tuple[Vectors, float]:
        """Images at a lower guidance, and the share of accuracy above chance that it takes."""
        means = np.stack([self.mean(one) for one in range(self.classes)])
        pool = self.other_pools[f"lowered {strength}"][self.listed[index]]
        usual = _found_by(means, self.pools[self.listed[index]].astype(np.float64), index)
        lost = (usual - _found_by(means, pool, index)) / (usual - 1 / self.classes)
        return pool[self.rng.permutation(len(pool))[:n]], max(0.0, lost)


@dataclass
class Trial:
    """Sets in the making: faults change the images of a class, its prompt, or both."""

    place: Place
    n: int
    synthetic: list[Vectors]
    swept: list[Vectors]
    """The same drawn at another guidance."""
    prompts: Vectors
    other_prompts: Vectors


def merged(trial: Trial, index: int, strength: float) -> float:
    """A share of the images shows another concept, in no class of the list."""
    return _mix(trial, index, strength, trial.place.draw_other)


def swapped(trial: Trial, index: int, strength: float) -> float:
    """All images lie that far on the way to another concept."""
    place = trial.place
    if strength == 1:
        return _mix(trial, index, 1.0, place.draw_other)
    way = strength * (place.other_mean(index) - place.mean(index))
    for parts in (trial.synthetic, trial.swept):
        parts[index] = parts[index] + way
    return strength


def neighbour(trial: Trial, index: int, strength: float) -> float:
    """A share of the images shows the nearest other class of the list."""
    nearest = _nearest(trial.place, index)
    return _mix(trial, index, strength, lambda _, n: trial.place.draw(nearest, n))


def nail(trial: Trial, index: int, strength: float) -> float:
    """Prompt and images agree on something else than the natural class shows (M reason 4)."""
    swapped(trial, index, strength)
    trial.prompts[index] += strength * (trial.other_prompts[index] - trial.prompts[index])
    return strength


def hammer(trial: Trial, index: int, strength: float) -> float:
    """The encoder lost the class: its prompt misses that share of the images it would find (M reason 4)."""
    centre = np.delete(trial.prompts, index, axis=0).mean(axis=0)
    own = trial.prompts[index].copy()
    natural = np.concatenate([trial.synthetic[index], trial.swept[index]])
    usual = _found_by(trial.prompts, natural, index)

    def missing(way: float) -> float:
        moved = trial.prompts.copy()
        moved[index] = own + way * 2 * (centre - own)
        return 1 - _found_by(moved, natural, index) / max(usual, 1e-9)

    way = 1.0 if strength == 1 else _solve(missing, strength)
    trial.prompts[index] = own + way * 2 * (centre - own)
    return strength


def guidance(trial: Trial, index: int, strength: float) -> float:
    """The images are drawn towards their mean, or drawn at a higher guidance; a lower one gives the spread back."""
    if isinstance(trial.place, Drawn):
        trial.synthetic[index], lost = trial.place.raised(index, trial.n, "full" if strength == RAISED else "half")
        return lost
    return _shrunk(trial.synthetic, index, strength)


def unguided(trial: Trial, index: int, strength: float) -> float:
    """Every image lies on the way to some other class, each to another, and a higher guidance brings it back.

    How far is chosen for the accuracy that is lost, of the nearest of the classes' means.
    """
    if isinstance(trial.place, Drawn):
        trial.synthetic[index], lost = trial.place.lowered(index, trial.n, "full" if strength == LOST else "half")
        return lost
    return _scattered(trial.synthetic, trial.place, index, strength)


def alike(trial: Trial, index: int, strength: float) -> float:
    """The same, and no guidance gives it back."""
    _shrunk(trial.swept, index, strength)
    return _shrunk(trial.synthetic, index, strength)


def repeated(trial: Trial, index: int, strength: float, change: float = 0.0) -> float:
    """A share of the images is one picture."""
    count = round(strength * trial.n)
    for parts in (trial.synthetic, trial.swept):
        own = parts[index]
        middle = own.mean(axis=0)
        varied = own[:1] + change * (own[:count] - middle)
        parts[index] = np.concatenate([varied, own[count:]])
    return strength


def varied(trial: Trial, index: int, strength: float) -> float:
    """A share of the images is one picture, slightly changed."""
    return repeated(trial, index, strength, change=0.1)


@dataclass(frozen=True)
class Plant:
    """A kind of fault, the cause to be found, and its full strength."""

    plant: Callable[[Trial, int, float], float]
    """Changes a trial by a strength and says how severe that is, in [0, 1]."""
    cause: str
    full: float
    sweep: bool | None = None
    """Whether a set at another guidance is given; None for either."""
    guidance: float | None = None
    """Guidance of the set; None for either."""


PLANTS = {
    "senses merged": Plant(merged, "ambiguous", 0.5),
    "senses swapped": Plant(swapped, "ambiguous", 1.0),
    "neighbour class": Plant(neighbour, "wrong-concept", 1.0),
    "wrong meaning": Plant(nail, "wrong-concept", 1.0),
    "guidance, sweep": Plant(guidance, "over-adherent", RAISED, sweep=True, guidance=HIGH),
    "guidance, no sweep": Plant(guidance, "low-diversity", RAISED, sweep=False),
    "alike at any": Plant(alike, "low-diversity", RAISED, sweep=True),
    "unguided, sweep": Plant(unguided, "under-adherent", LOST, sweep=True, guidance=LOW),
    "unguided, no sweep": Plant(unguided, "under-adherent", LOST, sweep=False, guidance=LOW),
    "repeated": Plant(repeated, "low-diversity", 0.9),
    "varied": Plant(varied, "low-diversity", 0.9),
    "class lost": Plant(hammer, "concept-missing", 1.0),
}


@dataclass(frozen=True)
class Row:
    """What was planted in a class and what was found."""

    family: str
    n: int
    kind: str
    strength: str
    planted: float
    expected: str
    cause: str
    severity: float
    evidence: str


def run_trial(place: Place, family: str, n: int, kinds: Sequence[str], strength: str) -> list[Row]:
    """Plant faults of these kinds in as many classes, diagnose, and say what was found in every class."""
    sweep = next((PLANTS[kind].sweep for kind in kinds if PLANTS[kind].sweep is not None), place.rng.random() < 0.5)
    usual = HIGH if place.rng.random() < 0.5 else LOW
    scale = next((PLANTS[kind].guidance for kind in kinds if PLANTS[kind].guidance is not None), usual)
    parts = [[place.as_drawn(index, place.draw(index, n)) for index in range(place.classes)] for _ in range(2)]
    trial = Trial(place, n, *parts, *place.prompts())
    trial.prompts = trial.prompts.copy()
    natural = [place.draw(index, n) for index in range(place.classes)]
    planted = {}
    for kind, index in zip(kinds, place.rng.permutation(place.classes), strict=False):
        share = STRENGTHS.get(strength) or place.rng.uniform(0.1, 1.0)
        planted[index] = (kind, PLANTS[kind].plant(trial, index, share * PLANTS[kind].full))
    case = Case(
        make_set("reference", [part[: n // 2] for part in natural]),
        make_set("query", [part[n // 2 :] for part in natural]),
        make_set("synthetic", trial.synthetic),
        prompts=make_set("prompts", list(trial.prompts[:, None]), modality="prompt"),
        guidance_scale=scale,
        usual_guidance=HIGH,
        recipe="name",
        sweep=[SweepSet("other", LOW + HIGH - scale, make_set("other", trial.swept))] if sweep else [],
    )
    rows = []
    for finding in diagnose(case, MeasureSpec()):
        kind, severity = planted.get(int(finding.class_key[1:]), ("none", 0.0))
        expected = PLANTS[kind].cause if kind != "none" else "sound"
        rows.append(
            Row(family, n, kind, strength, severity, expected, finding.cause, finding.severity, finding.evidence)
        )
    return rows


def _mix(trial: Trial, index: int, share: float, draw: Callable[[int, int], Vectors]) -> float:
    count = round(share * trial.n)
    for parts in (trial.synthetic, trial.swept):
        parts[index] = np.concatenate([parts[index][count:], trial.place.as_drawn(index, draw(index, count))])
    return share


def _scattered(parts: list[Vectors], place: Place, index: int, lost: float) -> float:
    """Move each image of a class on the way to a random other one, until that share of accuracy is lost."""
    own, means = parts[index], np.stack([place.mean(one) for one in range(place.classes)])
    others = place.rng.choice(np.delete(np.arange(place.classes), index), len(own))
    usual, chance = _found_by(means, own, index), 1 / place.classes

    def moved(way: float) -> Vectors:
        return own + way * (means[others] - means[index])

    way = _solve(lambda way: (usual - _found_by(means, moved(way), index)) / max(usual - chance, 1e-9), lost)
    parts[index] = moved(way)
    return lost


def _nearest(place: Place, index: int) -> int:
    means = np.stack([place.mean(one) for one in range(place.classes)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    alike = means @ means[index]
    alike[index] = -np.inf
    return int(alike.argmax())


def _shrunk(parts: list[Vectors], index: int, share: float) -> float:
    """Draw the images of a class to their mean by that share of their distance; the share of diversity that is lost."""
    whole, middle = parts[index], parts[index].mean(axis=0)
    parts[index] = middle + (1 - share) * (whole - middle)
    return 1 - spread(parts[index]) / spread(whole)


def spread(e: Vectors) -> float:
    """Centroid distance of one class (M 3)."""
    units = e / np.linalg.norm(e, axis=1, keepdims=True)
    centre = units.sum(axis=0)
    return float(np.mean((1 - units @ centre / np.linalg.norm(centre)) ** 2))


def _found_by(prompts: Vectors, images: Vectors, index: int) -> float:
    units = prompts / np.linalg.norm(prompts, axis=1, keepdims=True)
    return float(((images @ units.T).argmax(axis=1) == index).mean())


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    """Where in [0, 1] a rising function takes a value, by halving."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return high
