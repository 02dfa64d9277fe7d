"""Everything that leaves a hospital, byte by byte: its outbox accounts for it, and nobody who reads
the wire or a log finds a patient, a key or a path."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
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
IDLE = 8.0
ROUNDS = 30
EXTRA = 400_000
"""Bytes that a leak beside the outbox would be made of, in the control."""


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


def record(federation: Federation, run: str, method: str, leak: int = 0) -> dict[str, float]:
    """How many bytes above what is allowed each hospital sent in the rounds of a run."""
    assert federation.places is not None
    with Recorder(federation.places, federation.folder / f"{run}.pcap") as wire:
        federation.begin(run, method, f"{method}.rounds={ROUNDS}", f"{method}.hidden=0")
        for name in HOSPITALS:
            wait(f"{run} at {name}", 300, federation.home(name).pending(run).exists)
        wait("greetings", 200, lambda: len(named(federation.events(run), "hello")) >= 3)
        # What a hospital sends while it is asked nothing: a measurement, not a wait.
        idle = time.time()
        time.sleep(IDLE)
        federation.consent(run)
        if leak:
            wait("a round", 200, lambda: named(federation.events(run), "round"), every=0.01)
            send_beside(federation, "a", leak)
        wait("the end", 400, lambda: named(federation.events(run), "done"))
        wait("the command's end", 200, lambda: not federation.is_up(f"run-{run}"))
    assert wire.dropped == 0
    begin = named(federation.events(run), "round")[0]["t"]
    end = named(federation.events(run), "done")[0]["t"]
    return {name: above(federation, wire, name, (idle, begin, end)) for name in HOSPITALS}


def above(
    federation: Federation, wire: Recorder, name: str, times: tuple[float, float, float]
) -> float:
    """Bytes that this hospital sent between its first round and the end, less those allowed."""
    idle, begin, end = times
    rate = sum(wire.sent(name, idle, idle + IDLE)) / IDLE
    lines = [line for line in federation.outbox(name) if begin <= line["t"] < end]
    least, most = Overhead(1.1 * rate).allow(lines, end - begin)
    sent = sum(wire.sent(name, begin, end))
    print(
        f"{name}: sent {sent:,} in {end - begin:.1f} s, outbox {least:,.0f} in {len(lines)} "
        f"messages, {rate:,.0f} a second while idle, allowed {most:,.0f}"
    )
    assert sent >= least, "the recorder missed something"
    return sent - most


def send_beside(federation: Federation, name: str, size: int) -> None:
    """Bytes past the outbox, to the coordinator's port."""
    import socket

    assert federation.places is not None
    with federation.places.inside(name):
        line = socket.create_connection((federation.places.address["server"], federation.port), 10)
    with line:
        try:
            line.sendall(os.urandom(size))
        except ConnectionError:
            return


@pytest.mark.parametrize("method", ["federated", "federated_secure"])
def test_the_outbox_accounts_for_what_leaves(three: Federation, method: str) -> None:
    found = record(three, f"counted-{method.replace('_', '-')}", method)
    assert all(value <= 0 for value in found.values()), found


def test_what_leaves_beside_the_outbox_is_seen(three: Federation) -> None:
    found = record(three, "beside", "federated", leak=EXTRA)
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
