"""uvec and codiff against closed forms, extreme scales and scipy."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cosine

from synthgap import metrics as plain


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.1, math.pi / 3, math.pi / 2, 2.0, math.pi])
def test_codiff_of_a_known_angle(metrics: SimpleNamespace, angle: float) -> None:
    x = torch.tensor([2.0, 0.0], dtype=torch.float64)
    y = 7 * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    # 2 sin^2(a/2) is 1 - cos(a) without cancellation
    assert float(metrics.codiff(x, y)) == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (1e-44, torch.float32),
        (1e-30, torch.float32),
        (3e38, torch.float32),
        (1e-320, torch.float64),
        (1e308, torch.float64),
    ],
)
def test_any_scale_has_a_direction(metrics: SimpleNamespace, scale: float, dtype: torch.dtype) -> None:
    e = torch.tensor([[1.0, 0.5]], dtype=dtype) * scale
    assert torch.linalg.vector_norm(metrics.uvec(e)).item() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types(metrics: SimpleNamespace, dtype: torch.dtype) -> None:
    unit = metrics.uvec(torch.tensor([3.0, 4.0], dtype=dtype))
    assert unit.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(unit.double(), torch.tensor([0.6, 0.8], dtype=torch.float64), rtol=1e-7, atol=0)


def test_shapes_broadcast(metrics: SimpleNamespace) -> None:
    x, y = torch.randn(4, 1, 3), torch.randn(5, 3)
    found = metrics.codiff(x, y)
    assert found.shape == (4, 5)
    assert float(found[2, 3]) == pytest.approx(cosine(x[2, 0].double().numpy(), y[3].double().numpy()), abs=1e-9)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=8), st.integers(0, 10**6))
def test_range_symmetry_and_identity(values: list[float], seed: int) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    y = torch.randn(len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    if not x.any():
        return
    assert 0 <= float(plain.codiff(x, y)) <= 2 + 1e-12
    assert float(plain.codiff(x, y)) == float(plain.codiff(y, x))
    assert float(plain.codiff(x, 3 * x)) == pytest.approx(0, abs=1e-24)
    assert float(plain.codiff(x, y) + plain.codiff(x, -y)) == pytest.approx(2, rel=1e-12)
