"""A real cluster of two worker processes, one of them killed, gives the numbers of one machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from privaudit.engine.cluster import connect
from privaudit.engine.configure import request
from privaudit.engine.events import Event
from privaudit.engine.profiles import profile
from privaudit.engine.run import Finished, run
from privaudit.errors import PrivauditError
from privaudit.results import to_tree

TIMES = ("seconds", "costs")


def numbers(part: object) -> object:
    """A document without what differs between two runs of the same numbers."""
    if isinstance(part, dict):
        return {name: numbers(value) for name, value in part.items() if name not in TIMES}
    if isinstance(part, list | tuple):
        return [numbers(value) for value in part]
    return part


def audit(out: Path, *, workers: int, kill: list[int] | None = None) -> Finished:
    asked = request(
        "mortality",
        profile("smoke"),
        seed=3,
        learners=["logreg"],
        attacks=["threshold", "rmia"],
    )
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        if event.stage == "train" and event.state == "step":
            seen += 1
            if seen == 2 and kill:
                os.kill(kill.pop(), signal.SIGKILL)

    return run(asked, out=out, workers=workers, listen=listen)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> object:
    finished = audit(tmp_path_factory.mktemp("alone"), workers=1)
    return numbers(to_tree(finished.audit)["subjects"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dask_workers_one_of_them_killed(tmp_path: Path, alone: object) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as local:
        pids = [int(worker.process.process.pid) for worker in local.workers.values()]
        address = local.scheduler_address.replace("tcp://", "dask://")
        with connect(address) as cores:
            assert cores == 2
            victims = pids[:1]
            finished = audit(tmp_path, workers=cores, kill=victims)
    assert not victims
    assert numbers(to_tree(finished.audit)["subjects"]) == alone


@contextmanager
def ray_head(folder: Path) -> Iterator[str]:
    """A Ray head with two worker slots on this machine."""
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    start = [*ray, "start", "--head", "--num-cpus", "2", "--port", "6399"]
    start += ["--ray-client-server-port", "10001", "--include-dashboard", "false"]
    start += ["--disable-usage-stats", "--temp-dir", str(folder)]
    subprocess.run(start, check=True, capture_output=True, timeout=120)
    for _ in range(120):
        try:
            socket.create_connection(("127.0.0.1", 10001), timeout=1).close()
            break
        except OSError:
            time.sleep(0.5)
    try:
        yield "ray://127.0.0.1:10001"
    finally:
        subprocess.run([*ray, "stop", "--force"], check=False, capture_output=True, timeout=60)


def actors() -> list[int]:
    """The processes of the cluster's workers that hold a pool's actor."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if words.startswith(b"ray::") and b"PoolActor" in words:
                found.append(int(entry.name))
    return found


class Late(list[int]):
    """Victims that exist only once the cluster has been handed work."""

    def pop(self, index: int = -1) -> int:  # type: ignore[override]
        self.clear()
        return actors()[index]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers through /proc")
def test_ray_workers_one_of_them_killed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, alone: object
) -> None:
    pytest.importorskip("ray")
    # Ray's sockets lie in its folder, and their paths must be short.
    with (
        tempfile.TemporaryDirectory(dir="/tmp", prefix="r", ignore_cleanup_errors=True) as folder,
        ray_head(Path(folder)) as address,
        connect(address) as cores,
    ):
        assert cores == 2
        victims = Late([0])
        finished = audit(tmp_path, workers=cores, kill=victims)
    assert not victims
    assert numbers(to_tree(finished.audit)["subjects"]) == alone


@pytest.mark.parametrize(
    "address", ["dask:/host", "spark://host", "host:8786", "dask://", "ray://a b"]
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(PrivauditError, match="a cluster at"), connect(address):
        pass


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("refused")

    monkeypatch.setattr(distributed, "Client", refuse)
    with (
        pytest.raises(PrivauditError, match="no dask cluster answers at nowhere:8786"),
        connect("dask://nowhere"),
    ):
        pass


def test_without_an_address_nothing_changes() -> None:
    with connect(None) as cores:
        assert cores is None
