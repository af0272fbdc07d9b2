"""Jobs that go wrong, or say something, before the first shard."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sample_job import SampleJob, SampleWorker


@dataclass(frozen=True)
class BrokenJob(SampleJob):
    error: Exception | None = None

    def worker(self, device: str | None) -> SampleWorker:
        assert self.error is not None
        raise self.error


@dataclass(frozen=True)
class TalkativeJob(SampleJob):
    def worker(self, device: str | None) -> SampleWorker:
        print("loading weights")
        logging.getLogger("synthgap.models").warning("%d prompts were cut", 3)
        return super().worker(device)
