"""One process or many, through accelerate: which device, which precision, whose gradients are averaged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from synthgap.core.errors import InputError
from synthgap.models.devices import pick_device

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped, unused-ignore]


def new_accelerator(device: str | None, precision: Literal["float32", "bfloat16"], batch_size: int) -> Accelerator:
    """The accelerator of this process, alone or under torchrun or ``accelerate launch``.

    Raises InputError for a device that is not here, or a batch that the processes cannot share evenly.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped, unused-ignore]

    # The state is the process's own, and refuses another precision than that of an earlier training in it.
    AcceleratorState._reset_state()
    if device is not None:
        found = pick_device(device)
        if found.type != "cpu":
            os.environ.setdefault("ACCELERATE_TORCH_DEVICE", device)
    else:
        found = pick_device(None)
    made = Accelerator(
        cpu=found.type == "cpu",
        mixed_precision="bf16" if precision == "bfloat16" else "no",
        step_scheduler_with_optimizer=False,
    )
    if batch_size % made.num_processes:
        raise InputError(
            f"a batch of {batch_size} images cannot be shared by {made.num_processes} processes; "
            f"give a --batch-size that is a multiple of {made.num_processes}"
        )
    return made
