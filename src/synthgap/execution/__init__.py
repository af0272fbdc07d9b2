"""One function over many shards: local processes, launcher ranks, Ray. Imports only ``core``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from synthgap.core.interruption import interruptible
from synthgap.core.specs import Resources
from synthgap.execution.jobs import Check, Job, Tally, Tell, Tick, Worker
from synthgap.execution.local import run_here, run_processes
from synthgap.execution.ranks import Rank, find_rank

__all__ = ["Check", "Job", "Rank", "Tally", "Tell", "Tick", "Worker", "execute"]


def execute(
    job: Job,
    resources: Resources,
    devices: Sequence[str],
    *,
    budget: float | None = None,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Make every shard of a job that is not whole yet, with the executor of ``resources``.

    Under a launcher this process makes its share only, and returns when that is done.

    Args:
        job: what is to be made.
        resources: which executor.
        devices: of this machine, a process each.
        budget: share of failed rows at which the run stops.
        report: called with rows done and rows in all (of this process's share under a launcher).

    Raises:
        RunError: too many rows failed, too many workers died, or what a worker raised.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    rank = find_rank(os.environ) if resources.executor in ("auto", "rank") else Rank()
    rows = job.shards()
    share = rank.share(rows)
    pending = job.pending(share)
    tally = Tally(sum(rows[shard] for shard in share), budget, report)
    tally.add(Tick(sum(rows[shard] for shard in set(share) - set(pending)), found=True))
    if not pending:
        return
    with interruptible() as check:
        if resources.executor == "ray":
            from synthgap.execution.ray import run_ray

            run_ray(job, pending, resources, check, tally.add)
        elif rank.world > 1:
            device = devices[rank.local_rank % len(devices)] if rank.local_rank is not None else devices[0]
            run_here(job, pending, device, check, tally.add)
        elif len(devices) > 1:
            run_processes(job, pending, devices, check, tally.add)
        else:
            run_here(job, pending, devices[0], check, tally.add)
    tally.close()
