"""Several prompts of one class against one set: what each wins and loses (M App. B, Fig. 9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from synthgap import metrics
from synthgap.core.counting import counted
from synthgap.core.errors import RunError
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import MeasureSpec
from synthgap.store.embeddings import EmbeddingSet

MOST_NAMES = 3
"""Classes named for what a prompt's images are taken for."""
Row = dict[str, Any]
Ends = tuple[float, float]


@dataclass(frozen=True)
class PromptImages:
    """The images of one prompt; those of equal keys have the same noise under every prompt."""

    prompt: str
    images: EmbeddingSet
    text: NDArray[np.float32] | None
    """(d,) embedding of the prompt; None for an encoder of images only."""


@dataclass(frozen=True)
class _Scored:
    """Figures of the images of one prompt."""

    keys: list[str]
    per_image: dict[str, Tensor]
    """By name, (n,) float64."""
    figures: dict[str, Row]
    taken_for: list[Row]


def probe_prompts(
    reference: EmbeddingSet, class_key: str, sets: Sequence[PromptImages], spec: MeasureSpec, permutations: int
) -> list[Row]:
    """Measure the images of each prompt against a reference set, and against those of the first prompt in pairs.

    Args:
        reference: Images, of which all classes are references.
        class_key: The reference set's key of the class that is probed.
        sets: At least one; the first is what the others differ from.
        spec: Resamples and seed.
        permutations: Sign flips of the paired tests.

    Returns:
        A row per prompt. ``figures``: ``centroid_accuracy`` (Wilson's interval), ``centroid_distance``,
        ``centroid_shift`` to the class's own centroid, ``centroid_cosine`` (mean cosine of the images to it) and
        ``prompt_cosine`` (to their own prompt), the rest with bootstrap intervals. ``differences`` to the first prompt
        of what is a mean over images, over the n pairs of one noise, with ``p_value`` and with ``p_holm``, which holds
        for all prompts together. ``taken_for``: the classes of other centroids that images are nearest to.

    Raises:
        RunError: The prompts have fewer than two images of one noise in common.
    """
    scored = [_score(reference, class_key, one, spec) for one in sets]
    shared = set(scored[0].keys).intersection(*(one.keys for one in scored))
    if len(shared) < 2:
        raise RunError(
            f"{counted(len(shared), 'image')} came out under every prompt; two are needed to compare them in pairs"
        )
    differences = [_differences(one, scored[0], sorted(shared), spec, permutations) for one in scored[1:]]
    _correct_for_many(differences)
    return [
        {"prompt": one.prompt, "n": len(one.images), "figures": own.figures, "taken_for": own.taken_for}
        | {"differences": apart}
        for one, own, apart in zip(sets, scored, [{}, *differences], strict=True)
    ]


def _score(reference: EmbeddingSet, class_key: str, one: PromptImages, spec: MeasureSpec) -> _Scored:
    order = list(reference.classes)
    seed = derived_seed(spec.seed, "probe-prompts")
    a, labels_a = torch.from_numpy(reference.embeddings), torch.from_numpy(reference.labels(order))
    b, place = torch.from_numpy(one.images.embeddings), order.index(class_key)
    labels_b = torch.full((len(b),), place)
    found = metrics.query_scores(a, labels_a, b, labels_b, len(order), seed, ks=())
    alone = torch.zeros(len(b), dtype=torch.long)
    own = metrics.uvec(metrics.centroids(b, alone, 1)[0].double())
    per_image = {
        "centroid_accuracy": found.correct,
        "centroid_distance": (1 - metrics.uvec(b.double()) @ own).square(),
        "centroid_cosine": found.own_cosine,
    }
    if one.text is not None:
        words = metrics.uvec(torch.from_numpy(one.text).double())
        per_image["prompt_cosine"] = metrics.uvec(b.double()) @ words
    figures = {name: _mean(values, spec) for name, values in per_image.items()}
    figures["centroid_accuracy"] = _share(found.correct)
    spread = metrics.centroid_distance_bootstrap(b, alone, 1, resamples=spec.bootstrap, seed=seed)
    figures["centroid_distance"] |= {"ci_low": float(spread.low[0]), "ci_high": float(spread.high[0])}
    members = a[labels_a == place]
    sides = (members, torch.zeros(len(members), dtype=torch.long), b, alone, 1)
    shift = metrics.centroid_shift_bootstrap(*sides, resamples=spec.bootstrap, seed=seed)
    ends = (float(shift.low[0]), float(shift.high[0]))
    figures["centroid_shift"] = _number(float(metrics.centroid_shift(*sides)[0]), ends, len(b))
    names = list(reference.classes.values())
    wrong = Counter(names[label] for label in found.nearest_centroid.tolist() if label != place)
    taken = [{"name": name, "share": count / len(b)} for name, count in wrong.most_common(MOST_NAMES)]
    return _Scored(one.images.image_keys, per_image, figures, taken)


def _differences(one: _Scored, first: _Scored, keys: Sequence[str], spec: MeasureSpec, permutations: int) -> Row:
    rows: Row = {}
    for name in one.per_image:
        now, before = (_in_order(side.per_image[name], side.keys, keys) for side in (one, first))
        test = metrics.paired_test(
            now, before, permutations=permutations, seed=derived_seed(spec.seed, "probe-prompts", name)
        )
        rows[name] = _mean(now - before, spec) | {"p_value": test.p_value}
    return rows


def _correct_for_many(differences: Sequence[Row]) -> None:
    """Add ``p_holm``: what is called a difference is one although several prompts were tried."""
    for name in differences[0] if differences else ():
        corrected = metrics.holm(torch.tensor([row[name]["p_value"] for row in differences], dtype=torch.float64))
        for row, p in zip(differences, corrected.tolist(), strict=True):
            row[name]["p_holm"] = p


def _in_order(values: Tensor, keys: Sequence[str], wanted: Sequence[str]) -> Tensor:
    place = {key: number for number, key in enumerate(keys)}
    return values[[place[key] for key in wanted]]


def _mean(values: Tensor, spec: MeasureSpec) -> Row:
    labels = torch.zeros(len(values), dtype=torch.long)
    ends = metrics.bootstrap_interval(
        values, labels, resamples=spec.bootstrap, seed=derived_seed(spec.seed, "probe-prompts", "bootstrap")
    )
    return _number(float(values.mean()), ends, len(values))


def _share(correct: Tensor) -> Row:
    """A share with Wilson's interval, which has a width also where all images are right."""
    hits, n = int(correct.sum()), len(correct)
    ends = binomtest(hits, n).proportion_ci(method="wilson")
    return _number(hits / n, (float(ends.low), float(ends.high)), n)


def _number(value: float, ends: Ends, n: int) -> Row:
    return {"value": value, "ci_low": ends[0], "ci_high": ends[1], "n": n}
