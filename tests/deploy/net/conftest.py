"""One federation of four hospitals for all faults: each fault has a run of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from net_federation import Federation
from net_lab import own_disk, own_places
from net_shards import write_hospital
from net_table import Table

HOSPITALS = ("a", "b", "c", "d")
PATIENTS = 200
DISK = 1300 * 2**20
"""Bytes of b's own disk: a hospital needs 1 GiB to join."""


@pytest.fixture(scope="session")
def table() -> Table:
    return Table()


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Four hospitals, joined and connected, each on a machine of its own."""
    folder = tmp_path_factory.mktemp("federation")
    with (
        own_places(*HOSPITALS, "operator", "outsider") as places,
        own_disk(folder / "b", DISK) as disk,
    ):
        made = Federation(folder, HOSPITALS, places, disk=disk)
        try:
            made.provision()
            made.data = {
                name: write_hospital(folder / f"data-{name}", seed, PATIENTS)
                for seed, name in enumerate(HOSPITALS)
            }
            made.open(made.data)
            yield made
        finally:
            made.close()
