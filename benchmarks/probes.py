"""How fast a tuned logistic regression is, against scikit-learn's; every ratio with a check of the result.

    python benchmarks/probes.py                                # some minutes per round on one core
    python benchmarks/probes.py --only study --rounds 1
    python benchmarks/probes.py --embeddings features.npz      # features of others, labelled
    python benchmarks/probes.py --device cuda                  # scikit-learn stays on the CPU

Rows: `strengths` fits each strength by itself, nothing carried over from one to the next, as far as our default
tolerance; `study` is a whole search by Optuna's TPE, preparation included: ours asks for the trials in batches and fits
them together, scikit-learn fits one by one. Both searches have one seed, range and number of trials. The objectives are
computed in float64 for both; ours must not be above scikit-learn's at any strength that either search tried.

The ways of a row take turns; its ratio is the median of the rounds. On a CPU one thread is used and its processor time
counted, on a GPU the wall clock. scikit-learn is given float32 features, which it keeps, and is timed on float64 too
with --double. Made-up features are ReLU-like with a falling spectrum, and a tenth of their labels is wrong.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from synthgap.metrics import logistic_problem
from synthgap.store.embeddings import load_embeddings

SEED = 0

Ways = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Task:
    """Features and labels to train on, and to choose by."""

    train: Tensor
    labels: Tensor
    valid: Tensor
    own: Tensor
    classes: int


@dataclass(frozen=True)
class Search:
    """What a study found: the classifier of each strength that was tried, and the best accuracy."""

    models: dict[float, Any]
    accuracy: float


def main() -> None:
    """Run the rows that were asked for."""
    given = _arguments()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=sklearn.exceptions.ConvergenceWarning)
    task = _made_up(given) if given.embeddings is None else _real(given)
    print(
        f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, optuna {optuna.__version__}, {given.device}, "
        f"one thread, load {os.getloadavg()[0]:.1f}; {tuple(task.train.shape)}, {task.classes} classes"
    )
    rows = {"strengths": _strengths, "study": _study}
    for name in given.only or rows:
        rows[name](task, given)


def _strengths(task: Task, given: argparse.Namespace) -> None:
    features, labels = task.train.cpu().numpy(), task.labels.cpu().numpy()
    for strength in given.strengths:
        ways: Ways = {
            "synthgap": lambda c=strength: logistic_problem(task.train, task.labels, task.classes).fit([c])[0],
            "scikit-learn float32": lambda c=strength: _theirs(c).fit(features, labels),
        }
        if given.double:
            ways["scikit-learn float64"] = lambda c=strength: _theirs(c).fit(features.astype(np.float64), labels)
        found = _race(f"C = {strength:g}", ways, given)
        ours = found["synthgap"].objective
        for name, model in found.items():
            objective = ours if name == "synthgap" else _objective(model, task)
            right = _accuracy(model, task)
            print(f"  {name}: objective {objective:.6g} ({objective / ours - 1:+.1e} to ours), accuracy {right:.4f}")


def _study(task: Task, given: argparse.Namespace) -> None:
    ways: Ways = {
        "synthgap": lambda: _batches(task, given),
        "scikit-learn float32": lambda: _one_by_one(task, given, np.float32),
    }
    if given.double:
        ways["scikit-learn float64"] = lambda: _one_by_one(task, given, np.float64)
    low, high = given.range
    found = _race(f"{given.trials} trials of C in {low:g} to {high:g}, {given.batch} at once", ways, given)
    mine = found.pop("synthgap")
    print(f"  synthgap: best accuracy {mine.accuracy:.4f}")
    problem = logistic_problem(task.train, task.labels, task.classes)
    for name, theirs in found.items():
        fits = problem.fit(sorted(theirs.models))
        gaps = [fit.objective / _objective(theirs.models[fit.strength], task) - 1 for fit in fits]
        print(f"  {name}: best accuracy {theirs.accuracy:.4f}; our objectives at its strengths: {_spread(gaps)}")
    features, labels = task.train.cpu().numpy(), task.labels.cpu().numpy()
    some = sorted(mine.models)[:: max(1, given.trials // given.checked)]
    gaps = [mine.models[c].objective / _objective(_theirs(c).fit(features, labels), task) - 1 for c in some]
    print(f"  objectives of our study at {len(some)} of its strengths: {_spread(gaps)}")


def _spread(gaps: list[float]) -> str:
    above = sum(gap > 0 for gap in gaps)
    return f"{min(gaps):+.1e} to {max(gaps):+.1e} against scikit-learn's, {above} of {len(gaps)} above"


def _batches(task: Task, given: argparse.Namespace) -> Search:
    study, models = _new_study(), {}
    problem = logistic_problem(task.train, task.labels, task.classes)
    for start in range(0, given.trials, given.batch):
        trials = [study.ask() for _ in range(min(given.batch, given.trials - start))]
        fits = problem.fit([_strength(trial, given) for trial in trials])
        for trial, fit in zip(trials, fits, strict=True):
            study.tell(trial, _accuracy(fit, task))
            models[fit.strength] = fit
    return Search(models, study.best_value)


def _one_by_one(task: Task, given: argparse.Namespace, dtype: Any) -> Search:
    study, models = _new_study(), {}
    features, labels = task.train.cpu().numpy().astype(dtype, copy=False), task.labels.cpu().numpy()
    for _ in range(given.trials):
        trial = study.ask()
        model = _theirs(_strength(trial, given)).fit(features, labels)
        study.tell(trial, _accuracy(model, task))
        models[model.C] = model
    return Search(models, study.best_value)


def _new_study() -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))


def _strength(trial: optuna.Trial, given: argparse.Namespace) -> float:
    return float(trial.suggest_float("C", *given.range, log=True))


def _theirs(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1000)


def _accuracy(model: Any, task: Task) -> float:
    if isinstance(model, LogisticRegression):
        return float(model.score(task.valid.cpu().numpy(), task.own.cpu().numpy()))
    return float((model.scores(task.valid).argmax(dim=1) == task.own).double().mean())


def _objective(model: LogisticRegression, task: Task) -> float:
    """What scikit-learn reached of its own objective, in float64; every class is present here."""
    weight, bias = (torch.as_tensor(part, dtype=torch.float64) for part in (model.coef_, model.intercept_))
    logits = task.train.cpu().double() @ weight.T + bias
    loss = torch.nn.functional.cross_entropy(logits, task.labels.cpu(), reduction="sum")
    return float(model.C * loss + weight.square().sum() / 2)


def _race(title: str, ways: Ways, given: argparse.Namespace) -> dict[str, Any]:
    """Let the ways take turns; print times and ratios to the first; return what each found."""
    rounds, found = [], {}
    for _ in range(given.rounds):
        taken = {}
        for name, way in ways.items():
            begun = _clock(given.device)
            found[name] = way()
            taken[name] = _clock(given.device) - begun
        rounds.append(taken)
    print(f"{title}, load {os.getloadavg()[0]:.1f}")
    for name in ways:
        ratios = [taken[name] / taken["synthgap"] for taken in rounds]
        seconds = statistics.median(taken[name] for taken in rounds)
        spread = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}, {len(rounds)} rounds)"
        print(f"  {name}: {seconds:.3f} s" + ("" if name == "synthgap" else f", synthgap is {spread} as fast"))
    return found


def _clock(device: str) -> float:
    """Seconds of the processor, or of a GPU once it is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _made_up(given: argparse.Namespace) -> Task:
    """ReLU-like features whose latent spectrum falls as ``1 / sqrt(j)``; a tenth of the labels is drawn anew."""
    place, rows = (torch.Generator().manual_seed(SEED + i) for i in range(2))
    d, classes, total = given.dim, given.classes, given.images + given.images // 4
    spectrum = torch.arange(1, d + 1).rsqrt()
    mix = 20 * torch.randn(d, d, generator=place) / math.sqrt(d) * spectrum
    middles = torch.randn(classes, d, generator=place)
    labels = torch.randint(classes, (total,), generator=rows)
    features = torch.relu((0.35 * middles[labels] + torch.randn(total, d, generator=rows)) @ mix.T - 0.3)
    wrong = torch.rand(total, generator=rows) < 0.1
    labels = torch.where(wrong, torch.randint(classes, (total,), generator=rows), labels)
    return _task(features, labels, classes, given)


def _real(given: argparse.Namespace) -> Task:
    """Labelled embeddings of a file, in random order."""
    e = load_embeddings(given.embeddings)
    labels = torch.as_tensor(np.unique(np.asarray(e.class_keys), return_inverse=True)[1])
    features = torch.from_numpy(e.embeddings).float()
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(SEED))
    return _task(features[order], labels[order], int(labels.max()) + 1, given)


def _task(features: Tensor, labels: Tensor, classes: int, given: argparse.Namespace) -> Task:
    """The last fifth is what the strength is chosen by."""
    features, labels = features.to(given.device), labels.to(given.device)
    n = len(features) * 4 // 5
    return Task(features[:n], labels[:n], features[n:], labels[n:], classes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=("strengths", "study"))
    parser.add_argument("--images", type=int, default=5_000, help="to train on; a quarter as many to choose by")
    parser.add_argument("--dim", type=int, default=2_048)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--strengths", type=float, nargs="*", default=(1e-3, 1e-2, 0.1, 1.0, 10.0))
    parser.add_argument("--range", type=float, nargs=2, default=(1e-5, 1e5), help="of the study")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--checked", type=int, default=5, help="strengths of our study that scikit-learn fits anew")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--double", action="store_true", help="time scikit-learn on float64 features too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--embeddings", type=Path, help=".npz file or embedding folder with labels")
    return parser.parse_args()


if __name__ == "__main__":
    main()
