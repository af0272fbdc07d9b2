"""Fréchet distance and KID are torch-fidelity's, on random vectors and on photographs' pixels."""

from __future__ import annotations

import io
from functools import cache

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from synthgap.metrics import frechet_distance, kernel_distance
from synthgap.store.sources import open_images
from synthgap.study import lab_images


@cache
def pixels(name: str) -> Tensor:
    """The first 400 images of a set of the lab as 8 x 8 colours, (400, 192) in [0, 1]."""
    source = open_images(lab_images(name))
    rows = []
    for row in source.rows(source.splits[0], 0, 400):
        small = Image.open(io.BytesIO(row.read())).convert("RGB").resize((8, 8), Image.Resampling.BOX)
        rows.append(torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8))
    return torch.stack(rows).double() / 255


def random(seed: int) -> Tensor:
    return torch.randn(300, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


SETS = {
    "random": lambda: (random(0), 1.3 * random(1) + 0.2),
    "photographs": lambda: (pixels("natural"), pixels("sd14")),
}


@pytest.mark.parametrize("kind", SETS)
def test_frechet_distance(kind: str) -> None:
    a, b = SETS[kind]()
    statistics = [fid_features_to_statistics(e) for e in (a, b)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(a, b).total == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", SETS)
def test_kid(kind: str) -> None:
    a, b = SETS[kind]()
    a, b = a[:300], b[:300]
    options = {"kid_subsets": 1, "kid_subset_size": 300, "verbose": False, "rng_seed": 0}
    expected = kid_features_to_metric(a, b, **options)["kernel_inception_distance_mean"]
    assert kernel_distance(a, b, kernel="polynomial") == pytest.approx(expected, rel=1e-6)
