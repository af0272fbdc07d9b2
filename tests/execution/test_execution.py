"""Executors: every shard is made once, by whoever is left, and what goes wrong is said in one line."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from sample_job import SampleJob

from synthgap.core.errors import InputError, Interrupted, RunError
from synthgap.core.specs import Resources
from synthgap.execution import Rank, Tally, Tick, execute, find_rank
from synthgap.execution.jobs import portions

LOCAL = Resources(executor="local")


def made(job: SampleJob) -> list[str]:
    return [job.path(shard).read_text() for shard in job.shards() if job.path(shard).exists()]


def test_one_device_works_in_this_process(tmp_path: Path) -> None:
    job = SampleJob(tmp_path)
    told: list[tuple[int, int]] = []
    job.path("train/c-00000").write_text("there already")
    execute(job, LOCAL, ["cpu"], report=lambda done, total: told.append((done, total)))
    assert len(made(job)) == 8 and all(str(os.getpid()) in text for text in made(job)[1:])
    assert told[0] == (300, 2400) and told[-1] == (2400, 2400) and told == sorted(told)


def test_several_devices_are_a_process_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    job = SampleJob(tmp_path, slow=0.2)
    execute(job, LOCAL, ["cpu", "cuda:7"])
    devices, processes, threads = zip(*(text.split() for text in made(job)), strict=True)
    assert len(devices) == 8 and set(devices) == {"cpu", "cuda:7"}
    assert len(set(processes)) == 2 and str(os.getpid()) not in processes
    assert set(threads) == {str(max(1, (os.cpu_count() or 1) // 2))}
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_killed_process_costs_only_what_it_held(tmp_path: Path) -> None:
    job = SampleJob(tmp_path, kill_at="train/c-00003", slow=0.1)
    execute(job, LOCAL, ["cpu", "cpu"])
    assert len(made(job)) == 8 and (tmp_path / "killed").exists()
    assert len({text.split()[1] for text in made(job)}) == 3  # the third took the killed one's place


def test_processes_that_always_die_end_the_run(tmp_path: Path) -> None:
    job = SampleJob(tmp_path, kill_at="train/c-00003", kill_always=True)
    with pytest.raises(RunError, match="4 worker processes died, the last on cpu by SIGKILL"):
        execute(job, LOCAL, ["cpu", "cpu"])
    assert len(made(job)) >= 3


def test_an_error_in_a_process_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^the disk is full$"):
        execute(SampleJob(tmp_path, fail_at="train/c-00002"), LOCAL, ["cpu", "cpu"])


def test_a_signal_ends_all_processes(tmp_path: Path) -> None:
    job = SampleJob(tmp_path, slow=0.3)
    sent: list[int] = []

    def stop(done: int, _: int) -> None:
        if done and not sent:  # a second signal would not wait
            sent.append(done)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"):
        execute(job, LOCAL, ["cpu", "cpu"], report=stop)
    assert len(made(job)) < 8
    execute(job, LOCAL, ["cpu"])
    assert len(made(job)) == 8


def test_ranks_share_without_overlap_and_without_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = SampleJob(tmp_path)
    for rank in range(3):
        for name, value in {"RANK": rank, "WORLD_SIZE": 3, "LOCAL_RANK": rank}.items():
            monkeypatch.setenv(name, str(value))
        before = len(made(job))
        execute(job, Resources(), ["cuda:0", "cuda:1", "cuda:2"])
        assert len(made(job)) - before == (3, 3, 2)[rank]
    assert [text.split()[0] for text in made(job)] == [f"cuda:{number % 3}" for number in range(8)]
    (tmp_path / "train-c-00000").unlink()
    execute(job, LOCAL, ["cpu"])  # a launcher's variables do not bind the local executor
    assert len(made(job)) == 8


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Rank()),
        ({"RANK": "2", "WORLD_SIZE": "8", "LOCAL_RANK": "2"}, Rank(2, 8, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_LOCALID": "0"}, Rank()),  # an interactive shell
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}, Rank(5, 8, 1)),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_STEP": "2"}, Rank(3, 4)),
        ({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, Rank(5, 8, 1)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}, Rank(1, 2, 0)),
    ],
)  # fmt: skip
def test_launchers_are_recognised(variables: dict[str, str], expected: Rank) -> None:
    assert find_rank(variables) == expected


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x', expected a whole number"),
        ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK is 4 and WORLD_SIZE is 4; expected a rank below"),
        ({"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "4"}, "SLURM_ARRAY_TASK_ID is 9, not one of 4 tasks"),
    ],
)
def test_variables_that_do_not_fit(variables: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_rank(variables)


def test_portions_are_whole_shards_in_order() -> None:
    assert list(portions({"a": 300, "b": 300, "c": 600, "d": 1}, 500)) == [["a", "b"], ["c"], ["d"]]
    assert list(portions({}, 500)) == []


def test_the_budget_stops_a_run_that_only_fails() -> None:
    tally = Tally(100, 0.05, None)
    tally.add(Tick(10, 10, "first"))  # too few to judge
    with pytest.raises(
        RunError, match=r"20 of 20 images failed, more than failure_budget 0\.05 allows; the first: first"
    ):
        tally.add(Tick(10, 10, "second"))
    none = Tally(3, None, None)
    none.add(Tick(2, 2, "why"))
    with pytest.raises(RunError, match="2 of 2 images failed; the first: why"):
        none.close()
    fine = Tally(1000, 0.05, None)
    fine.add(Tick(500, found=True))
    fine.add(Tick(100, 5))
    fine.close()
