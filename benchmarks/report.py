"""A whole report of two labelled sets, overall and per class, against the same figures one by one.

    python benchmarks/report.py                                # 5,000 + 5,000 embeddings of 100 classes, some four minutes
    python benchmarks/report.py --classes 20 --per-class 100

Ours is one call of what `synthgap measure` calls, without intervals, which no other way tells. Against it stands the script
that a user would write: scikit-learn, scipy's ``sqrtm``, prdc and numpy, a call for each figure, a loop over the classes.
One thread, processor time, the ways in turn; every figure of the two is compared. The linear classifier that tells the sets
apart is fitted on other halves by the two, so that its accuracies are compared on average only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from prdc import compute_prdc
from scipy.linalg import sqrtm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from synthgap.core.records import OVERALL
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement import measure
from synthgap.store.embedding_set import EmbeddingSet

SPEC = MeasureSpec(bootstrap=0, permutations=0, extra=("overlap", "variety", "copies"))
ROOTS: list[float] = []
"""Seconds of each of scipy's square roots, of which a class takes as long as a set."""

Array = NDArray[np.float64]
Figures = dict[tuple[str, str], float]
"""Value by metric and class key."""


def main() -> None:
    """Let both ways take turns; print times, the ratio, and how far their figures are apart."""
    given = _arguments()
    torch.set_num_threads(1)
    natural, synthetic = (_made(name, seed, given) for seed, name in enumerate(("natural", "synthetic")))
    ways: dict[str, Callable[[], Figures]] = {
        "synthgap": lambda: _ours(natural, synthetic),
        "one by one": lambda: _one_by_one(natural, synthetic),
    }
    found = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            seconds[name].append(time.process_time() - begun)
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
    print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    print(f"{len(natural.embeddings)} + {len(synthetic.embeddings)} x {given.dim}, {given.classes} classes")
    for name, taken in seconds.items():
        print(f"  {name}: {statistics.median(taken):.2f} s")
    print(f"  {statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}, {given.rounds} rounds)")
    print(
        f"  of one by one {statistics.mean(ROOTS) * (given.classes + 1):.1f} s are square roots, a class each and the sets"
    )
    _compared(found["synthgap"], found["one by one"])


def _compared(ours: Figures, theirs: Figures) -> None:
    for metric in dict.fromkeys(metric for metric, _ in theirs):
        keys = [key for key in theirs if key[0] == metric]
        mine, other = (np.array([figures[key] for key in keys]) for figures in (ours, theirs))
        if metric == "linear_separability":
            print(f"  {metric}: {_told(ours, metric)}; theirs {_told(theirs, metric)}")
        else:
            print(f"  {metric}: {len(keys)} figures, greatest difference {np.abs(mine - other).max():.1e}")


def _told(figures: Figures, metric: str) -> str:
    classes = [value for (name, key), value in figures.items() if name == metric and key != OVERALL]
    return f"{figures[metric, OVERALL]:.3f}, mean of classes {np.mean(classes):.3f}"


def _ours(natural: EmbeddingSet, synthetic: EmbeddingSet) -> Figures:
    rows = measure(natural, synthetic, SPEC)
    return {(row.metric, row.class_key): row.value for row in rows if row.query == synthetic.name}


def _one_by_one(natural: EmbeddingSet, synthetic: EmbeddingSet) -> Figures:
    x, y = (_units(one.embeddings.astype(np.float64)) for one in (natural, synthetic))
    of, to = (np.array(one.class_keys) for one in (natural, synthetic))
    keys = sorted(natural.classes)
    figures = dict(_by_image(x, of, y, to, keys))
    for key in keys:
        for name, value in _of_two(x[of == key], y[to == key]):
            figures[name, key] = value
        for name, value in _of_class(x[of == key], y[to == key]):
            figures[name, key] = value
    figures |= {(name, OVERALL): value for name, value in _of_two(x, y)}
    for name in ("centroid_distance", "centroid_shift", "vendi_score", "covered_share"):
        figures[name, OVERALL] = float(np.mean([figures[name, key] for key in keys]))
    return figures


def _by_image(x: Array, of: Array, y: Array, to: Array, keys: list[str]) -> Iterator[tuple[tuple[str, str], float]]:
    """Figures that are means over the synthetic images."""
    names = np.array(keys)
    centres = _units(np.stack([x[of == key].sum(axis=0) for key in keys]))
    own = np.searchsorted(names, to)
    values = {
        "centroid_accuracy": names[cosine_similarity(y, centres).argmax(axis=1)] == to,
        "average_cosine_similarity": cosine_similarity(y, centres)[np.arange(len(y)), own],
        "nearest_cosine_similarity": cosine_similarity(y, centres).max(axis=1),
    }
    for k in SPEC.knn:
        index = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(x)
        votes = of[index.kneighbors(y, return_distance=False)]
        values[f"knn_accuracy@{k}"] = np.array([_winner(row) for row in votes]) == to
    for name, value in values.items():
        yield (name, OVERALL), float(value.mean())
        for key in keys:
            yield (name, key), float(value[to == key].mean())


def _of_two(x: Array, y: Array) -> Iterator[tuple[str, float]]:
    """Figures of two clouds, whole sets or one class of each."""
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    apart = float(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum())
    yield "frechet_mean_term", apart
    begun = time.process_time()
    yield "frechet_covariance_term", float(np.trace(s + t - 2 * np.real(sqrtm(s @ t))))
    ROOTS.append(time.process_time() - begun)
    with contextlib.redirect_stdout(io.StringIO()):
        yield from compute_prdc(x, y, SPEC.overlap_k).items()
    both, side = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    learned, asked, label, truth = train_test_split(both, side, test_size=0.5, stratify=side, random_state=0)
    yield "linear_separability", float(LogisticRegression(max_iter=1000).fit(learned, label).score(asked, truth))


def _of_class(x: Array, y: Array) -> Iterator[tuple[str, float]]:
    """Figures that are told class by class."""
    centre, other = (_units(one.sum(axis=0, keepdims=True))[0] for one in (y, x))
    yield "centroid_distance", float(((1 - y @ centre) ** 2).mean())
    yield "centroid_shift", float(1 - centre @ other)
    shares = np.linalg.eigvalsh(cosine_similarity(y) / len(y)).clip(0)
    yield "vendi_score", float(np.exp(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()))
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    yield "covered_share", float(1 - np.linalg.eigvalsh(s - t).clip(0).sum() / np.trace(s))
    level = np.quantile(1 - _nearest_other(x), SPEC.copy_level, method="inverted_cdf")
    yield "memorised_share", float((1 - pairwise_distances(y, x, metric="cosine").min(axis=1) > level).mean())


def _nearest_other(x: Array) -> Array:
    apart = pairwise_distances(x, metric="cosine")
    np.fill_diagonal(apart, np.inf)
    return np.asarray(apart.min(axis=1))


def _winner(votes: Array) -> str:
    """The most frequent class; of several the one with the nearest image."""
    names, first, counts = np.unique(votes, return_index=True, return_counts=True)
    return str(min(zip(-counts, first, names, strict=True))[2])


def _units(e: Array) -> Array:
    return e / np.linalg.norm(e, axis=1, keepdims=True)


def _made(name: str, seed: int, given: argparse.Namespace) -> EmbeddingSet:
    """Embeddings with a mean and a centre per class, the same for every seed, as CLIP's have."""
    n, place, rows = given.classes * given.per_class, np.random.default_rng(0), np.random.default_rng(seed + 1)
    mean, middles = place.normal(size=given.dim), place.normal(size=(given.classes, given.dim))
    labels = rows.permutation(np.repeat(np.arange(given.classes), given.per_class))
    e = mean + 0.8 * middles[labels] + 0.8 * rows.normal(size=(n, given.dim))
    keys = [f"c{label:04d}" for label in range(given.classes)]
    images = [f"{name}-{number}" for number in range(n)]
    classes = {key: key for key in keys}
    return EmbeddingSet(name, e.astype(np.float32), [keys[i] for i in labels], images, classes, "image", ["train"] * n)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--per-class", type=int, default=50)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
