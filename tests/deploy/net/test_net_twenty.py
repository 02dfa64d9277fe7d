"""Twenty hospitals at one coordinator."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from net_federation import Federation, named, wait
from net_lab import own_places
from net_memory import Memory
from net_shards import write_hospital
from net_table import Table, Watch

pytestmark = pytest.mark.network
HOSPITALS = tuple(f"h{number:02d}" for number in range(20))
NEEDED = 14 * 2**30
"""Bytes of memory: a client and a worker of 0.6 GB for each hospital, and the server."""


def test_twenty_hospitals_make_a_secure_sum(tmp_path: Path, table: Table) -> None:
    if psutil.virtual_memory().available < NEEDED:
        pytest.skip(f"twenty hospitals take {NEEDED >> 30} GB of memory")
    with own_places(*HOSPITALS) as places:
        federation = Federation(tmp_path, HOSPITALS, places)
        try:
            watch = Watch()
            federation.provision()
            table.add("20 hospitals: certificates", "made and signed", watch.seconds)
            watch = Watch()
            federation.serve()
            for seed, name in enumerate(HOSPITALS):
                data = write_hospital(tmp_path / f"data-{name}", seed, 160)
                federation.join(name, data)
                # One after the other: each looks at its records first, and the machine is small.
                federation.wait_connected(name, 240)
            table.add("20 hospitals join one after the other", "all connected", watch.seconds)
            watch = Watch()
            with Memory(federation) as memory:
                method = "federated_secure"
                federation.begin(
                    "twenty", method, f"{method}.rounds=3", f"{method}.hidden=0",
                    more=("--quorum", "20", "--timeout", "240"),
                )  # fmt: skip
                federation.consent("twenty", seconds=400)
                wait("the end", 600, lambda: named(federation.events("twenty"), "done"))
            rounds = named(federation.events("twenty"), "round")
            assert [line["round"] for line in rounds] == [0, 1, 2]
            assert all(line["hospitals"] == list(HOSPITALS) for line in rounds)
            took = sorted(line["seconds"] for line in rounds)
            happened = f"{took[1]:.1f} s a round; MB: {memory.most}"
            table.add("20 hospitals, a secure sum of 3 rounds", happened, watch.seconds)
        finally:
            federation.close()
