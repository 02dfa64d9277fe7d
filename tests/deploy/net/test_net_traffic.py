"""Everything that leaves a hospital, byte by byte: its outbox accounts for it, and nobody who reads
the wire or a log finds a patient, a key or a path."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from net_account import Overhead, find_in_files, key_needles
from net_federation import Federation, named, wait
from net_lab import own_places
from net_places import HOST
from net_recorder import Recorder
from net_shards import FOLDER, PATIENT, RARE, write_hospital

pytestmark = pytest.mark.slow
HOSPITALS = ("a", "b", "c")
HANG = 8.0
"""Seconds for which the last hospital hangs: the others are in a round and asked nothing."""
SETTLED = 2.0
"""Of these, until the others have answered what they were asked."""
ROUNDS = 30
LEAKS, PART = 30, 20_000
"""A leak beside the outbox, in the control: connections, and bytes of each."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("three")
    with own_places(*HOSPITALS) as places:
        made = Federation(folder, HOSPITALS, places)
        try:
            made.provision()
            made.data = {
                name: write_hospital(folder / f"data-{name}", seed, 200)
                for seed, name in enumerate(HOSPITALS)
            }
            made.open(made.data)
            yield made
        finally:
            made.close()


def record(federation: Federation, run: str, method: str, leak: bool = False) -> dict[str, float]:
    """How many bytes above what is allowed each hospital sent in the rounds of a run."""
    assert federation.places is not None
    with Recorder(federation.places, federation.folder / f"{run}.pcap") as wire:
        federation.begin(run, method, f"{method}.rounds={ROUNDS}", f"{method}.hidden=0")
        for name in HOSPITALS:
            wait(f"{run} at {name}", 300, federation.home(name).pending(run).exists)
        federation.consent(run)
        wait("a round", 200, lambda: named(federation.events(run), "round"), every=0.01)
        # What a hospital sends in rounds while it is asked nothing: a measurement, not a wait.
        (worker, *_) = federation.processes(HOSPITALS[-1], "worker")
        worker.send_signal(signal.SIGSTOP)
        try:
            time.sleep(SETTLED)
            idle = time.time()
            time.sleep(HANG - SETTLED)
            until = time.time()
            if leak:
                send_beside(federation, "a")
        finally:
            worker.send_signal(signal.SIGCONT)
        wait("the end", 400, lambda: named(federation.events(run), "done"))
        wait("the command's end", 200, lambda: not federation.is_up(f"run-{run}"))
    assert wire.dropped == 0
    begin = named(federation.events(run), "round")[0]["t"]
    end = named(federation.events(run), "done")[0]["t"]
    assert not named(federation.events(run), "no_answer"), "the hang was longer than the time limit"
    rates = [sum(wire.sent(name, idle, until)) / (until - idle) for name in HOSPITALS[:-1]]
    rate = max(rates)
    return {name: above(federation, wire, name, rate, (begin, end)) for name in HOSPITALS}


def above(
    federation: Federation, wire: Recorder, name: str, rate: float, times: tuple[float, float]
) -> float:
    """Bytes that this hospital sent between its first round and the end, less those allowed."""
    begin, end = times
    lines = [line for line in federation.outbox(name) if begin <= line["t"] < end]
    least, most = Overhead(1.1 * rate).allow(lines, end - begin)
    sent = sum(wire.sent(name, begin, end))
    print(
        f"{name}: sent {sent:,} in {end - begin:.1f} s, outbox {least:,.0f} in {len(lines)} "
        f"messages, {rate:,.0f} a second while asked nothing, allowed {most:,.0f}"
    )
    assert sent >= least, "the recorder missed something"
    return sent - most


def send_beside(federation: Federation, name: str) -> None:
    """Bytes past the outbox, to the coordinator's port: what is no TLS is cut off soon, so in
    parts."""
    import socket

    assert federation.places is not None
    for _ in range(LEAKS):
        with federation.places.inside(name):
            address = federation.places.address["server"]
            line = socket.create_connection((address, federation.port), 10)
        with line, suppress(ConnectionError):
            line.sendall(os.urandom(PART))


@pytest.mark.parametrize("method", ["federated", "federated_secure"])
def test_the_outbox_accounts_for_what_leaves(three: Federation, method: str) -> None:
    found = record(three, f"counted-{method.replace('_', '-')}", method)
    assert all(value <= 0 for value in found.values()), found


def test_what_leaves_beside_the_outbox_is_seen(three: Federation) -> None:
    found = record(three, "beside", "federated", leak=True)
    assert found["a"] > 0, found
    assert found["b"] <= 0


def test_nobody_reads_a_patient_a_key_or_a_path(three: Federation) -> None:
    needles = {"patient": PATIENT.encode(), "value": RARE.encode(), "path": FOLDER.encode()}
    spare: list[Path] = list(three.data.values())
    for name in HOSPITALS:
        home = three.home(name)
        key = home.root / "kit" / "startup" / "client.key"
        spare += [home.config, home.root / "restricted", home.root / "request", key]
        needles |= {f"{what} of {name}": found for what, found in key_needles(key).items()}
    record(three, "read", "federated_secure")
    # The recorded frames are files of the same folder.
    assert list(three.folder.glob("*.pcap"))
    assert find_in_files(three.folder, needles, spare) == []
    # The search finds what is there.
    key = three.home("a").root / "kit" / "startup" / "client.key"
    assert find_in_files(key.parent, needles, [])
    assert find_in_files(three.data["a"], needles, [])
    assert HOST.encode() not in needles.values()
