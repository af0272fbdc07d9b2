"""One training loop for every part of the lab: cosine schedule, averaged weights, checkpoints, continue by the same command."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from synthgap.core.errors import FingerprintError, Interrupted
from synthgap.core.interruption import how_to_continue, interruptible

Report = Callable[[int, int, str], None]
"""Called with (done, total, what)."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast one part learns."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 200
    average: float = 0.0
    """Decay of the exponential moving average of the weights; 0 for none."""
    checkpoint_seconds: float = 120.0

    def rate(self, step: int) -> float:
        """Learning rate as a share of the peak: linear warm-up, then a cosine to 1 %."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Averaged:
    """Exponential moving average of a module's parameters and buffers, with a warm-up so that early steps are forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {key: value.detach().clone().float() for key, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the model's present weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                self.values[key].lerp_(value.float(), 1 - decay)
            else:
                self.values[key].copy_(value)


def batch_indices(count: int, batch_size: int, step: int, seed: int) -> Tensor:
    """Indices of one batch: epochs of a seeded permutation, so that a continued run sees what an uninterrupted one sees."""
    per_epoch = max(1, count // batch_size)
    epoch, position = divmod(step, per_epoch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[position * batch_size : (position + 1) * batch_size]


@dataclass
class _Learner:
    """What a checkpoint holds."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    averaged: Averaged | None
    identity: str
    step: int = 0

    def load(self, path: Path) -> None:
        """Continue from a checkpoint; tensors and numbers only are read (no pickle)."""
        state = torch.load(path, weights_only=True)
        if state["identity"] != self.identity:
            raise FingerprintError(
                f"{path} belongs to another configuration ({state['identity']}, this one is {self.identity}): "
                "choose another --out, or run with the settings that started it"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        if self.averaged is not None:
            self.averaged.values = state["averaged"]

    def save(self, path: Path) -> None:
        """Write a checkpoint in one step: the old one stays until the new one is whole."""
        state = {
            "identity": self.identity,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state | ({"averaged": self.averaged.values} if self.averaged is not None else {}), partial)
        partial.replace(path)

    def update(self, loss: Tensor, rate: float) -> None:
        """One optimiser step at a learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update(self.model, self.step)
        self.step += 1


def train(
    model: nn.Module,
    loss_of: Callable[[int], Tensor],
    schedule: Schedule,
    checkpoint: Path,
    identity: str,
    report: Report | None = None,
) -> dict[str, Tensor]:
    """Train ``model`` on ``loss_of(step)`` and return the weights to keep (averaged where the schedule says so).

    The checkpoint is rewritten every ``checkpoint_seconds`` and on Ctrl-C; the same call continues from it. A
    checkpoint of another configuration (``identity``) is refused. ``CHECKPOINT.jsonl`` gets a line every 100 steps.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.99)
    )
    averaged = Averaged(model, schedule.average) if schedule.average else None
    learner = _Learner(model, optimizer, averaged, identity)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        learner.load(checkpoint)
    model.train()
    with interruptible() as check:
        try:
            _steps(learner, loss_of, schedule, checkpoint, report, check)
        except Interrupted as stop:
            learner.save(checkpoint)
            raise Interrupted(f"{stop} after step {learner.step} of {schedule.steps}; {how_to_continue()}") from None
    model.eval()
    return averaged.values if averaged is not None else model.state_dict()


def _steps(
    learner: _Learner,
    loss_of: Callable[[int], Tensor],
    schedule: Schedule,
    checkpoint: Path,
    report: Report | None,
    check: Callable[[], None],
) -> None:
    begun, saved, running = learner.step, time.monotonic(), 0.0
    while learner.step < schedule.steps:
        check()
        loss = loss_of(learner.step)
        learner.update(loss, schedule.learning_rate * schedule.rate(learner.step))
        running += (loss.item() - running) * max(0.02, 1 / (learner.step - begun))
        last = learner.step == schedule.steps
        if last or learner.step % 100 == 0:
            with checkpoint.with_suffix(".jsonl").open("a") as handle:
                handle.write(
                    json.dumps({"step": learner.step, "loss": round(running, 5), "time": round(time.time())}) + "\n"
                )
            if report is not None:
                report(learner.step, schedule.steps, f"loss {running:.4f}")
        if last or time.monotonic() - saved > schedule.checkpoint_seconds:
            learner.save(checkpoint)
            saved = time.monotonic()
