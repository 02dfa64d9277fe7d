"""One federation in real processes on this machine: a server, three hospitals, an operator."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from deploy.flare_lab import Loopback

from pipelines.deploy.flare.logins import connections
from pipelines.deploy.flare.processes import Parent, read_jobs, read_pid
from pipelines.deploy.flare.supervise import Ended, supervise
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.hospital import Hospital
from pipelines.deploy.identity import Identity, Root
from pipelines.deploy.journal import Journal
from pipelines.deploy.messages import Body
from pipelines.deploy.private_files import find_open_to_others
from pipelines.deploy.state import load
from pipelines.deploy.wire import Answers

ROUNDS = 20
"""A tenth of a second each, so that the worker dies among them."""


class Direct:
    """The same hospitals without a network."""

    def __init__(self, hospitals: Mapping[str, Hospital]) -> None:
        self.hospitals = hospitals

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        return Answers({n: self.hospitals[n].answer(kind, body) for n, body in questions.items()})

    def present(self) -> tuple[str, ...]:
        return tuple(self.hospitals)


def train_in_memory(lab: Loopback, terms: Any, folder: Path) -> np.ndarray:
    from pipelines.deploy.coordinator import Coordinator

    hospitals = {}
    for name, home in lab.homes.items():
        # Its own folder, so that it begins at the beginning, with the same kit and records.
        own = HospitalHome(folder / name)
        own.root.mkdir(parents=True)
        for part in ("hospital.toml", "consent.json", "kit"):
            (own.root / part).symlink_to(home.root / part)
        # Who is trained on is the hospital's secret.
        shutil.copytree(home.root / "restricted", own.root / "restricted")
        kit = home.root / "kit"
        hospitals[name] = Hospital(own, terms, Identity.load(kit), Root.load(kit))
    wire = Direct(hospitals)
    Coordinator(terms, folder / "run", wire, Journal(folder / "journal.jsonl")).run()
    return weights_of(folder / "run")


def weights_of(folder: Path) -> np.ndarray:
    kept = load(folder / "state.npz")
    assert kept is not None
    return kept[1]["weights"]


@pytest.mark.slow
def test_hospitals_apart_train_what_they_train_in_one_process_though_a_worker_is_killed(
    tmp_path: Path,
) -> None:
    lab = Loopback(tmp_path)
    small = ("hidden=8", f"rounds={ROUNDS}", "steps=2", "rows=16")
    terms = lab.terms("federated", *(f"federated.{part}" for part in small), seed=3, timeout=90.0)
    lab.consent(terms)
    killed = []

    def tell(event: Mapping[str, Any]) -> None:
        if event["event"] == "round" and event["round"] == 1 and not killed:
            killed.extend(read_jobs(lab.homes["b"].root, "client"))
            for number in killed:
                os.kill(number, signal.SIGKILL)

    with lab:
        assert supervise(lab.home, terms, tell, limit=240) is Ended.DONE
    assert len(killed) == 1
    folder = lab.home.run(terms.run)
    lines = lab.lines(folder / "journal.jsonl")
    rounds = [line for line in lines if line["event"] == "round"]
    assert [line["round"] for line in rounds] == list(range(ROUNDS))
    # One segment: the death of one worker ends nothing, and costs its hospital no round.
    assert [line["event"] for line in lines].count("started") == 1
    assert all(line["hospitals"] == ["a", "b", "c"] for line in rounds)
    # Bit for bit: nothing is rounded, reordered or asked twice on the way.
    assert np.array_equal(weights_of(folder), train_in_memory(lab, terms, tmp_path / "memory"))
    check_outboxes(lab)
    check_folders(lab, tmp_path)


@pytest.mark.slow
def test_a_copied_kit_is_an_alarm_and_a_restart_is_none(tmp_path: Path) -> None:
    lab = Loopback(tmp_path)
    journal = connections(lab.home)

    def count(event: str, name: str) -> int:
        found = [line for line in journal.read() if line["event"] == event]
        return sum(line["hospital"] == name for line in found)

    try:
        for name in ("server", "a", "b"):
            lab.parents[name].start()
        wait_until(lambda: count("login", "a") and count("login", "b"))
        for name in ("server", "a"):
            assert ask_ports_for_nothing(lab.parents[name]) >= 1
        lab.parents["b"].stop()
        wait_until(lambda: count("logout", "b"))
        lab.parents["b"].start()
        wait_until(lambda: count("login", "b") == 2)
        assert count("alarm", "b") == 0
        shutil.copytree(
            lab.homes["a"].root, tmp_path / "copy", ignore=shutil.ignore_patterns("*.pid")
        )
        lab.parents["copy"] = Parent("client", tmp_path / "copy")
        lab.parents["copy"].start()
        wait_until(lambda: count("alarm", "a"))
        assert count("alarm", "b") == 0
    finally:
        lab.stop()


def ask_ports_for_nothing(parent: Parent) -> int:
    """How many ports it listens at; none of them speaks to whoever has no certificate."""
    number = read_pid(parent.home, parent.side)
    found = psutil.Process(number).net_connections("tcp")
    ports = {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for port in ports:
        with (
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            context.wrap_socket(plain) as safe,
            # It says that a certificate is required, or hangs up.
            suppress(ssl.SSLError),
        ):
            assert safe.recv(1) == b""
    return len(ports)


def wait_until(look: Callable[[], Any], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until
        time.sleep(0.2)


def check_outboxes(lab: Loopback) -> None:
    """Every answer has its line; the same question again had the same answer."""
    for name, home in lab.homes.items():
        sent = lab.lines(home.outbox)
        assert all("why" not in line for line in sent)
        kinds = Counter(line["kind"] for line in sent)
        assert set(kinds) == {"hello", "train", "grade"}
        assert kinds["grade"] == 1
        trained = {(line["round"], line["sha256"]) for line in sent if line["kind"] == "train"}
        assert len(trained) == ROUNDS
        assert kinds["train"] == ROUNDS or name == "b"


def check_folders(lab: Loopback, tmp_path: Path) -> None:
    """Nothing runs any more, nobody else may read a file, and nothing of a hospital's machine is at
    the coordinator's."""
    assert read_pid(lab.home.root, "server") is None
    for home in lab.homes.values():
        assert read_pid(home.root, "client") is None
        assert find_open_to_others(home.root) == 0
    assert find_open_to_others(lab.home.root) == 0
    paths = [f"{tmp_path / name}/".encode() for name in lab.homes]
    for file in lab.home.root.rglob("*"):
        if file.is_file():
            held = file.read_bytes()
            assert not any(path in held for path in paths), file.name
            assert b"Traceback" not in held, file.name
