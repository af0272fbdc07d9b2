"""What an encoder is made of, whichever library it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from synthgap.core.errors import InputError
from synthgap.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class Towers:
    """An image tower, and where there is one a text tower that shares its space."""

    images: Callable[[torch.Tensor], torch.Tensor]
    """(b, 3, h, w) normalised pixels, on the device and in the type of the model -> (b, dim)."""
    texts: Callable[[list[str]], torch.Tensor] | None
    """b texts -> (b, dim); None for an encoder of images only."""
    preprocessing: Preprocessing
    dim: int


@torch.inference_mode()
def probed_dim(
    images: Callable[[torch.Tensor], torch.Tensor],
    preprocessing: Preprocessing,
    device: torch.device,
    dtype: torch.dtype,
) -> int:
    """Numbers per embedding, asked of the image tower, which must take what the preprocessing gives.

    Raises InputError where it gives no vector per image.
    """
    blank = torch.zeros(1, 3, *preprocessing.image_size, dtype=torch.uint8, device=device)
    found = images(preprocessing.normalise(blank, dtype))
    if found.ndim != 2:
        raise InputError(f"the encoder gives {tuple(found.shape[1:])} numbers per image; expected one pooled vector")
    return int(found.shape[1])
