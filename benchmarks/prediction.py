"""Which measure tells beforehand how much a classifier trained on synthetic images loses on natural ones, class by class?

    python benchmarks/prediction.py NATURAL SYNTHETIC [SYNTHETIC...] --out FOLDER

Networks are trained from scratch on natural and on synthetic images, as many of each class, for every seed, and asked
about the natural test split, that no training and no measure saw (``synthgap matrix`` with FOLDER goes on with the same
networks). Then each measure of a synthetic set against the natural train split is held against the accuracy that was
lost: Spearman's rank correlation over the classes, with a bootstrap interval over classes; with several sets over their
classes together, and as the mean of the single sets', which differences between sets cannot make. Signs are turned so
that a positive correlation means "the measure saw it". The same command goes on with what is there.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from synthgap.console import Progress, table
from synthgap.core.specs import EncoderSpec, LearningResources, MeasureSpec, ProofSpec, TrainSpec
from synthgap.pipeline import CompareOptions, SetInput, compare_many
from synthgap.pipeline.proving import ProofOptions, TrainingSet, matrix
from synthgap.stages.training import ImageShare
from synthgap.store import tables
from synthgap.store.sources import open_images

BETTER = {
    "centroid_accuracy": 1, "knn_accuracy@1": 1, "knn_accuracy@5": 1, "average_cosine_similarity": 1,
    "centroid_distance": 1, "centroid_shift": -1, "linear_separability": -1, "frechet_distance": -1,
    "frechet_mean_term": -1, "frechet_covariance_term": -1, "precision": 1, "recall": 1, "density": 1, "coverage": 1,
    "covered_share": 1, "vendi_score": 1, "near_duplicate_share": -1, "memorised_share": -1, "kernel_distance": -1,
}  # fmt: skip
"""Whether more of a measure is nearer to natural."""
RELATIVE = {"centroid_distance", "vendi_score", "centroid_accuracy", "knn_accuracy@1", "knn_accuracy@5"}
"""Measures that are taken as a share of what natural images of the class have."""

Pair = tuple[str, str]
"""A synthetic set and a class."""


def main() -> None:
    """Train, measure, correlate, print."""
    given = _arguments()
    paths = {open_images(path).name: path for path in (given.natural, *given.synthetic)}
    accuracy = _accuracies(paths, given)
    natural, *sets = paths
    options = CompareOptions(EncoderSpec(encoder=given.encoder), MeasureSpec(), progress=Progress())
    inputs = [SetInput(paths[name], name) for name in sets]
    compare_many(SetInput(_train_split(given.natural), natural), inputs, given.out / "run", options)
    losses = {(name, key): accuracy[natural][key] - value for name in sets for key, value in accuracy[name].items()}
    print(_table(accuracy, natural))
    rows = []
    for metric, values in _gaps(given.out / "run", natural, sets).items():
        pairs = [pair for pair in losses if math.isfinite(values.get(pair, math.nan))]
        if len(pairs) > 3:
            rows.append(_correlation(metric, pairs, values, losses))
    rows.sort(key=lambda row: -row["together"])
    print(f"\n{'measure':28} {'together':>8}   95 % interval    {'by set':>6}   95 % interval    p")
    for row in rows:
        ends = [f"{row[name][0]:5.2f} to {row[name][1]:5.2f}" for name in ("together_ci", "by_set_ci")]
        print(
            f"{row['measure']:28} {row['together']:8.2f}   {ends[0]}   {row['by_set']:6.2f}   {ends[1]}   {row['p']:.4f}"
        )
    document = {"accuracy": accuracy, "correlations": rows}
    (given.out / "prediction.json").write_text(json.dumps(document, indent=1))


def _accuracies(paths: dict[str, Path], given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Accuracy on each natural class of the networks of each set, the mean over the seeds."""
    test = open_images(given.natural)
    learned = [TrainingSet(name, (ImageShare(open_images(path)),)) for name, path in paths.items()]
    spec = TrainSpec(recipe="small", epochs=given.epochs, iterations=given.iterations, images=given.images)
    options = ProofOptions(spec, ProofSpec(seeds=given.seeds), LearningResources(workers=1), Progress())
    found = matrix(learned, {test.name: test}, given.out, options)["matrix"]
    return {
        name: {key: figure["value"] for key, figure in row[test.name]["top_1"]["per_class"].items()}
        for name, row in found.items()
    }


def _train_split(natural: Path) -> Path:
    """The file or folder of the natural train split alone."""
    found = next((path for path in sorted(natural.glob("train*"))), None)
    if found is None:
        raise SystemExit(f"{natural}: expected a folder with the files or folders of the splits train and test")
    return found


def _gaps(run: Path, name: str, sets: Sequence[str]) -> dict[str, dict[Pair, float]]:
    """Per measure and (set, class name) what natural images have more of than synthetic ones, or less where that is worse."""
    names = json.loads((run / "summary.json").read_text())["classes"]
    rows = tables.read_measurements(run / "measurements.parquet")
    natural = {(row.metric, row.class_key): row.value for row in rows if row.query.startswith(name)}
    found: dict[str, dict[Pair, float]] = {}
    for row in rows:
        if row.metric not in BETTER or row.query not in sets or row.class_key not in names:
            continue
        value = row.value / natural[row.metric, row.class_key] if row.metric in RELATIVE else row.value
        found.setdefault(row.metric, {})[row.query, names[row.class_key]] = -BETTER[row.metric] * value
    by_set = run / "findings_by_set.parquet"
    findings = tables.read_table(by_set if by_set.exists() else run / "findings.parquet")
    for finding in findings:
        place = (finding.get("set", sets[0]), names[finding["class_key"]])
        found.setdefault("severity of the finding", {})[place] = finding["severity"]
    return found


def _correlation(
    metric: str, pairs: Sequence[Pair], gaps: dict[Pair, float], losses: dict[Pair, float]
) -> dict[str, Any]:
    """Rank correlations with bootstrap intervals over classes; the p-value is of a permutation of the classes in each set."""
    rng = np.random.default_rng(0)
    gap, loss = (np.array([one[pair] for pair in pairs]) for one in (gaps, losses))
    sets, of_set = np.unique([name for name, _ in pairs], return_inverse=True)
    kinds, of_class = np.unique([key for _, key in pairs], return_inverse=True)

    def by_set(rows: np.ndarray, answer: np.ndarray) -> float:
        found = [_spearman(gap[own], answer[own]) for one in range(len(sets)) if len(own := rows[of_set[rows] == one])]
        return float(np.nanmean(found)) if np.isfinite(found).any() else math.nan

    every = np.arange(len(pairs))
    draws, drawn_by_set = [], []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(of_class == kind) for kind in rng.integers(len(kinds), size=len(kinds))])
        draws.append(_spearman(gap[rows], loss[rows]))
        drawn_by_set.append(by_set(rows, loss))
    chance = []
    for _ in range(1000):
        shuffled = loss.copy()
        for one in range(len(sets)):
            shuffled[of_set == one] = rng.permutation(loss[of_set == one])
        chance.append(abs(by_set(every, shuffled)))
    value = by_set(every, loss)
    return {
        "measure": metric,
        "together": _spearman(gap, loss),
        "together_ci": _ends(draws),
        "by_set": value,
        "by_set_ci": _ends(drawn_by_set),
        "p": (1 + sum(one >= abs(value) - 1e-12 for one in chance)) / 1001,
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return math.nan
    return float(spearmanr(a, b).statistic)


def _ends(draws: Sequence[float]) -> tuple[float, float]:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _table(accuracy: dict[str, dict[str, float]], natural: str) -> str:
    rows = [(key, *(f"{one[key]:.3f}" for one in accuracy.values())) for key in accuracy[natural]]
    return table(rows, ("class", *accuracy))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("natural", type=Path, help="set with a train and a test split")
    parser.add_argument("synthetic", type=Path, nargs="+", help="sets of the same classes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="lab")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--iterations", type=int, help="steps of each network; those of the epochs by default")
    parser.add_argument("--images", type=int, help="training images of each set; all there are by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
