"""Training stops and goes on without a trace, and refuses another configuration's checkpoint."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from synthgap.core.errors import FingerprintError, Interrupted
from synthgap.lab.loop import Schedule, batch_indices, train

DATA = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def model() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(3, 2)


def run(path: Path, steps: int, *, stop_after: int | None = None, identity: str = "x") -> dict[str, torch.Tensor]:
    learner = model()

    def loss(step: int) -> torch.Tensor:
        if step == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return learner(DATA[batch_indices(len(DATA), 8, step, 5)]).square().mean()

    return train(learner, loss, Schedule(steps, 8, 0.1, warmup=2, average=0.9), path, identity)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "a.pt", 12)
    with pytest.raises(Interrupted, match="after step 6 of 12"):
        run(tmp_path / "b.pt", 12, stop_after=5)
    resumed = run(tmp_path / "b.pt", 12)
    for key, value in whole.items():
        assert torch.equal(value, resumed[key])


def test_training_learns(tmp_path: Path) -> None:
    before = model()(DATA).square().mean().item()
    learner = model()
    learner.load_state_dict(run(tmp_path / "a.pt", 40))
    assert learner(DATA).square().mean().item() < 0.5 * before


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "a.pt", 2)
    with pytest.raises(FingerprintError, match="another configuration"):
        run(tmp_path / "a.pt", 4, identity="y")


def test_batches_cover_an_epoch_and_change_between_epochs() -> None:
    first = torch.cat([batch_indices(40, 8, step, 5) for step in range(5)])
    second = torch.cat([batch_indices(40, 8, step, 5) for step in range(5, 10)])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(40))
    assert first.tolist() != second.tolist()
