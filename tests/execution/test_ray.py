"""The Ray executor on a real cluster of several nodes, which are lost, joined and short of things."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from odd_jobs import BrokenJob, TalkativeJob
from sample_job import SampleJob

from synthgap.core.errors import InputError, MissingExtra, RunError
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.execution import Tick, execute
from synthgap.execution import ray as executor

HEALTH = {"health_check_period_ms": 500, "health_check_timeout_ms": 500, "health_check_failure_threshold": 3}
"""A lost node is noticed in two seconds, not in half a minute."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and another node, with a core each."""
    pytest.importorskip("aiohttp")
    with suppress(MissingExtra):
        executor._import_ray()  # first, for the settings that Ray reads when it is imported
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers import the jobs
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.delenv("RAY_ADDRESS", raising=False)
        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": HEALTH}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        nodes.add_node(num_cpus=1)
        yield nodes
        nodes.shutdown()


@pytest.fixture
def resources(cluster: Any) -> Resources:
    return Resources(executor="ray", address=cluster.address)


def made(job: SampleJob) -> list[list[str]]:
    """Device, process and threads for each shard that is there; the number of threads tells the node."""
    return [job.path(shard).read_text().split() for shard in job.shards() if job.path(shard).exists()]


def run(job: SampleJob, resources: Resources) -> list[Tick]:
    ticks: list[Tick] = []
    executor.run_ray(job, job.pending(job.shards()), resources, lambda: None, ticks.append)
    return ticks


def test_all_nodes_work(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    job = SampleJob(Path("set"), slow=0.2, count=16)
    told: list[tuple[int, int]] = []
    before = signal.getsignal(signal.SIGTERM)
    execute(job, resources, ["cpu"], report=lambda done, total: told.append((done, total)))
    assert signal.getsignal(signal.SIGTERM) is before
    devices, processes, threads = zip(*made(job), strict=True)
    assert len(devices) == 16 and set(devices) == {"cpu"} and set(threads) == {"1"}
    assert len(set(processes)) == 2  # a node holds one
    assert told[0] == (0, 4800) and told[-1] == (4800, 4800) and told == sorted(told) and len(told) > 8
    assert capfd.readouterr().out == ""


def test_a_killed_worker_costs_only_what_it_held(
    resources: Resources, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = SampleJob(tmp_path, kill_at="train/c-00003", slow=0.2)
    ticks = run(job, resources)
    assert len(made(job)) == 8 and (tmp_path / "killed").exists()
    assert sum(tick.rows for tick in ticks) == 2400  # nothing was made twice, nothing is forgotten
    assert capfd.readouterr().out == ""


def test_words_that_died_with_a_worker_are_counted(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A portion's first shard was made, but the worker died before it could say so."""
    heard = executor._Pool._hear

    def deaf(pool: Any, hand: Any, messages: Any) -> None:
        heard(pool, hand, [message for message in messages if message[0] != "tick" or (tmp_path / "killed").exists()])

    monkeypatch.setattr(executor._Pool, "_hear", deaf)
    job = SampleJob(tmp_path, count=2, kill_at="train/c-00001", slow=0.2)
    ticks = run(job, resources)
    assert [(tick.rows, tick.found) for tick in ticks] == [(300, True), (300, False)]


def test_a_lost_node_is_made_up_for_and_a_new_one_joins(
    cluster: Any, resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "LOOK_SECONDS", 0.3)
    job = SampleJob(tmp_path, slow=0.25, count=32, meets="4")
    lost = cluster.add_node(num_cpus=3)
    nodes: list[Any] = []

    def lose(_: int, __: int) -> None:
        if not nodes and any(path.read_text().endswith(" 3") for path in tmp_path.glob("train-*")):
            nodes.append(cluster.add_node(num_cpus=4))
            cluster.remove_node(lost, allow_graceful=False)

    try:
        execute(job, resources, ["cpu"], report=lose)
    finally:
        for node in nodes:
            cluster.remove_node(node)
    assert len(made(job)) == 32
    assert {threads for _, _, threads in made(job)} == {"1", "3", "4"}  # a node's cores


def test_workers_that_always_die_end_the_run(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "DEATHS", 0)
    job = SampleJob(tmp_path, count=2, kill_at="train/c-00001", kill_always=True)
    with pytest.raises(RunError, match=r"^2 Ray workers died .* the last on node \S+ \(its worker process has died\)"):
        run(job, resources)
    assert len(made(job)) == 1


def test_errors_come_back_as_themselves_with_the_node(cluster: Any, resources: Resources, tmp_path: Path) -> None:
    import ray

    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    try:
        with pytest.raises(RunError, match=r"^on node \S+: the disk is full$"):
            run(SampleJob(tmp_path, fail_at="train/c-00002"), resources)
        with pytest.raises(InputError, match=r"^on node \S+: no set in /data/x$"):
            run(BrokenJob(tmp_path, error=InputError("no set in /data/x")), resources)
        with pytest.raises(RunError, match=r"^a worker on cpu of node \S+ failed: ValueError: two lines$"):
            run(BrokenJob(tmp_path, error=ValueError("two\nlines")), resources)
        assert ray.is_initialized()  # the connection was the caller's, and stays
    finally:
        ray.shutdown()


def test_a_node_without_the_package_is_named(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ModuleType("elsewhere")
    elsewhere.StrangeJob = type("StrangeJob", (SampleJob,), {"__module__": "elsewhere"})
    monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
    with pytest.raises(
        InputError, match=r"^no worker can start on node \S+ \(ModuleNotFoundError.*'elsewhere'\); expected the same"
    ):
        run(elsewhere.StrangeJob(tmp_path), resources)


def test_warnings_of_workers_reach_the_user_and_other_noise_does_not(
    resources: Resources, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    run(TalkativeJob(tmp_path, count=1), resources)
    assert [record.getMessage() for record in caplog.records] == [f"{socket.gethostname()}: 3 prompts were cut"]
    assert capfd.readouterr() == ("", "")


def test_gpus_are_waited_for_and_get_an_actor_each(
    cluster: Any,
    resources: Resources,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(executor, "START_SECONDS", 0.3)
    monkeypatch.setattr(executor, "LOOK_SECONDS", 0.1)
    joined: list[Any] = []

    def join() -> None:
        if caplog.records and not joined:
            joined.append(cluster.add_node(num_cpus=6, num_gpus=2))

    job = SampleJob(tmp_path, slow=0.2)
    try:
        executor.run_ray(job, list(job.shards()), resources.model_copy(update={"device": "cuda"}), join, lambda _: None)
    finally:
        for node in joined:
            cluster.remove_node(node)
    devices, processes, threads = zip(*made(job), strict=True)
    assert set(devices) == {"cuda"} and set(threads) == {"3"} and len(set(processes)) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "no worker has started on the Ray cluster after 0.3 s; waiting for a node with a free GPU"
    ]


@pytest.mark.parametrize(
    ("name", "gpus", "expected"), [(None, 2.0, "cuda"), (None, 0.0, "cpu"), ("cpu", 2.0, "cpu"), ("cuda", 0.0, "cuda")]
)
def test_all_workers_have_the_same_kind_of_device(name: str | None, gpus: float, expected: str) -> None:
    assert executor._device(SimpleNamespace(cluster_resources=lambda: {"GPU": gpus}), name) == expected


def test_a_device_by_number_is_refused() -> None:
    with pytest.raises(InputError, match="device is 'cuda:1', expected cuda or cpu"):
        executor._device(None, "cuda:1")


LOCAL = """
import sys
from pathlib import Path
from sample_job import SampleJob
from synthgap.core.errors import Interrupted
from synthgap.core.specs import Resources
from synthgap.execution import execute

try:
    execute(SampleJob(Path(sys.argv[1]), slow=0.4, count=100), Resources(executor="ray"), ["cpu"],
            report=lambda done, total: print(done, flush=True))
except Interrupted as stop:
    print(stop)
"""


def test_a_signal_ends_the_run_and_the_cluster_that_was_started_for_it(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", LOCAL, str(tmp_path)],
        env={**kept, "PYTHONPATH": str(Path(__file__).parent), "HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["0\n", "300\n"]
    process.send_signal(signal.SIGTERM)
    rest, noise = process.communicate(timeout=60)
    assert rest.endswith("stopped by SIGTERM\n") and noise == "" and process.returncode == 0
    assert 1 <= len(list(tmp_path.glob("train-*"))) < 10
    assert list(home.iterdir()) == []  # no token that later clusters would ask for


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}", "no such thing"])
def test_an_address_that_cannot_be_reached(form: str, tmp_path: Path, closed_port: int) -> None:
    pytest.importorskip("ray")
    address = form.format(closed_port)
    start = time.monotonic()
    with pytest.raises(
        InputError, match=r"^no Ray cluster can be joined at .*; expected auto, host:6379 or ray:"
    ) as no:
        run(SampleJob(tmp_path), Resources(executor="ray", address=address))
    assert repr(address) in str(no.value) and "\n" not in str(no.value)
    assert time.monotonic() - start < executor.CONNECT_SECONDS


@pytest.mark.parametrize("missing", ["ray", "aiohttp"])
def test_without_the_extra(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "ray":
        monkeypatch.setitem(sys.modules, "aiohttp", sys)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=rf"needs {missing}, .*; pip install 'synthgap\[ray\]'$"):
        execute(SampleJob(tmp_path), Resources(executor="ray"), ["cpu"])
    assert made(SampleJob(tmp_path)) == []


def test_a_set_drawn_with_a_node_lost_is_the_same_bytes(
    cluster: Any, resources: Resources, tmp_path: Path, tiny_generator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthgap.stages.generation import generate

    monkeypatch.setattr(executor, "PORTION_ROWS", 6)
    spec = GenerateSpec(
        classes="cat,dog",
        per_class=24,
        shard_size=6,
        generator=str(tiny_generator),
        num_inference_steps=2,
        seed=3,
        image_format="png",
    )
    lost = list(cluster.worker_nodes)[:1]

    def lose(done: int, _: int, __: str) -> None:
        if done and lost:
            cluster.remove_node(lost.pop(), allow_graceful=False)

    try:
        generate(spec, tmp_path / "ray", resources.model_copy(update={"batch_size": 4}), lose)
    finally:
        cluster.add_node(num_cpus=1, wait=False)
    generate(spec, tmp_path / "local", Resources(executor="local", batch_size=4, device="cpu"))
    assert not lost
    assert shards_of(tmp_path / "ray") == shards_of(tmp_path / "local") != {}


def test_images_and_prompts_are_embedded_by_the_same_workers(
    resources: Resources, tmp_path: Path, tiny_generator: Path, tiny_clip: Path
) -> None:
    from synthgap.core.specs import EncoderSpec
    from synthgap.stages.embedding import embed_images, embed_prompts
    from synthgap.stages.generation import generate

    here = Resources(executor="local", batch_size=4, device="cpu")
    drawn = GenerateSpec(classes="cat,dog", per_class=4, generator=str(tiny_generator), num_inference_steps=1)
    folder, spec = generate(drawn, tmp_path / "set", here), EncoderSpec(encoder=str(tiny_clip))
    for embed in (embed_images, embed_prompts):
        ray, local = tmp_path / f"{embed.__name__}-ray", tmp_path / f"{embed.__name__}-local"
        embed(folder, spec, ray, resources.model_copy(update={"batch_size": 4}))
        embed(folder, spec, local, here)
        assert shards_of(ray) == shards_of(local) != {}


def shards_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("data/**/*.parquet")}
