"""Sampling from a trained network by numpy alone: no row, no training library, no global state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from pipelines.generators._nets_table import Codes, Table, as_saved
from pipelines.generators._saved import SavedGenerator, damaged
from privaudit.contracts import Claim
from privaudit.errors import PrivauditError
from privaudit.records import Records

NOTHING = Claim()

CHUNK = 4096
"""Rows drawn at a time, at most, so that a million need no more memory than their table."""

TRIES = 20


@dataclass(frozen=True, eq=False)
class NetSampler(ABC):
    """A table's shape and a network's weights. There is no privacy guarantee: see `claim`."""

    table: Table
    weights: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()
    claim: Claim = NOTHING

    name: ClassVar[str]

    @abstractmethod
    def answer(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(rows, s) scalars and (rows, dim - s) logits of the picks' options."""

    @abstractmethod
    def check(self) -> None:
        """Raise PrivauditError where the weights do not fit the table or each other."""

    def sample(self, rows: int, rng: np.random.Generator) -> Records:
        """`rows` records, every value valid, each a patient of its own."""
        if rows < 1:
            raise PrivauditError(f"{rows} rows", "a sample has at least one", "ask for more rows")
        return self.table.decode(self._balanced(rows, rng))

    def _balanced(self, rows: int, rng: np.random.Generator) -> Codes:
        """Rows whose outcomes are as frequent as in the records: of a class drawn too often, only
        so many.

        What a network makes of a patient with a given outcome stays what it is. A class that hardly
        ever comes is filled up with others once TRIES times as many rows have been drawn.
        """
        outcome = self.table.outcome
        left = rng.multinomial(rows, self.table.prevalence)
        taken: list[Codes] = []
        spare: list[Codes] = []
        drawn = 0
        while left.sum() and drawn < TRIES * rows:
            size = min(CHUNK, 2 * int(left.sum()) + 32)
            part = self._draw(size, rng)
            drawn += size
            y = part.picks[:, outcome] if outcome >= 0 else np.zeros(size, dtype=np.int64)
            keep = np.zeros(size, dtype=bool)
            for k in np.flatnonzero(left):
                mine = np.flatnonzero(y == k)[: left[k]]
                keep[mine] = True
                left[k] -= len(mine)
            taken.append(part.take(keep))
            if sum(len(s.picks) for s in spare) < rows:
                spare.append(part.take(~keep))
        every = Codes.concatenate([*taken, *spare]).take(slice(rows))
        return every.take(rng.permutation(rows))

    def _draw(self, rows: int, rng: np.random.Generator) -> Codes:
        scalars, logits = self.answer(rows, rng)
        picks = np.empty((rows, len(self.table.width)), dtype=np.int16)
        s, p = len(self.table.numbers), 0
        # The greatest of logits with Gumbel noise: a draw from their softmax.
        logits = logits + rng.gumbel(size=logits.shape).astype(np.float32)
        for first, m, w in self.table.groups:
            part = logits[:, first - s : first - s + m * w].reshape(rows, m, w)
            picks[:, p : p + m] = part.argmax(axis=2)
            p += m
        return Codes(scalars.astype(np.float32), picks)

    def save(self) -> bytes:
        """The file to hand out: arrays and text, and no record."""
        return as_saved(self.table, self.claim, self.notes, self.weights).save(self.name)

    @classmethod
    def load(cls, file: bytes) -> Self:
        """What `save` wrote; PrivauditError for anything else. Runs no code of the file."""
        opened = SavedGenerator.load(file, cls.name)
        table = Table.of(opened)
        own = set(table.arrays())
        weights = {k: v for k, v in opened.arrays.items() if k not in own}
        for weight in weights.values():
            if weight.dtype.kind != "f" or not np.isfinite(weight).all():
                raise damaged("its weights are not all numbers")
        made = cls(table, weights, opened.notes, opened.claim)
        made.check()
        return made

    def layer(self, name: str, x: np.ndarray) -> np.ndarray:
        """x (n, in) through the linear layer of this name: (n, out) float32."""
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def shapes(self, wanted: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse weights of other names or shapes."""
        found = {name: array.shape for name, array in self.weights.items()}
        if found != dict(wanted):
            raise damaged("its weights do not fit its table")


def depth(weights: Mapping[str, np.ndarray], prefix: str) -> list[int]:
    """Widths of the layers `prefix`0, `prefix`1, ... of a saved network."""
    widths: list[int] = []
    while f"{prefix}{len(widths)}.bias" in weights:
        widths.append(len(np.atleast_1d(weights[f"{prefix}{len(widths)}.bias"])))
    return widths


__all__ = ["NetSampler", "depth"]
