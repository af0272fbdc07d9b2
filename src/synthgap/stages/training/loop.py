"""Steps and epochs: losses, learning rate, accuracy after each epoch, checkpoints, and stopping at a signal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthgap.core.errors import Interrupted, RunError
from synthgap.core.interruption import how_to_continue, interruptible
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import TrainRecipe
from synthgap.metrics import bootstrap_interval
from synthgap.models.preprocessing import Preprocessing
from synthgap.stages.training.augmentation import View
from synthgap.stages.training.examples import Examples
from synthgap.stages.training.folder import TrainedFolder
from synthgap.stages.training.learner import Learner, rate
from synthgap.stages.training.loader import Batch, Loader, on_device
from synthgap.store.images import BrokenImage, decode_image

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped, unused-ignore]

CHECK_STEPS = 50
"""Steps between two looks at the loss: each look waits for the device."""
TEST_BATCH = 256
RESAMPLES = 1000
Progress = Callable[[int, int, str], None]


class AllViews(nn.Module):
    """The model on each kind of view, so that one call is one step also where gradients are averaged."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, views: list[Tensor]) -> list[Tensor]:
        """Logits of each kind of view."""
        return [self.model(view) for view in views]


@dataclass(frozen=True)
class Plan:
    """How long, and what is seen."""

    recipe: TrainRecipe
    steps: int
    epochs: int
    seed: int
    views: tuple[View, ...]
    preprocessing: Preprocessing
    config: dict[str, Any]

    def last_step(self, epoch: int) -> int:
        """Steps that are done when an epoch (from 1) ends; the epochs share them evenly."""
        return round(self.steps * epoch / self.epochs)


@dataclass
class Trainer:
    """One training on this process."""

    plan: Plan
    learner: Learner
    callable_model: nn.Module
    accelerator: Accelerator
    loader: Loader
    validation: Examples
    folder: TrainedFolder
    progress: Progress | None

    def run(self) -> None:
        """Train from the present state to the end.

        Raises:
            RunError: the loss is no number; the last checkpoint is kept.
            Interrupted: SIGINT or SIGTERM came; a checkpoint of the last step is kept.
        """
        device = self.accelerator.device
        devices = [device.index or 0] if device.type == "cuda" else []
        with interruptible() as check, torch.random.fork_rng(devices=devices):
            state = self.learner.state
            while len(state.history) < self.plan.epochs:
                try:
                    self._epoch(len(state.history) + 1, check)
                except Interrupted as stop:
                    if self.accelerator.is_main_process:
                        self.learner.save(self.folder.checkpoint)
                    raise Interrupted(
                        f"{stop} after step {state.step} of {self.plan.steps}; {how_to_continue()}"
                    ) from None

    def _epoch(self, epoch: int, check: Callable[[], None]) -> None:
        state, stop = self.learner.state, self.plan.last_step(epoch)
        begun, first, waited = time.perf_counter(), state.step, self.loader.waited
        device = self.accelerator.device
        exact = torch.float32 if device.type == "mps" else torch.float64
        total = torch.tensor(state.loss_sum, device=device, dtype=exact)
        self.learner.model.train()
        for batch in self.loader.batches(state.step, stop):
            if self._stopped(check):
                self._look(total)
                check()
                raise Interrupted("stopped with another process")
            total += self._step(batch).to(exact)
            state.step, state.loss_steps = state.step + 1, state.loss_steps + 1
            if state.step % CHECK_STEPS == 0:
                self._look(total)
            if self.progress is not None and self.accelerator.is_main_process:
                self.progress(state.step, self.plan.steps, "steps")
        self._look(total)
        spent = time.perf_counter() - begun
        row = {
            "epoch": epoch,
            "step": state.step,
            "loss": state.loss_sum / max(1, state.loss_steps),
            "learning_rate": rate(self.plan.recipe, max(0, state.step - 1), self.plan.steps),
            "seconds": round(spent, 3),
            "images_per_second": round((state.step - first) * self.plan.recipe.batch_size / max(spent, 1e-9), 1),
            "data_wait": round((self.loader.waited - waited) / max(spent, 1e-9), 4),
        }
        self._finish(row)

    def _stopped(self, check: Callable[[], None]) -> bool:
        """Whether a signal has come to any process; all stop at the same step."""
        try:
            check()
        except Interrupted:
            if self.accelerator.num_processes == 1:
                return True
            self.accelerator.set_trigger()
        return self.accelerator.num_processes > 1 and bool(self.accelerator.check_trigger())

    def _step(self, batch: Batch) -> Tensor:
        plan, learner, accelerator = self.plan, self.learner, self.accelerator
        step = learner.state.step
        # Dropout of a step is that of a run that was never interrupted.
        torch.manual_seed(derived_seed(plan.seed, "step", str(step), str(accelerator.process_index)))
        for group in learner.optimizer.param_groups:
            group["lr"] = rate(plan.recipe, step, plan.steps)
        views = on_device(batch, plan.views, plan.preprocessing, accelerator.device)
        labels = batch.labels.to(accelerator.device)
        losses, weights = [], []
        for logits in self.callable_model(views):
            times = len(logits) // len(labels)
            repeated = labels.repeat_interleave(times)
            losses.append(F.cross_entropy(logits.float(), repeated, label_smoothing=plan.recipe.label_smoothing))
            weights.append(times)
        loss = torch.stack([one * times for one, times in zip(losses, weights, strict=True)]).sum() / sum(weights)
        learner.optimizer.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        learner.optimizer.step()
        learner.averaged(plan.recipe.average)
        return loss.detach()

    def _look(self, total: Tensor) -> None:
        """Bring the sum of the losses here, the mean over the processes, and stop where it is no number."""
        state = self.learner.state
        mean: Any = self.accelerator.reduce(total.clone(), "mean")
        state.loss_sum = float(mean)
        if not math.isfinite(state.loss_sum):
            done = len(state.history)
            kept = f"the weights of epoch {done} are kept in {self.folder.path}" if done else "no epoch was finished"
            raise RunError(
                f"the loss became {state.loss_sum} by step {state.step} of {self.plan.steps} at a learning rate of "
                f"{self.plan.recipe.learning_rate:g}; {kept}; try a lower --learning-rate and another --out"
            )

    def _finish(self, row: dict[str, Any]) -> None:
        """Score the epoch and write everything; the checkpoint comes last."""
        state = self.learner.state
        row |= self._shared(self._accuracy())
        state.history.append(row)
        state.loss_sum, state.loss_steps = 0.0, 0
        if self.accelerator.is_main_process:
            weights = self.learner.weights()
            if row["accuracy"] is not None and (state.best is None or row["accuracy"] > state.best["accuracy"]):
                state.best = {"epoch": row["epoch"], "accuracy": row["accuracy"]}
                self.folder.write_weights(weights, self.plan.config, best=True)
            self.folder.write_weights(weights, self.plan.config)
            self.folder.write_history(state.history)
            self.learner.save(self.folder.checkpoint)
        self.accelerator.wait_for_everyone()

    def _shared(self, found: dict[str, Any]) -> dict[str, Any]:
        """What the main process found, on every process."""
        from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped, unused-ignore]

        told: list[dict[str, Any]] = broadcast_object_list([found])
        return told[0]

    @torch.inference_mode()
    def _accuracy(self) -> dict[str, Any]:
        """Share of the images kept apart that the kept weights tell right; broken ones are left out."""
        nothing = {"accuracy": None, "ci_low": None, "ci_high": None, "n": 0}
        if not len(self.validation) or not self.accelerator.is_main_process:
            return nothing
        model, device = self.learner.model, self.accelerator.device
        weights = dict(model.state_dict()) if self.learner.average is None else self.learner.average
        model.eval()
        right, labels = [], []
        for pixels, truth in _squares(self.validation, self.plan.preprocessing):
            inputs = self.plan.preprocessing.normalise(pixels.to(device), torch.float32)
            with self._precision():
                logits = torch.func.functional_call(
                    model, weights, inputs.contiguous(memory_format=torch.channels_last)
                )
            right.append((logits.argmax(1).cpu() == truth).double())
            labels.append(truth)
        if not right:
            return nothing
        scores, classes = torch.cat(right), torch.cat(labels)
        low, high = bootstrap_interval(scores, classes, resamples=RESAMPLES, seed=derived_seed(self.plan.seed, "ci"))
        ends = [end if math.isfinite(end) else None for end in (low, high)]
        return {"accuracy": float(scores.mean()), "ci_low": ends[0], "ci_high": ends[1], "n": len(scores)}

    def _precision(self) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = self.accelerator.autocast()
        return context


def _squares(examples: Examples, preprocessing: Preprocessing) -> Any:
    """Batches of prepared images (b, 3, h, w) uint8 and labels (b,)."""
    found: list[tuple[np.ndarray, int]] = []
    for number, one in enumerate(examples.members):
        if examples.held is not None:
            found.append((examples.held[number], one.label))
        else:
            try:
                found.append((preprocessing.prepare(decode_image(one.read())).numpy(), one.label))
            except BrokenImage as broken:
                examples.broken[one.key] = broken.reason
        if len(found) == TEST_BATCH:
            yield _stacked(found)
            found = []
    if found:
        yield _stacked(found)


def _stacked(found: list[tuple[np.ndarray, int]]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.stack([pixels for pixels, _ in found])), torch.tensor([label for _, label in found])
