"""Launchers: torchrun, accelerate, MPI-like Slurm steps and Slurm arrays each start many processes; every one takes its share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from synthgap.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Rank:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1
    local_rank: int | None = None
    """Among the processes of this machine, which is the number of its GPU; None where the launcher hides the others' GPUs."""

    def share(self, shards: Iterable[str]) -> list[str]:
        """This process's shards: every ``world``-th, so that the shares are alike in size and stay the same after a restart."""
        return list(shards)[self.rank :: self.world]


_LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),  # torchrun, accelerate
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),  # srun
)


def find_rank(environment: Mapping[str, str]) -> Rank:
    """This process's rank, from the variables that launchers set; a single process where none did.

    Within a Slurm array every task has the processes of its own step, so both numbers count.

    Raises InputError for variables that are no numbers or do not fit together.
    """
    inner = next((found for names in _LAUNCHERS if (found := _read(environment, *names)).world > 1), Rank())
    outer = _array(environment)
    return Rank(outer.rank * inner.world + inner.rank, outer.world * inner.world, inner.local_rank)


def _read(environment: Mapping[str, str], rank: str, world: str, local: str) -> Rank:
    if rank not in environment or world not in environment:
        return Rank()
    found = Rank(_number(environment, rank), _number(environment, world), _number(environment, local, None))
    if not 0 <= found.rank < found.world:
        raise InputError(
            f"{rank} is {found.rank} and {world} is {found.world}; expected a rank below the number of processes"
        )
    return found


def _array(environment: Mapping[str, str]) -> Rank:
    if "SLURM_ARRAY_TASK_ID" not in environment or "SLURM_ARRAY_TASK_COUNT" not in environment:
        return Rank()
    first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0)
    step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
    number, world = _number(environment, "SLURM_ARRAY_TASK_ID"), _number(environment, "SLURM_ARRAY_TASK_COUNT")
    rank, odd = divmod(number - first, max(step, 1))
    if odd or not 0 <= rank < world:
        raise InputError(
            f"SLURM_ARRAY_TASK_ID is {number}, not one of {world} tasks from {first} in steps of {step}; "
            "use a plain array such as --array=0-15"
        )
    return Rank(rank, world)


def _number(environment: Mapping[str, str], name: str, default: int | None = -1) -> int:
    text = environment.get(name)
    if text is None:
        return default  # type: ignore[return-value]
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} is {text!r}, expected a whole number; it is set by the launcher") from None
