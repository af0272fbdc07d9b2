"""Which device and precision a model runs in."""

from __future__ import annotations

import torch

from synthgap.core.errors import InputError
from synthgap.core.specs import Dtype

DTYPES: dict[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def pick_device(name: str | None) -> torch.device:
    """The named device, or the best there is: CUDA, else Apple's MPS, else the CPU.

    Raises InputError for a name that torch does not know, or a device that this machine has not.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"device {name!r} cannot be used here ({first}); expected cpu, cuda, cuda:1 or mps") from error
    return device


def pick_devices(names: str | None) -> list[str]:
    """Devices of this machine to work on, a process each: those named with commas, or every CUDA device, or the best there is.

    Raises InputError as ``pick_device``.
    """
    if names is None:
        if torch.cuda.device_count() > 1:
            return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        return [str(pick_device(None))]
    return [str(pick_device(name.strip())) for name in names.split(",")]


def pick_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """The torch type of a precision.

    Raises InputError for float16 on a CPU, where matrix products in it are some hundred times slower than float32.
    """
    if dtype == "float16" and device.type == "cpu":
        raise InputError(
            "dtype float16 needs a GPU; use bfloat16 (about twice as fast as float32) or float32 on the CPU"
        )
    return DTYPES[dtype]
