"""Checks of arguments: every message names the argument, the value found and what is allowed.

They return the checked tensor in the form the measures compute with. `ValueError` in all cases, so that a caller
can tell a wrong argument from a figure that is not defined (NaN).
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_SEED = 2**63


def whole(name: str, value: int, least: int = 1) -> int:
    """Return an integer that is at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: found {value!r}; expected an integer of at least {least}")
    return value


def generator(seed: int) -> torch.Generator:
    """Return a CPU generator of its own for an explicit seed in [0, 2**63)."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < MAX_SEED:
        raise ValueError(f"seed: found {seed!r}; expected an integer in [0, 2**63)")
    return torch.Generator().manual_seed(seed)


def tensor(name: str, value: Tensor, ndim: int | None, *, floating: bool) -> Tensor:
    """Return a tensor of that many dimensions (any number for None), of a floating or of an integer type."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: found a {type(value).__name__}; expected a torch.Tensor (torch.as_tensor makes one)")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name}: found shape {tuple(value.shape)}; expected {ndim} dimension(s)")
    integral = not value.is_floating_point() and not value.is_complex() and value.dtype != torch.bool
    if not (value.is_floating_point() if floating else integral):
        raise ValueError(f"{name}: found {value.dtype}; expected {'a floating type' if floating else 'integers'}")
    return value


def features(name: str, e: Tensor, ndim: int | None = 2, *, width: int | None = None) -> Tensor:
    """Return finite vectors (…, d) as float32 or float64, without their gradient: figures have none.

    ``width`` is the d they must share with another argument.
    """
    return _vectors(name, e, ndim, width, directed=False).detach()


def embeddings(name: str, e: Tensor, ndim: int | None = 2, *, width: int | None = None) -> Tensor:
    """Return finite vectors that have a direction: as `features`, none of them zero, and with their gradient."""
    return _vectors(name, e, ndim, width, directed=True)


def _vectors(name: str, e: Tensor, ndim: int | None, width: int | None, *, directed: bool) -> Tensor:
    e = tensor(name, e, ndim, floating=True)
    if e.ndim == 0 or e.shape[-1] == 0:
        raise ValueError(f"{name}: found shape {tuple(e.shape)}; expected vectors of at least one dimension")
    if width is not None and e.shape[-1] != width:
        raise ValueError(
            f"{name}: found vectors of {e.shape[-1]} dimensions; expected {width}, as in the other argument"
        )
    largest, rows = peaks(e), e.shape[:-1].numel()
    broken = int((~torch.isfinite(largest)).sum())
    if broken:
        raise ValueError(f"{name}: {broken} of {rows} rows are not finite; leave them out first")
    zeros = int((largest == 0).sum()) if directed else 0
    if zeros:
        raise ValueError(
            f"{name}: {zeros} of {rows} rows are zero vectors, which have no direction; leave them out first"
        )
    return e if e.dtype == torch.float64 else e.float()


def peaks(e: Tensor) -> Tensor:
    """Return the largest absolute entry of each row: not finite where any entry is not, 0 only for a zero vector."""
    # eight times as fast as the infinity norm, and NaN goes through both
    return torch.maximum(e.amax(dim=-1), -e.amin(dim=-1)) if e.numel() else e.new_zeros(e.shape[:-1])


def labels(name: str, value: Tensor, rows: int, num_classes: int) -> Tensor:
    """Return int64 labels, one per row, each in [0, num_classes)."""
    value = tensor(name, value, 1, floating=False)
    whole("num_classes", num_classes)
    if len(value) != rows:
        raise ValueError(f"{name}: found {len(value)} labels for {rows} rows; expected one per row")
    if rows and (int(value.min()) < 0 or int(value.max()) >= num_classes):
        span = f"{int(value.min())} to {int(value.max())}"
        raise ValueError(
            f"{name}: found labels from {span}; expected them in [0, {num_classes}), the number of classes"
        )
    return value.long()


def scores(name: str, values: Tensor) -> Tensor:
    """Return one float64 per item; NaN stands for "not scored" and is allowed, infinity is not."""
    values = tensor(name, values, 1, floating=True)
    endless = int(torch.isinf(values).sum())
    if endless:
        raise ValueError(
            f"{name}: {endless} of {len(values)} values are infinite; expected finite values, or NaN for 'not scored'"
        )
    return values.double()


def members(name: str, e: Tensor) -> None:
    """Refuse a set without any row where at least one is needed to answer at all."""
    if len(e) == 0:
        raise ValueError(f"{name}: found 0 rows; expected at least 1")
