"""A linear classifier trained on one set, to be tested on another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from synthgap.metrics import _checks
from synthgap.metrics._logistic import TOLERANCE, prepare, solve
from synthgap.metrics._splits import held_out

L2_GRID = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""Penalties tried, on the scale of the mean loss: sklearn's ``C`` is ``1 / (l2 * n)``."""

VALIDATION_SHARE = 0.2


def linear_probe(
    train: Float[Tensor, "n d"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "m d"],
    num_classes: int,
    *,
    seed: int,
    l2_grid: Sequence[float] = L2_GRID,
) -> Int64[Tensor, " m"]:
    """Name the class of each test vector by a multinomial logistic regression fitted to the training vectors.

    How well a classifier trained on a synthetic set works on natural images, after arXiv:2311.00056 Tables 1 and 2,
    with a linear classifier on embeddings in place of a network. The vectors are used as they are given, each feature
    centred and scaled to unit variance of the training set. The L2 penalty that is right most often on a stratified
    fifth of the training set (of equals the one of the lowest cross-entropy) is fitted again to all of it; the test
    vectors choose nothing.

    Args:
        train: Training vectors.
        train_labels: Class of each in [0, num_classes).
        test: Vectors to classify, of the same width.
        num_classes: Number of classes.
        seed: Seed of the inner split.
        l2_grid: Penalties to choose from: ``l2 / 2 * |W|^2`` beside the mean cross-entropy, each above 0.

    Returns:
        Class of each test vector; a class without training vectors is never named.

    Raises:
        ValueError: Wrong shapes or widths, no training vector, labels of another length or out of range, rows that
            are not finite, or a penalty that is not above 0.

    Example:
        >>> import torch
        >>> train, labels = torch.tensor([[0.0], [0.2], [1.0], [1.2]]), torch.tensor([0, 0, 2, 2])
        >>> linear_probe(train, labels, torch.tensor([[-1.0], [3.0]]), num_classes=3, seed=0)
        tensor([0, 2])
    """
    train = _checks.features("train", train)
    test = _checks.features("test", test, width=train.shape[1])
    _checks.members("train", train)
    labels = _checks.labels("train_labels", train_labels, len(train), num_classes).to(train.device)
    if not l2_grid or not all(0 < l2 < torch.inf for l2 in l2_grid):
        raise ValueError(f"l2_grid: found {tuple(l2_grid)}; expected penalties above 0")
    present, labels = labels.unique(return_inverse=True)
    spread, mean = torch.std_mean(train.double(), dim=0, correction=0)
    scale = torch.where(spread > 0, spread, 1.0)
    x = (train.double() - mean) / scale
    apart = held_out(labels, len(present), VALIDATION_SHARE, _checks.generator(seed))
    best = _best_penalty(x, labels, len(present), apart, sorted(l2_grid, reverse=True))
    model = solve(prepare(x, labels, len(present)), [best], TOLERANCE)[0]
    logits = model.logits((test.to(x.device).double() - mean) / scale)
    found: Tensor = present[logits.argmax(dim=1)]
    return found.to(test.device)


def _best_penalty(x: Tensor, labels: Tensor, classes: int, apart: Tensor, penalties: Sequence[float]) -> float:
    """Penalty that is right most often on the rows set apart; the middle one where no class can spare a row."""
    if not apart.any() or len(penalties) == 1:
        return penalties[len(penalties) // 2]
    ranks = []
    for model in solve(prepare(x[~apart], labels[~apart], classes), penalties, TOLERANCE):
        logits = model.logits(x[apart])
        right = float((logits.argmax(dim=1) == labels[apart]).double().mean())
        ranks.append((right, -float(torch.nn.functional.cross_entropy(logits, labels[apart]))))
    return penalties[ranks.index(max(ranks))]
