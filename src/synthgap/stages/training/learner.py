"""What learns: weights, optimiser, moving average; and the checkpoint that holds all of it without pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synthgap.core.errors import InputError
from synthgap.core.specs import TrainRecipe
from synthgap.store.atomic import atomic_file, own_errors


def rate(recipe: TrainRecipe, step: int, steps: int) -> float:
    """Learning rate of a step: a line up over the first ``warmup`` of the steps, then a cosine down to 0."""
    rising = round(recipe.warmup * steps)
    if step < rising:
        return recipe.learning_rate * (step + 1) / rising
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def new_optimizer(model: nn.Module, recipe: TrainRecipe) -> torch.optim.SGD:
    """SGD with weight decay on matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.SGD(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )


@dataclass
class State:
    """Where a training is."""

    step: int = 0
    loss_sum: float = 0.0
    """Of the steps of the epoch so far."""
    loss_steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    """Epoch and accuracy of the best epoch."""


@dataclass
class Learner:
    """Everything that a step changes."""

    model: nn.Module
    """Without wrappers; it shares its weights with what the steps call."""
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor] | None
    """Moving average of the floating-point states, where the recipe has one."""
    state: State

    @torch.no_grad()
    def averaged(self, decay: float) -> None:
        """Move the average towards the present weights; its first steps forget faster."""
        if self.average is None:
            return
        decay = min(decay, (1 + self.state.step) / (10 + self.state.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def weights(self) -> dict[str, Tensor]:
        """The weights to keep: the average where there is one. On the CPU, contiguous."""
        found = self.model.state_dict() if self.average is None else self.average
        return {name: value.detach().cpu().contiguous() for name, value in found.items()}

    def save(self, path: Path) -> None:
        """Write the checkpoint in one step: tensors by name, all else as JSON in the file's head."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in (self.average or {}).items()}
        tensors |= {f"optimizer.{name}": value for name, value in self._buffers()}
        head = json.dumps(asdict(self.state))
        write_tensors(path, {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, head)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Raises InputError where the file is damaged."""
        tensors, head = read_tensors(path)
        self.state = State(**json.loads(head))
        parts = {part: _below(tensors, f"{part}.") for part in ("model", "average", "optimizer")}
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            for name, value in parts["average"].items():
                self.average[name].copy_(value)
        for name, value in parts["optimizer"].items():
            number, _, key = name.partition(".")
            parameter = self._parameters()[int(number)]
            self.optimizer.state[parameter][key] = value.to(parameter.device).clone(memory_format=torch.preserve_format)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        for number, parameter in enumerate(self._parameters()):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    yield f"{number}.{key}", value


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def write_tensors(path: Path, tensors: dict[str, Tensor], head: str = "") -> None:
    """Write a safetensors file atomically, with a text in its head."""
    from safetensors.torch import save

    data = save(tensors, metadata={"format": "pt"} | ({"synthgap": head} if head else {}))
    with atomic_file(path) as handle, own_errors(path):
        handle.write(data)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors of a file of ``write_tensors``, and the text in its head. Raises InputError where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get("synthgap", "")  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged ({error}); remove it to begin this training again") from None
