"""How often the diagnosis is right: faults of known kind and strength are planted, and its findings counted.

    python benchmarks/diagnosis.py                                       # simulated worlds and the lab's photographs
    python benchmarks/diagnosis.py --embeddings NATURAL SD14 --sizes 50  # real embeddings of yours
    python benchmarks/diagnosis.py --family setting                      # what the thresholds were set on
    python benchmarks/diagnosis.py --pictures --drawn FOLDER --sizes 50  # faults drawn by the lab's generator

The thresholds were set on the family ``setting`` and are judged on all others: worlds of other dimensions, spreads and
tails, and real embeddings. Two of a world's classes get a fault, the others none; natural and synthetic images are as
many. Found: the class is flagged. Right: it is flagged with the cause that was planted. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "stages")]

from planted import CAUSES, PLANTS, STRENGTHS, Drawn, Place, Plant, Real, Row, Simulated, run_trial  # noqa: E402
from simulated import World  # noqa: E402

from synthgap.core.specs import EncoderSpec, GenerateSpec, Resources  # noqa: E402
from synthgap.models.encoder import load_encoder  # noqa: E402
from synthgap.stages.diagnosis.intervals import wilson  # noqa: E402
from synthgap.stages.embedding import embed_images  # noqa: E402
from synthgap.stages.generation import generate  # noqa: E402
from synthgap.store.embeddings import EmbeddingSet, load_embeddings  # noqa: E402
from synthgap.store.sources import open_images  # noqa: E402
from synthgap.study import lab_images  # noqa: E402

SETTING, JUDGING = "setting", "worlds"
AIMS = {"full": 0.95, "half": 0.80, "false alarms": 0.05, "right": 0.90}
DRAWABLE = (
    "senses merged", "senses swapped", "neighbour class", "guidance, sweep", "guidance, no sweep", "unguided, sweep",
    "unguided, no sweep", "repeated",
)  # fmt: skip
"""Faults that prompts and settings make; there is no picture half way between two concepts."""
GUIDANCE = {"usual": 2.5, "raised half": 5.0, "raised full": 7.5, "lowered half": 1.5, "lowered full": 1.0}
STEPS = 20
"""Of the pictures, so that all of them are drawn in minutes on one core."""


def main() -> None:
    """Run the families that were asked for and print what was found."""
    given = _arguments()
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for family, place_of, kinds, strengths in _families(given, Path(scratch)):
            rows += run_family(family, place_of, given.sizes, given.worlds, kinds, strengths)
    if given.format == "json":
        print(json.dumps({"tables": tables(rows), "rows": [asdict(row) for row in rows]}, allow_nan=False, default=str))
        return
    for family, table in tables(rows).items():
        _print(family, table)


Family = tuple[str, Callable[[int], Place], Sequence[str], Sequence[str]]


def _families(given: argparse.Namespace, scratch: Path) -> Iterator[Family]:
    kinds, strengths = tuple(PLANTS), (*STRENGTHS, "any")
    if given.pictures:
        folder = given.drawn or scratch
        drawn = {name: _drawn(given, name, scale, folder) for name, scale in GUIDANCE.items()}
        usual = drawn.pop("usual")
        texts = _texts(usual)
        yield "pictures", lambda seed: Drawn(usual, texts, drawn, seed), DRAWABLE, tuple(STRENGTHS)
        return
    for family in (SETTING, JUDGING):
        if given.family in (None, family):
            yield family, lambda seed, family=family: simulated(family, seed), kinds, strengths  # type: ignore[misc]
    if given.family in (None, "real"):
        for images in [load_embeddings(path) for path in given.embeddings] or [_shipped(scratch)]:
            texts = _texts(images)
            yield images.name, lambda seed, images=images, texts=texts: Real(images, texts, seed), kinds, strengths  # type: ignore[misc]


def simulated(family: str, seed: int) -> Place:
    """The family that thresholds were set on, or other worlds: other dimensions, spreads, tails and shared shifts."""
    if family == SETTING:
        return Simulated(World(10, seed=seed), shared=0.0)
    rng = np.random.default_rng(10_000 + seed)
    world = World(
        int(rng.choice([8, 12, 20])), seed=10_000 + seed, dim=int(rng.choice([24, 96, 192])),
        separation=rng.uniform(0.8, 1.3), decay=rng.uniform(0.3, 0.8), tail=float(rng.choice([0, 6])),
    )  # fmt: skip
    return Simulated(world, shared=rng.uniform(0.0, 0.8))


def run_family(
    family: str, place_of: Callable[[int], Place], sizes: Sequence[int], worlds: int,
    kinds: Sequence[str] = tuple(PLANTS), strengths: Sequence[str] = (*STRENGTHS, "any"),
) -> Iterator[Row]:  # fmt: skip
    """Every kind with another in turn, at every strength and size; and worlds without any fault."""
    for n in sizes:
        for number in range(worlds):
            step = 1 + number % (len(kinds) - 1)
            for at, strength in enumerate(strengths):
                for first, kind in enumerate(kinds):
                    if family == "pictures" and kind == "senses swapped" and strength == "half":
                        continue
                    other = kinds[(first + step) % len(kinds)]
                    alone = _apart(PLANTS[kind], PLANTS[other]) or family == "pictures"
                    place = place_of(number * 100 + at * 10_000 + first)
                    yield from run_trial(place, family, n, [kind] if alone else [kind, other], strength)
            yield from run_trial(place_of(number * 100 + 99), family, n, [], "full")


def _apart(one: Plant, other: Plant) -> bool:
    """Whether two faults cannot be in one set: they want another sweep, or another guidance."""
    asked = ((one.sweep, other.sweep), (one.guidance, other.guidance))
    return any(None not in pair and pair[0] != pair[1] for pair in asked)


def tables(rows: Sequence[Row]) -> dict[str, Any]:
    """Per family and size: rates per kind and in all, false alarms, confusion, calibration of the severity."""
    found: dict[str, Any] = {}
    for family in dict.fromkeys(row.family for row in rows):
        for n in sorted({row.n for row in rows}):
            part = [row for row in rows if (row.family, row.n) == (family, n)]
            planted, clean = [row for row in part if row.kind != "none"], [row for row in part if row.kind == "none"]
            if part:
                found[f"{family}, {n} images"] = {
                    "kinds": {kind: _rates([row for row in planted if row.kind == kind]) for kind in PLANTS},
                    "all": _rates(planted),
                    "false alarms": _share(sum(row.cause != "sound" for row in clean), len(clean)),
                    "confusion": _confusion(planted),
                    "calibration": {
                        kind: _calibration([row for row in planted if row.kind == kind])
                        for kind in dict.fromkeys(row.kind for row in planted)
                    },
                }
    return found


def _rates(rows: Sequence[Row]) -> dict[str, Any]:
    rates = {}
    for strength in STRENGTHS:
        part = [row for row in rows if row.strength == strength]
        seen = [row for row in part if row.cause != "sound"]
        rates[strength] = {
            "found": _share(len(seen), len(part)),
            "right": _share(sum(row.cause == row.expected for row in seen), len(seen)),
        }
    return rates


def _share(hits: int, n: int) -> dict[str, Any]:
    if not n:
        return {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    share = wilson(np.array([float(hits)]), np.array([float(n)])).at(0)
    return {"value": share.value, "ci_low": share.low, "ci_high": share.high, "n": n}


def _confusion(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    fixed = [row for row in rows if row.strength in STRENGTHS]
    count = Counter((row.expected, row.cause) for row in fixed)
    return {cause: {other: count[cause, other] for other in CAUSES} for cause in CAUSES[:-1]}


def _calibration(rows: Sequence[Row]) -> dict[str, float | int | None]:
    """Severity told against severity planted, also where no fault was found."""
    told, true = (np.array([getattr(row, name) for row in rows]) for name in ("severity", "planted"))
    if len(rows) < 5 or np.ptp(true) == 0 or np.ptp(told) == 0:
        return {"n": len(rows), "slope": None, "rank": None, "error": None}
    slope, rank = stats.linregress(true, told).slope, stats.spearmanr(true, told).statistic
    return {"n": len(rows), "slope": float(slope), "rank": float(rank), "error": float(np.abs(told - true).mean())}


def _print(title: str, table: dict[str, Any]) -> None:
    print(
        f"\n{title}\n{'planted':20}{'found, full':>24}{'half':>24}{'right, full':>24}{'half':>24}   slope  rank  error"
    )
    for kind, rates in [*table["kinds"].items(), ("all", table["all"])]:
        if not rates["full"]["found"]["n"]:
            continue
        cells = [_cell(rates[strength][what]) for what in ("found", "right") for strength in STRENGTHS]
        fit = table["calibration"].get(kind, {})
        fitted = "".join(f"{fit[key]:7.2f}" for key in ("slope", "rank", "error")) if fit.get("slope") else ""
        print(f"{kind:20}" + "".join(f"{cell:>24}" for cell in cells) + fitted)
    print(f"{'false alarms':20}{_cell(table['false alarms']):>24}")
    print(f"{'cause planted':20}" + "".join(f"{cause:>17}" for cause in CAUSES))
    for cause, row in table["confusion"].items():
        print(f"{cause:20}" + "".join(f"{row[other]:17}" for other in CAUSES))


def _cell(share: dict[str, Any]) -> str:
    if not share["n"]:
        return "-"
    return f"{share['value']:.0%} [{share['ci_low']:.0%}, {share['ci_high']:.0%}] of {share['n']}"


def _texts(images: EmbeddingSet) -> np.ndarray:
    """One prompt per class, by the lab's encoder, which the embeddings must be of."""
    encoder = load_encoder(EncoderSpec(encoder="lab"), Resources(device="cpu"))
    return encoder.encode_texts([f"a photo of a {name}" for name in images.classes.values()]).astype(np.float64)


def _shipped(scratch: Path) -> EmbeddingSet:
    return _embedded(lab_images("natural"), scratch / "natural", "lab:natural")


def _drawn(given: argparse.Namespace, name: str, guidance: float, folder: Path) -> EmbeddingSet:
    """A set of the lab's generator; one that is there already, of this call or another, is not drawn again."""
    count = (6 if name == "usual" else 1) * max(given.sizes)
    spec = GenerateSpec(
        classes="cifar-10", generator="lab", per_class=count, guidance_scale=guidance, num_inference_steps=STEPS, seed=7
    )
    place = f"guidance-{guidance:g}"
    images = generate(spec, folder / place, Resources(device="cpu"))
    return _embedded(images, folder / f"{place}-embeddings", name)


def _embedded(images: Path, folder: Path, name: str) -> EmbeddingSet:
    source = open_images(images)
    return load_embeddings(embed_images(source, EncoderSpec(encoder="lab"), folder, Resources(device="cpu")), name=name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=(SETTING, JUDGING, "real"), help="only this one")
    parser.add_argument("--embeddings", type=Path, nargs="*", default=(), help="of real images, by the lab's encoder")
    parser.add_argument("--pictures", action="store_true", help="faults in pictures that the lab's generator draws")
    parser.add_argument(
        "--drawn", type=Path, help="folder for these pictures; drawn once, and taken again by later calls"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=(25, 50), help="images per class, natural and synthetic"
    )
    parser.add_argument("--worlds", type=int, default=10, help="worlds per pair of kinds and strength")
    parser.add_argument("--format", choices=("human", "json"), default="human")
    return parser.parse_args()


if __name__ == "__main__":
    main()
