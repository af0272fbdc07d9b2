"""The Ray executor: an actor per GPU of a cluster, or per machine where there are none.

An actor or a whole node that dies costs the portion it held: another makes that again. Nodes that join get actors
while there is work. What is pending is known from the set's folder alone, which all nodes must see.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import secrets
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

from synthgap.core.errors import InputError, Interrupted, MissingExtra, RunError, SynthgapError
from synthgap.core.interruption import SIGNALS
from synthgap.core.specs import Resources
from synthgap.execution.jobs import Check, Job, Tell, Tick, portions
from synthgap.execution.local import PORTION_ROWS

log = logging.getLogger(__name__)

DEATHS = 3
"""So many more workers than there ever were at once may die without one portion being finished, before the run gives up."""
LOOK_SECONDS = 3.0
"""Time between two looks at the cluster's nodes."""
TALK_SECONDS = 2.0
"""An actor that has nothing to say answers after this long."""
START_SECONDS = 60.0
"""An actor that has not started by now is not counted on; its GPU may be another's."""
STOP_SECONDS = 30.0
"""Time for actors to write what is finished, when the run is stopped."""
CONNECT_SECONDS = 10.0

Message = tuple[Literal["free", "tick", "log", "error"], Any]


def run_ray(job: Job, shards: Sequence[str], resources: Resources, check: Check, tell: Tell) -> None:
    """Make shards on a Ray cluster.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: the cluster cannot be joined, or a node cannot work on this job.
        RunError: what a worker raised, or too many of them died.
        Interrupted: ``check`` raised it; the actors drop their batches and end.
    """
    ray = _import_ray()
    rows = job.shards()
    waiting = deque(portions({shard: rows[shard] for shard in shards}, PORTION_ROWS))
    with _cluster(ray, resources.address):
        pool = _Pool(ray, job, waiting, _device(ray, resources.device), tell)
        try:
            while not pool.finished:
                check()
                pool.staff()
                pool.listen()
        finally:
            pool.stop()


def _import_ray() -> Any:
    # Read when Ray is imported; what the user has set stays.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about a default to come
    # Ray prints what its daemons report on the driver's standard output, whatever log_to_driver says; results go there.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        importlib.import_module("aiohttp")  # Ray starts without it, and then fails to start actors
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtra(
            f"the Ray executor needs {error.name}, which is not installed; pip install 'synthgap[ray]'"
        ) from None


@contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Be connected to a cluster: the one this program is in already, the one named, or one started here for the while.

    Raises InputError where it cannot be joined, after seconds: Ray itself would try for minutes.
    """
    if ray.is_initialized():
        yield
        return
    if address in (None, "auto"):
        address = os.environ.get("RAY_ADDRESS") or address or "local"
    _knock(address)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    with _own_token() if address == "local" else nullcontext():
        try:
            ray.init(
                address=address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                **({"include_dashboard": False, "object_store_memory": 128 * 1024**2} if address == "local" else {}),
            )
        except Exception as error:
            raise _no_cluster(address, _first_line(error), repr(error.__cause__)) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():  # Ray takes SIGTERM for itself, and would exit at once
                    signal.signal(number, handler)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _own_token() -> Iterator[None]:
    """Guard a cluster of our own with a token of its own.

    Ray would write one into the user's home, and from then on ask for it in clusters that the user starts.
    """
    if "RAY_AUTH_MODE" in os.environ or "RAY_AUTH_TOKEN" in os.environ:
        yield
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN"]
        os.environ.pop("RAY_AUTH_MODE", None)  # set by Ray


def _knock(address: str) -> None:
    found = re.fullmatch(r"(?:ray://)?\[?(?P<host>[^/]+?)\]?:(?P<port>\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found["host"], int(found["port"])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, _first_line(error)) from None


def _no_cluster(address: str, why: str, cause: str = "") -> InputError:
    if "AuthToken" in cause:
        why = "it asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token as on its head"
    return InputError(
        f"no Ray cluster can be joined at {address!r} ({why}); expected auto, host:6379 or ray://host:10001 of a running "
        "cluster, or no address to start one on this machine"
    )


def _device(ray: Any, name: str | None) -> Literal["cuda", "cpu"]:
    """What the actors work on; the same for all, so that all images are alike."""
    if name is None:
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"
    if name in ("cuda", "cpu"):
        return name  # type: ignore[return-value]
    raise InputError(f"device is {name!r}, expected cuda or cpu: Ray gives every worker a GPU of its own")


class _Hand:
    """One actor, seen from the driver, with its node and what it is making."""

    def __init__(self, actor: Any, node: str, host: str) -> None:
        self.actor, self.node, self.host = actor, node, host
        self.portion: list[str] = []
        self.told = 0
        """Rows of the portion that were counted."""
        self.ready = False
        self.late = time.monotonic() + START_SECONDS
        self.answer = actor.talk.remote()

    def give(self, portion: list[str] | None) -> None:
        if portion is not None:
            self.portion, self.told = portion, 0
        self.answer = self.actor.talk.remote(portion)


class _Pool:
    def __init__(self, ray: Any, job: Job, waiting: deque[list[str]], device: str, tell: Tell) -> None:
        self.ray, self.job, self.waiting, self.device, self.tell = ray, job, waiting, device, tell
        self.rows = job.shards()
        self.hands: list[_Hand] = []
        self._deaths = self._most = 0
        self._look = 0.0
        self._warn = time.monotonic() + START_SECONDS

    @property
    def finished(self) -> bool:
        return not self.waiting and not any(hand.portion for hand in self.hands)

    def staff(self) -> None:
        """Every few seconds, start actors where there is room, as many as there are portions that wait for one."""
        now = time.monotonic()
        if now < self._look:
            return
        self._look = now + LOOK_SECONDS
        awaited = sum(not hand.ready and now < hand.late for hand in self.hands)
        for node in self._free_places():
            if awaited >= len(self.waiting):
                break
            self._start(node)
            awaited += 1
        self._most = max(self._most, len(self.hands))
        if now > self._warn and not any(hand.ready for hand in self.hands):
            self._warn = float("inf")
            kind = "GPU" if self.device == "cuda" else "CPU"
            log.warning(
                "no worker has started on the Ray cluster after %g s; waiting for a node with a free %s",
                START_SECONDS,
                kind,
            )

    def _free_places(self) -> Iterator[dict[str, Any]]:
        """Nodes, each as often as it has room for an actor more."""
        for node in self.ray.nodes():
            held = sum(hand.node == node["NodeID"] for hand in self.hands)
            if node["Alive"]:
                yield from [node] * (self._places(node) - held)

    def _places(self, node: dict[str, Any]) -> int:
        if self.device == "cuda":
            return int(node["Resources"].get("GPU", 0))
        return int(node["Resources"].get("CPU", 0) >= 1)

    def _start(self, node: dict[str, Any]) -> None:
        """Start an actor on a node: with a GPU and its share of the cores as threads, or with all cores."""
        cores = int(node["Resources"].get("CPU", 1))
        wanted = {"num_gpus": 1, "num_cpus": 0} if self.device == "cuda" else {"num_cpus": cores}
        place = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        threads = max(1, cores // self._places(node))
        actor = (
            self.ray.remote(_Server)
            .options(
                **wanted,
                scheduling_strategy=place,
                max_concurrency=2,  # talk and stop
                runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads)}},
            )
            .remote(self.job, self.device, node["NodeManagerHostname"], str(Path.cwd()))
        )
        self.hands.append(_Hand(actor, node["NodeID"], node["NodeManagerHostname"]))

    def listen(self) -> None:
        """Take what the actors say for a moment, and hand out more work."""
        answers = {hand.answer: hand for hand in self.hands}
        if not answers:
            time.sleep(0.2)
            return
        self.ray.wait(list(answers), timeout=0.2)
        ready, _ = self.ray.wait(list(answers), num_returns=len(answers), timeout=0)
        for answer in ready:
            hand = answers[answer]
            try:
                messages = self.ray.get(answer)
            except self.ray.exceptions.RayError as error:
                self._mourn(hand, error)
            else:
                self._hear(hand, messages)

    def _hear(self, hand: _Hand, messages: Sequence[Message]) -> None:
        hand.ready, portion = True, None
        for kind, value in messages:
            if kind == "tick":
                hand.told += value.rows
                self.tell(value)
            elif kind == "log":
                log.log(value[0], "%s: %s", hand.host, value[1])
            elif kind == "error":
                raise value
            else:
                if hand.portion:
                    hand.portion, self._deaths = [], 0
                if not self.waiting:
                    self._dismiss(hand)
                    return
                portion = self.waiting.popleft()
        hand.give(portion)

    def _mourn(self, hand: _Hand, error: Exception) -> None:
        self._dismiss(hand)  # it may only be out of reach
        if getattr(error, "actor_init_failed", False):
            raise InputError(
                f"no worker can start on node {hand.host} ({_last_line(error)}); "
                "expected the same synthgap, Python and Ray on every node"
            ) from None
        self._deaths += 1
        if self._deaths > DEATHS + self._most:
            raise RunError(
                f"{self._deaths} Ray workers died and none finished its work, the last on node {hand.host} "
                f"({_cause(error)}); finished shards are kept: give more memory or a smaller batch_size "
                "and run the same command again"
            )
        left = self.job.pending(hand.portion)
        made = sum(self.rows[shard] for shard in set(hand.portion) - set(left))
        if made > hand.told:  # it died with its last words unsaid
            self.tell(Tick(made - hand.told, found=True))
        if left:
            self.waiting.append(left)  # behind the others: it may be what kills
        self._look = 0.0

    def _dismiss(self, hand: _Hand) -> None:
        self.hands.remove(hand)
        with suppress(self.ray.exceptions.RayError):
            self.ray.kill(hand.actor)

    def stop(self) -> None:
        """End what still runs: politely, then not."""
        answers = [hand.actor.stop.remote() for hand in self.hands if hand.ready]
        if answers:
            self.ray.wait(answers, num_returns=len(answers), timeout=STOP_SECONDS)
        for hand in list(self.hands):
            self._dismiss(hand)


class _Server:
    """The actor: makes the portions it is handed, in a thread, so that it can tell how it goes and be stopped."""

    def __init__(self, job: Job, device: str, host: str, folder: str) -> None:
        with suppress(OSError):  # the job's paths may be relative to where the user called
            os.chdir(folder)
        self._host = host
        self._said: SimpleQueue[Message] = SimpleQueue()
        self._given: SimpleQueue[list[str] | None] = SimpleQueue()
        self._stopped = threading.Event()
        logging.getLogger("synthgap").addHandler(_Sender(self._said))
        self._thread = threading.Thread(target=self._serve, args=(job, device), daemon=True)
        self._thread.start()

    def talk(self, portion: list[str] | None = None) -> list[Message]:
        """Take a portion, if one is given; then all that was said since the last call, as soon as there is something."""
        if portion is not None:
            self._given.put(portion)
        said: list[Message] = []
        with suppress(Empty):
            said.append(self._said.get(timeout=TALK_SECONDS))
            while True:
                said.append(self._said.get_nowait())
        return said

    def stop(self) -> None:
        """Drop the batch, write what is finished."""
        self._stopped.set()
        self._given.put(None)
        self._thread.join()

    def _serve(self, job: Job, device: str) -> None:
        def check() -> None:
            if self._stopped.is_set():
                raise Interrupted("stopped by the driver")

        def tell(tick: Tick) -> None:
            self._said.put(("tick", tick))

        try:
            worker = None
            self._said.put(("free", None))
            while (portion := self._given.get()) is not None:
                worker = worker or job.worker(device)
                worker.work(portion, check, tell)
                self._said.put(("free", None))
        except Interrupted:
            return
        except SynthgapError as error:
            self._said.put(("error", type(error)(f"on node {self._host}: {error}")))
        except Exception as error:
            said = f"a worker on {device} of node {self._host} failed: {type(error).__name__}: {error}"
            self._said.put(("error", RunError(" ".join(said.split()))))


class _Sender(logging.Handler):
    """Sends warnings to the driver, where the user sees them."""

    def __init__(self, said: SimpleQueue[Message]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._said.put(("log", (record.levelno, record.getMessage())))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _cause(error: Exception) -> str:
    """Why an actor died, such as 'its node has died', from the many lines in which Ray says it."""
    found = re.search(r"\bbecause (it.+?)\.", str(error))
    return found[1] if found else _first_line(error)


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
