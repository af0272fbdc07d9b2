"""How fast the measures are, against what a user would call instead; every ratio with a check of the result.

    python benchmarks/measures.py                                  # some ten minutes on one core
    python benchmarks/measures.py --only knn --references 100000 --queries 1000
    python benchmarks/measures.py --embeddings features.npz        # neighbours among real embeddings
    python benchmarks/measures.py --scale                          # 1.28 million references from a file
    python benchmarks/measures.py --only knn --device cuda --references 1281167 --queries 50000

The ways of a row take turns; its ratio is the median of the rounds. On a CPU one thread is used and its processor time
counted, so that other work on the machine matters little. Everything is counted that a call does: checks, rounding,
building an index. Made-up embeddings have a mean and a centre per class, as CLIP's have.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from synthgap import metrics
from synthgap.metrics._blocks import class_sums
from synthgap.metrics._moments import Moments
from synthgap.metrics._neighbours import Search, nearest
from synthgap.metrics.covered_share import stacked_covered_share
from synthgap.metrics.frechet_distance import between
from synthgap.metrics.jackknife import jackknife_stack
from synthgap.metrics.stacked_frechet import stacked_frechet_distance
from synthgap.metrics.stacks import Stacks
from synthgap.store.embeddings import load_embeddings

CLASSES = 1000

Ways = dict[str, Callable[[], Any]]


def main() -> None:
    """Run the rows that were asked for."""
    given = _arguments()
    if given.device == "cpu":
        torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, {given.device}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    )
    if given.scale:
        _scale(given)
        return
    rows = {
        "knn": _knn,
        "frechet": _frechet,
        "sums": _sums,
        "prdc": _prdc,
        "report": _report,
        "large": _large,
        "classes": _classes,
    }
    for name in given.only or rows:
        rows[name](given)


def _knn(given: argparse.Namespace) -> None:
    reference, query = _embeddings(given)
    k, path = given.k, Search(query, given.k).path
    ways: Ways = {"synthgap": lambda: nearest(reference, query, k).cpu().numpy()}
    if given.device == "cpu":
        ways["scikit-learn brute"] = lambda: _scikit_learn(reference, query, k)
        faiss = _faiss()
        if faiss is not None:
            ways["faiss IndexFlatIP"] = lambda: _flat_index(faiss, reference, query, k)
        ways["bfloat16 alone"] = lambda: _plain(reference.bfloat16(), query.bfloat16(), k)
    else:
        ways["float32 matmul + topk"] = lambda: _plain(reference, query, k)
        ways["bfloat16 alone"] = lambda: _plain(reference.bfloat16(), query.bfloat16(), k)
    found = _race(f"{k} neighbours of {len(query)} among {tuple(reference.shape)}, {path}", ways, given)
    for name, rows in found.items():
        wrong = (np.sort(rows, axis=1) != np.sort(found["synthgap"], axis=1)).any(axis=1)
        print(f"  {name}: other neighbours for {wrong.sum()} of {len(wrong)} queries ({100 * wrong.mean():.2f} %)")
    search = Search(query, k)
    search.add(reference)
    search.found()
    print(f"  computed anew after screening: {search.pairs / len(query):.0f} references per query")


def _frechet(given: argparse.Namespace) -> None:
    from scipy.linalg import sqrtm

    for d in given.frechet:
        a, b = (_clip_like(3 * d, d, seed)[0].double() for seed in (0, 1))

        def theirs(a: Tensor = a, b: Tensor = b) -> float:
            means, covariances = zip(
                *((e.mean(axis=0), np.cov(e, rowvar=False)) for e in (a.numpy(), b.numpy())), strict=True
            )
            root = np.real(sqrtm(covariances[0] @ covariances[1]))
            return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root))

        ways: Ways = {"synthgap": lambda a=a, b=b: metrics.frechet_distance(a, b).total, "scipy sqrtm": theirs}
        found = _race(f"Fréchet distance of two sets {tuple(a.shape)}", ways, given)
        _apart(found["synthgap"], found["scipy sqrtm"])
        left, right = Moments.of(a), Moments.of(b)
        of_a, of_b = (np.cov(e.numpy(), rowvar=False) for e in (a, b))

        def by_root(a: np.ndarray = of_a, b: np.ndarray = of_b) -> float:
            return float(np.trace(a + b - 2 * np.real(sqrtm(a @ b))))

        ways = {
            "synthgap": lambda a=left, b=right: between(a.gaussian(), b.gaussian(), 2).covariance_term,
            "scipy sqrtm": by_root,
        }
        found = _race(f"covariance term of two given covariances ({d}, {d})", ways, given)
        _apart(found["synthgap"], found["scipy sqrtm"])


def _sums(given: argparse.Namespace) -> None:
    e, labels = _clip_like(given.references, given.dim, 0)

    def theirs() -> np.ndarray:
        wide, of = e.double().numpy(), labels.numpy()
        wide = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        return np.stack([wide[of == c].sum(axis=0) for c in range(CLASSES)])

    ways: Ways = {"synthgap": lambda: class_sums(e, labels, CLASSES).numpy(), "a mask per class": theirs}
    found = _race(f"sums of {CLASSES} classes, {tuple(e.shape)}", ways, given)
    _apart(found["synthgap"], found["a mask per class"])


def _prdc(given: argparse.Namespace) -> None:
    natural, synthetic = (_clip_like(given.pairs, given.dim, seed)[0] for seed in (0, 1))
    ways: Ways = {
        "synthgap": lambda: _overlap(natural, synthetic),
        "prdc": lambda: _theirs_overlap(natural, synthetic),
    }
    found = _race(f"precision, recall, density, coverage of two sets {tuple(natural.shape)}", ways, given)
    _apart(found["synthgap"], found["prdc"])


def _report(given: argparse.Namespace) -> None:
    """All that a trial is told of two labelled sets."""
    _reports(given, given.pairs, given.pairs, overlap=True)


def _large(given: argparse.Namespace) -> None:
    """The same of many references, but for the overlap: prdc would hold a table of all of their distances."""
    _reports(given, given.references, given.references // 10, overlap=False)


def _reports(given: argparse.Namespace, references: int, queries: int, overlap: bool) -> None:
    (a, labels), (b, own) = (_clip_like(n, given.dim, seed, classes=100) for seed, n in ((0, references), (1, queries)))

    def ours() -> np.ndarray:
        found = metrics.query_scores(a, labels, b, own, 100, 0, ks=(1, 5))
        values = (found.correct, found.own_cosine, found.nearest_cosine, found.knn_correct[1])
        by_class = torch.stack([metrics.class_means(each, own, 100) for each in values])
        one = metrics.frechet_distance(a, b).total
        return np.array([*by_class.nanmean(dim=1), *by_class[:, 0], one, *(_overlap(a, b) if overlap else ())])

    ways: Ways = {"synthgap": ours, "one by one": lambda: _one_by_one(a, labels, b, own, overlap)}
    title = f"a whole report of two sets {tuple(a.shape)} and {tuple(b.shape)}, 100 classes"
    found = _race(title if overlap else f"{title}, without precision, recall, density and coverage", ways, given)
    _apart(found["synthgap"], found["one by one"])


def _classes(given: argparse.Namespace) -> None:
    """Figures of 100 classes of 40 images each in two sets, all with intervals by leaving out tenths."""
    (a, labels), (b, own) = (_clip_like(4000, given.dim, seed, classes=100) for seed in (0, 1))
    a, b = metrics.uvec(a), metrics.uvec(b)

    def ours() -> np.ndarray:
        found = torch.zeros(100, 3, 4, dtype=torch.float64)
        for stack in Stacks([(a, labels), (b, own)], 100, least=2, scaled=False):
            for figures, columns in ((stacked_frechet_distance, slice(0, 3)), (stacked_covered_share, slice(3, 4))):
                one = jackknife_stack(figures, stack, seed=0)
                found[stack.classes, :, columns] = torch.stack([one.value, one.low, one.high], dim=1)
        return found.numpy()

    def each() -> np.ndarray:
        return np.stack([_of_class(a[labels == c], b[own == c]) for c in range(100)])

    ways: Ways = {"synthgap": ours, "a class at a time": each}
    found = _race("Fréchet distance and covered share of 100 classes", ways, given)
    _apart(found["synthgap"], found["a class at a time"])


def _of_class(a: Tensor, b: Tensor) -> np.ndarray:
    def figures(a: Tensor, b: Tensor) -> list[float]:
        distance = metrics.frechet_distance(a, b)
        share = metrics.covered_share(natural=a, synthetic=b)
        return [distance.total, distance.mean_term, distance.covariance_term, share]

    return np.stack([figures(a, b), *metrics.jackknife_interval(figures, [a, b], seed=0)])


def _one_by_one(a: Tensor, labels: Tensor, b: Tensor, own: Tensor, overlap: bool) -> np.ndarray:
    """The same with scikit-learn, scipy and prdc, each figure by itself."""
    from scipy.linalg import sqrtm

    x, y, of, to = a.double().numpy(), b.double().numpy(), labels.numpy(), own.numpy()
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    middles = np.stack([units[of == c].mean(axis=0) for c in range(100)])
    correct = cosine_similarity(y, middles).argmax(axis=1) == to
    own_cosine = cosine_similarity(y, middles)[np.arange(len(y)), to]
    nearest_cosine = cosine_similarity(y, middles).max(axis=1)
    for k in (5, 1):
        index = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(a.numpy())
        votes = of[index.kneighbors(b.numpy(), return_distance=False)]
    values = [correct, own_cosine, nearest_cosine, votes[:, 0] == to]
    by_class = np.array([[each[to == c].mean() for c in range(100)] for each in values])
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    one = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    return np.array([*by_class.mean(axis=1), *by_class[:, 0], one, *(_theirs_overlap(a, b) if overlap else ())])


def _overlap(natural: Tensor, synthetic: Tensor) -> np.ndarray:
    found = metrics.support_overlap(natural=natural, synthetic=synthetic, k=5)
    return np.array([found.precision, found.recall, found.density, found.coverage])


def _theirs_overlap(natural: Tensor, synthetic: Tensor) -> np.ndarray:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(natural.numpy(), synthetic.numpy(), 5)
    return np.array([found[name] for name in ("precision", "recall", "density", "coverage")])


def _scikit_learn(reference: Tensor, query: Tensor, k: int) -> np.ndarray:
    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(_units(reference).numpy())
    return np.asarray(index.kneighbors(_units(query).numpy(), return_distance=False))


def _flat_index(faiss: Any, reference: Tensor, query: Tensor, k: int) -> np.ndarray:
    index = faiss.IndexFlatIP(reference.shape[1])
    index.add(_units(reference).numpy())
    return np.asarray(index.search(_units(query).numpy(), k)[1])


def _plain(reference: Tensor, query: Tensor, k: int) -> np.ndarray:
    """Products and topk, some queries at a time, as DINO's eval_knn.py does it."""
    columns = _units(reference).T
    return torch.cat([(part @ columns).topk(k).indices for part in _units(query).split(500)]).cpu().numpy()


def _units(e: Tensor) -> Tensor:
    return torch.nn.functional.normalize(e)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        print("faiss is not installed (pip install faiss-cpu): left out")
        return None
    faiss.omp_set_num_threads(1)
    return faiss


def _scale(given: argparse.Namespace) -> None:
    """Neighbours and centroids among references that are read from a float16 file, block by block."""
    n, rows = given.scale_references, 16384
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "references.f16"
        labels = _write(path, n, given.dim, rows)
        print(f"{n} x {given.dim} float16 in a file of {path.stat().st_size / 2**30:.2f} GiB")

        def blocks() -> Iterator[tuple[Tensor, Tensor]]:
            for start in range(0, n, rows):
                count = min(rows, n - start)
                flat = np.fromfile(path, np.float16, count * given.dim, offset=start * given.dim * 2)
                yield torch.from_numpy(flat).view(count, given.dim).float(), labels[start : start + count]

        seconds = {}
        for count in sorted({max(1, given.queries // 4), given.queries}):
            query, own = _clip_like(count, given.dim, 1)
            begun = _clock(given.device)
            metrics.query_scores(blocks(), None, query.to(given.device), own, CLASSES, 0, ks=(1, given.k))
            seconds[count] = _clock(given.device) - begun
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{count} queries: {seconds[count]:.1f} s, at most {peak:.2f} GiB of memory so far")
    (few, fast), (many, slow) = min(seconds.items()), max(seconds.items())
    per_query = (slow - fast) / max(1, many - few)
    print(f"reading and rounding {slow - many * per_query:.1f} s, {1000 * per_query:.2f} ms per query")
    print(f"projected for 50,000 queries: {slow + (50_000 - many) * per_query:.0f} s")


def _write(path: Path, n: int, d: int, rows: int) -> Tensor:
    labels = []
    with path.open("wb") as file:
        for start in range(0, n, rows):
            e, classes = _clip_like(min(rows, n - start), d, 1000 + start)
            file.write(_units(e).half().numpy().tobytes())
            labels.append(classes)
    return torch.cat(labels)


def _race(title: str, ways: Ways, given: argparse.Namespace) -> dict[str, Any]:
    """Let the ways take turns after a warm-up; print times and ratios to the first; return what each found."""
    found = {name: way() for name, way in ways.items()}
    rounds = []
    for _ in range(given.rounds):
        taken = {}
        for name, way in ways.items():
            begun = _clock(given.device)
            way()
            taken[name] = _clock(given.device) - begun
        rounds.append(taken)
    print(title)
    ours = next(iter(ways))
    for name in ways:
        ratios = [taken[name] / taken[ours] for taken in rounds]
        seconds = statistics.median(taken[name] for taken in rounds)
        spread = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}, {len(rounds)} rounds)"
        print(f"  {name}: {seconds:.3f} s" + ("" if name == ours else f", synthgap is {spread} as fast"))
    return found


def _apart(mine: Any, theirs: Any) -> None:
    mine, theirs = np.asarray(mine), np.asarray(theirs)
    print(
        f"  greatest difference: {float((np.abs(mine - theirs) / np.maximum(1e-12, np.abs(theirs).max())).max()):.1e} of the greatest value"
    )


def _clock(device: str) -> float:
    """Seconds of the processor, or of a GPU once it is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _clip_like(n: int, d: int, seed: int, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Embeddings with a mean and a centre per class, the same for every seed, and their labels."""
    place, rows = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed + 1)
    mean, middles = torch.randn(d, generator=place), torch.randn(classes, d, generator=place)
    labels = torch.randint(classes, (n,), generator=rows)
    return mean + 0.8 * middles[labels] + 0.8 * torch.randn(n, d, generator=rows), labels


def _embeddings(given: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """References and queries, made up or a random choice of real ones."""
    if given.embeddings is None:
        made = _clip_like(given.references, given.dim, 0)[0], _clip_like(given.queries, given.dim, 1)[0]
        return made[0].to(given.device), made[1].to(given.device)
    e = torch.from_numpy(load_embeddings(given.embeddings).embeddings).float()
    order = torch.randperm(len(e), generator=torch.Generator().manual_seed(0))
    query = e[order[: min(given.queries, len(e) // 10)]]
    return e[order[len(query) :][: given.references]].to(given.device), query.to(given.device)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=("knn", "frechet", "sums", "prdc", "report", "large", "classes"))
    parser.add_argument("--references", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=5_000, help="size of both sets of prdc and of the report")
    parser.add_argument("--frechet", type=int, nargs="*", default=(768, 2048), help="dimensions")
    parser.add_argument("--embeddings", type=Path, help=".npz file or embedding folder, for the neighbours")
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--scale-references", type=int, default=1_281_167)
    return parser.parse_args()


if __name__ == "__main__":
    main()
