"""Who the clients of a federation are: real hospitals, or hospitals made from one table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pipelines.settings import POSITIVE, check_settings
from privaudit.errors import PrivauditError
from privaudit.records import Records


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows by client.

    Args:
        rows: For each client its rows, ascending and never empty.
        codes: (clients,), what the client is called in an exchange: its site code, or its number.
        names: The same for people.
        notes: What a report must say about how the clients came about.
        restricted_notes: What tells of the few records of a client, for the owner of the run alone.
    """

    rows: tuple[np.ndarray, ...]
    codes: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    restricted_notes: tuple[str, ...] = ()

    def holder(self, n: int) -> np.ndarray:
        """(n,), which client holds each row, -1 for none."""
        found = np.full(n, -1, dtype=np.int64)
        for client, rows in enumerate(self.rows):
            found[rows] = client
        return found


class Sites(ABC):
    """How records fall to clients. Subclasses are frozen dataclasses."""

    @abstractmethod
    def divide(self, records: Records, rng: np.random.Generator) -> Parts:
        """The clients of a federation; PrivauditError where fewer than two would hold records."""


@dataclass(frozen=True)
class ByUnit(Sites):
    """The hospitals or care units that the records name: each holds the stays it cared for.

    A site without records is left out and named in the restricted notes. A patient seen at two
    sites is known to both.
    """

    def divide(self, records: Records, rng: np.random.Generator) -> Parts:
        codes = np.unique(records.site)
        if len(codes) < 2:
            raise PrivauditError(
                f"records of {len(codes)} site(s)",
                "a federation is of at least two hospitals that hold records",
                "give records of several sites, or make clients with sites=Dirichlet() or "
                "ByQuantity()",
            )
        rows = tuple(np.flatnonzero(records.site == code) for code in codes)
        empty = [name for code, name in enumerate(records.sites) if code not in codes]
        notes = [f"Sites without records were left out: {', '.join(empty)}."] if empty else []
        notes += one_class_note(records, rows, [records.sites[code] for code in codes])
        names = tuple(records.sites[code] for code in codes)
        return Parts(rows, codes, names, restricted_notes=tuple(notes))


@dataclass(frozen=True)
class Dirichlet(Sites):
    """Simulated hospitals of different case mix: each outcome's patients are dealt by Dirichlet
    shares.

    All stays of a patient fall to one hospital. Every client gets at least one patient.

    Args:
        alpha: Small is uneven (0.1: most hospitals see nearly one outcome only), 100 is even.

    Source: Hsu, Qi and Brown 2019 (arXiv 1909.06335), with shares drawn per outcome as in Yurochkin
    et al. 2019.
    """

    alpha: float = 0.1
    clients: int = 10

    def divide(self, records: Records, rng: np.random.Generator) -> Parts:
        patients, row, outcome = _patients(records, self.clients)
        check_settings(self, alpha=POSITIVE)
        holder = np.empty(len(patients), dtype=np.int64)
        for k in np.unique(outcome):
            own = rng.permutation(np.flatnonzero(outcome == k))
            shares = rng.dirichlet(np.full(self.clients, self.alpha))
            holder[own] = _deal(len(own), shares)
        how = f"Dirichlet shares of each outcome, alpha {self.alpha:g}"
        return _made(records, holder, row, self.clients, how, rng)


@dataclass(frozen=True)
class ByQuantity(Sites):
    """Simulated hospitals of different size and the same case mix.

    All stays of a patient fall to one hospital.

    Args:
        alpha: Concentration of the Dirichlet law of the sizes.

    Source: Li et al. 2022 (arXiv 2102.02079), quantity skew.
    """

    clients: int = 10
    alpha: float = 1.0

    def divide(self, records: Records, rng: np.random.Generator) -> Parts:
        patients, row, _ = _patients(records, self.clients)
        check_settings(self, alpha=POSITIVE)
        holder = np.empty(len(patients), dtype=np.int64)
        shares = rng.dirichlet(np.full(self.clients, self.alpha))
        holder[rng.permutation(len(patients))] = _deal(len(patients), shares)
        how = f"sizes by a Dirichlet law, alpha {self.alpha:g}"
        return _made(records, holder, row, self.clients, how, rng)


def one_class_note(records: Records, rows: tuple[np.ndarray, ...], names: list[str]) -> list[str]:
    """A sentence that names the clients whose records all have one outcome, if there are any."""
    single = [n for n, r in zip(names, rows, strict=True) if len(np.unique(records.y[r])) < 2]
    return [f"Sites whose records all have one outcome: {', '.join(single)}."] if single else []


def _patients(records: Records, clients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients, each row's patient, and each patient's highest outcome code."""
    patients, row = np.unique(records.patient, return_inverse=True)
    if clients < 2 or clients > len(patients):
        raise PrivauditError(
            f"clients={clients} for {len(patients)} patients",
            "a federation is of at least two clients, and each holds at least one patient",
            f"use 2 to {max(len(patients), 2)} clients",
        )
    outcome = np.zeros(len(patients), dtype=np.int64)
    np.maximum.at(outcome, row, records.y)
    return patients, row, outcome


def _deal(n: int, shares: np.ndarray) -> np.ndarray:
    """(n,) client numbers, ascending, in these shares as nearly as whole numbers allow."""
    ends = np.round(np.cumsum(shares) * n).astype(np.int64)
    ends[-1] = n
    return np.searchsorted(ends, np.arange(n), side="right")


def _made(
    records: Records,
    holder: np.ndarray,
    row: np.ndarray,
    clients: int,
    how: str,
    rng: np.random.Generator,
) -> Parts:
    """Parts from each patient's client; one without a patient is given one of the largest's."""
    size = np.bincount(holder, minlength=clients)
    for client in np.flatnonzero(size == 0):
        largest = int(np.argmax(size))
        moved = rng.choice(np.flatnonzero(holder == largest))
        holder[moved] = client
        size[largest] -= 1
        size[client] = 1
    rows = tuple(np.flatnonzero(holder[row] == client) for client in range(clients))
    names = tuple(f"client {client + 1}" for client in range(clients))
    notes = (f"The {clients} hospitals are simulated: {how}.",)
    few = tuple(one_class_note(records, rows, list(names)))
    return Parts(rows, np.arange(clients), names, notes, few)


__all__ = ["ByQuantity", "ByUnit", "Dirichlet", "Parts", "Sites"]
