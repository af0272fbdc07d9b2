"""A job without models: a shard is a text file of its rows, made a row at a time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.errors import RunError
from synthgap.execution import Check, Tell, Tick


@dataclass(frozen=True)
class SampleJob:
    folder: Path
    count: int = 8
    rows: int = 300
    kill_at: str = ""
    """Shard at which a worker kills itself, once."""
    kill_always: bool = False
    fail_at: str = ""
    slow: float = 0.0
    meets: str = ""
    """Number of threads of a worker without which the second half of the shards is not done, for a minute."""

    def shards(self) -> dict[str, int]:
        return {f"train/c-{number:05d}": self.rows for number in range(self.count)}

    def pending(self, shards: Iterable[str]) -> list[str]:
        return [shard for shard in shards if not self.path(shard).exists()]

    def path(self, shard: str) -> Path:
        return self.folder / shard.replace("/", "-")

    def worker(self, device: str | None) -> SampleWorker:
        return SampleWorker(self, device)


@dataclass(frozen=True)
class SampleWorker:
    job: SampleJob
    device: str | None

    def _meet(self, shard: str) -> None:
        """Wait for the worker that is to join, however slowly it starts."""
        wanted, half = self.job.meets, f"train/c-{self.job.count // 2:05d}"
        end = time.monotonic() + 60
        while wanted and shard >= half and os.environ.get("OMP_NUM_THREADS") != wanted and time.monotonic() < end:
            if any(path.read_text().endswith(f" {wanted}") for path in self.job.folder.glob("train-*")):
                return
            time.sleep(0.05)

    def work(self, shards: Sequence[str], check: Check, tell: Tell) -> None:
        for shard in shards:
            check()
            time.sleep(self.job.slow)
            self._meet(shard)
            mark = self.job.folder / "killed"
            if shard == self.job.kill_at and (self.job.kill_always or not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if shard == self.job.fail_at:
                raise RunError("the disk is full")
            tell(Tick(self.job.rows))
            self.job.path(shard).write_text(f"{self.device} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}")
