"""Which measure tells beforehand how much a classifier trained on synthetic images loses on natural ones, class by class?

    python benchmarks/prediction.py NATURAL.parquet SYNTHETIC.parquet --out FOLDER

A network is trained from scratch on natural and on synthetic images, as many of each class, for every seed, and asked
about natural photographs that no training and no measure saw. Then each measure of the synthetic set against the natural
training images is held against the accuracy that was lost: Spearman's rank correlation over the classes (over classes
and sets, where several are given), with a bootstrap interval over classes. Signs are turned so that a positive
correlation means "the measure saw it". The same command goes on with what is there.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import spearmanr

from synthgap.console import Progress
from synthgap.core.specs import EncoderSpec, EvaluateSpec, LearningResources, MeasureSpec, TrainSpec
from synthgap.pipeline import CompareOptions, SetInput, compare_many
from synthgap.stages.evaluation import evaluate
from synthgap.stages.training import ImageShare, train
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


def main() -> None:
    """Train, measure, correlate, print."""
    given = _arguments()
    natural, test = _split(given.natural, given.out, given.test)
    sets = {path.stem: path for path in given.synthetic}
    accuracy = {name: _accuracies(path, test, name, given) for name, path in {"natural": natural, **sets}.items()}
    options = CompareOptions(EncoderSpec(encoder=given.encoder), MeasureSpec(), progress=Progress())
    inputs = [SetInput(path, name) for name, path in sets.items()]
    compare_many(SetInput(natural, "natural"), inputs, given.out / "run", options)
    found = _gaps(given.out / "run", sets)
    losses = {(name, key): accuracy["natural"][key] - value for name in sets for key, value in accuracy[name].items()}
    print(_table(accuracy))
    rows = []
    for metric, values in found.items():
        pairs = [key for key in losses if math.isfinite(values.get(key, math.nan))]
        if len(pairs) > 3:
            gap, loss = (np.array([one[key] for key in pairs]) for one in (values, losses))
            rows.append((metric, *_correlation(gap, loss, [key for _, key in pairs])))
    rows.sort(key=lambda row: -row[1])
    print(f"\n{'measure':28} {'Spearman':>8}   95 % interval    p")
    for metric, value, low, high, p in rows:
        print(f"{metric:28} {value:8.2f}   {low:5.2f} to {high:5.2f}   {p:.3f}")
    document = {
        "accuracy": accuracy,
        "correlations": [dict(zip(("measure", "value", "low", "high", "p"), row, strict=True)) for row in rows],
    }
    (given.out / "prediction.json").write_text(json.dumps(document, indent=1))


def _split(source: Path, out: Path, share: float) -> tuple[Path, Path]:
    """Natural images for training and measuring, and others for the test."""
    learn, test = out / "natural.parquet", out / "test.parquet"
    if not test.exists():
        out.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(source)
        labels = table.column("label").to_numpy()
        order = np.random.default_rng(0).permutation(len(table))
        held = np.zeros(len(table), dtype=bool)
        for label in np.unique(labels):
            own = order[labels[order] == label]
            held[own[: round(share * len(own))]] = True
        pq.write_table(table.filter(pa.array(~held)), learn, row_group_size=100)
        pq.write_table(table.filter(pa.array(held)), test, row_group_size=100)
    return learn, test


def _accuracies(images: Path, test: Path, name: str, given: argparse.Namespace) -> dict[str, float]:
    """Accuracy on each natural class, the mean over the seeds."""
    by_seed: list[dict[str, Any]] = []
    resources = LearningResources(workers=1)
    for seed in range(given.seeds):
        out = given.out / "models" / f"{name}-{seed}"
        spec = TrainSpec(recipe="small", epochs=given.epochs, seed=seed, images=given.images, validation_share=0.0)
        train([ImageShare(open_images(images))], spec, out, resources, progress=Progress())
        found = evaluate(str(out), open_images(test), EvaluateSpec(), resources)
        print(f"{name}, seed {seed}: {found['top_1']['overall']['value']:.3f}", flush=True)
        by_seed.append(found["top_1"]["per_class"])
    return {key: float(np.mean([one[key]["value"] for one in by_seed])) for key in by_seed[0]}


def _gaps(run: Path, sets: dict[str, Path]) -> dict[str, dict[tuple[str, str], float]]:
    """Per measure and (set, class name) what natural images have more of than synthetic ones, or less where that is worse."""
    names = json.loads((run / "summary.json").read_text())["classes"]
    rows = tables.read_measurements(run / "measurements.parquet")
    natural = {(row.metric, row.class_key): row.value for row in rows if row.query.startswith("natural")}
    found: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        if row.metric not in BETTER or row.query not in sets or row.class_key not in names:
            continue
        value = row.value / natural[row.metric, row.class_key] if row.metric in RELATIVE else row.value
        found.setdefault(row.metric, {})[row.query, names[row.class_key]] = -BETTER[row.metric] * value
    by_set = run / "findings_by_set.parquet"
    findings = tables.read_table(by_set if by_set.exists() else run / "findings.parquet")
    for finding in findings:
        place = (finding.get("set", next(iter(sets))), names[finding["class_key"]])
        found.setdefault("severity of the finding", {})[place] = finding["severity"]
    return found


def _correlation(gap: np.ndarray, loss: np.ndarray, classes: list[str]) -> tuple[float, float, float, float]:
    """Rank correlation, its bootstrap interval over classes, and the p-value of a permutation test."""
    rng, value = np.random.default_rng(0), float(spearmanr(gap, loss).statistic)
    kinds, of = np.unique(classes, return_inverse=True)
    draws = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(of == kind) for kind in rng.integers(len(kinds), size=len(kinds))])
        if len(np.unique(gap[rows])) > 1 and len(np.unique(loss[rows])) > 1:
            draws.append(spearmanr(gap[rows], loss[rows]).statistic)
    chance = [abs(spearmanr(rng.permutation(gap), loss).statistic) >= abs(value) - 1e-12 for _ in range(2000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return value, float(low), float(high), (1 + sum(chance)) / 2001


def _table(accuracy: dict[str, dict[str, float]]) -> str:
    names = list(accuracy)
    lines = [f"{'class':14}" + "".join(f"{name:>12}" for name in names)]
    lines += [f"{key:14}" + "".join(f"{accuracy[name][key]:12.3f}" for name in names) for key in accuracy["natural"]]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("natural", type=Path, help="Parquet with the columns image and label")
    parser.add_argument("synthetic", type=Path, nargs="+", help="Parquet or set folders of the same classes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="lab")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, help="training images of each set; all there are by default")
    parser.add_argument("--test", type=float, default=0.2, help="share of the natural images that is kept for the test")
    return parser.parse_args()


if __name__ == "__main__":
    main()
