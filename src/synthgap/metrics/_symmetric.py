"""Symmetric matrices in float64, of which one triangle is computed: half the work of products that know nothing of it.

On a CPU by the BLAS and LAPACK that scipy brings, since torch has neither a symmetric product nor ``L^T B L``; elsewhere by
torch, in strips that leave out what lies above the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from scipy.linalg import blas, eigvalsh, lapack
from torch import Tensor

STRIPS = 4
"""Parts that a triangle is computed in where a library has none of its own."""


def add_products(gram: Tensor, x: Tensor) -> None:
    """Add ``x.T @ x`` of rows (n, d) to a contiguous matrix (d, d), on and below its diagonal."""
    if _by_lapack(gram):
        # seen column by column, as BLAS does, the lower triangle is the upper one
        blas.dsyrk(1.0, _columns(x), beta=1.0, c=gram.detach().numpy().T, lower=0, overwrite_c=1)
        return
    for part in _strips(x.shape[1]):
        gram[part.start :, part].addmm_(x[:, part.start :].T, x[:, part])


def mirrored(lower: Tensor) -> Tensor:
    """The whole symmetric matrix of what stands on and below its diagonal; what stands above is lost."""
    whole = lower.tril_() + lower.T
    whole.diagonal().div_(2)
    return whole


def congruent(factor: Tensor, b: Tensor) -> Tensor:
    """``factor.T @ b @ factor`` of a lower triangle and a symmetric matrix (d, d); right on and below its diagonal."""
    if _by_lapack(b):
        found, _ = lapack.dsygst(_columns(b), _columns(factor), itype=2, lower=0)
        return torch.from_numpy(found.T)
    right, gram = torch.empty_like(b), torch.zeros_like(b)
    for part in _strips(len(b)):
        right[:, part] = b[:, part.start :] @ factor[part.start :, part]
    for part in _strips(len(b)):
        gram[part, : part.stop] = factor[part.start :, part].T @ right[part.start :, : part.stop]
    return gram


def eigenvalues(gram: Tensor) -> Tensor:
    """Ascending eigenvalues of a symmetric matrix (d, d), of which the triangle below the diagonal is read."""
    if _by_lapack(gram):
        return torch.from_numpy(eigvalsh(_columns(gram), lower=False, driver="ev", check_finite=False))
    found: Tensor = torch.linalg.eigvalsh(gram)
    return found


def _columns(matrix: Tensor) -> Any:
    """The matrix turned over as an array column by column, as BLAS reads it."""
    return matrix.detach().contiguous().numpy().T


def _by_lapack(matrix: Tensor) -> bool:
    return matrix.device.type == "cpu" and len(matrix) > 0


def _strips(d: int) -> Iterator[slice]:
    width = max(1, -(-d // STRIPS))
    return (slice(start, min(start + width, d)) for start in range(0, d, width))
