"""What an encoder is made of, whichever library it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from synthgap.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class Towers:
    """An image tower and a text tower that share one space."""

    images: Callable[[torch.Tensor], torch.Tensor]
    """(b, 3, h, w) normalised pixels, on the device and in the type of the model -> (b, dim)."""
    texts: Callable[[list[str]], torch.Tensor]
    """b texts -> (b, dim)."""
    preprocessing: Preprocessing
    dim: int
