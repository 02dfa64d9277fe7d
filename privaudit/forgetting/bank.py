"""Models that saw the patients to be forgotten and models that never did, trained for the audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from privaudit.contracts import Method, Model
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal

EDGE = 9.2
"""Margins are cut here (a probability of 0.0001): what a model says beyond it is rounding."""
STEP = 4
"""Refits come in fours: with and without the forgotten, on either half of the strangers."""
MIN_REFITS = 8
MOST_STRANGERS = 0.5
"""Strangers trained on in halves, at most, as a share of the retained patients."""


@dataclass(frozen=True, eq=False)
class Tables:
    """retained: still to be known; forgotten: no longer to be; strangers: never trained on."""

    retained: Records
    forgotten: Records
    strangers: Records


@dataclass(frozen=True, eq=False)
class Bank:
    """What the refits answer on the forgotten and on the strangers.

    asked: those records, the forgotten first; forgotten: (n,) bool; margins: (k, n) of the refits;
    included: (k, n) bool, which of them was trained on which record. Rows 2 j and 2 j + 1 are a
    pair on the same retained patients and strangers: without the forgotten, and with them.
    """

    asked: Records
    forgotten: np.ndarray
    margins: np.ndarray
    included: np.ndarray

    @property
    def pairs(self) -> int:
        """How many models there are that never saw the forgotten."""
        return len(self.margins) // 2


def read_margins(model: Model, records: Records) -> np.ndarray:
    """(n,) true-class margins, cut where they say no more."""
    return cut_margins(read_signal(ask(model, records), records))


def cut_margins(margins: np.ndarray) -> np.ndarray:
    """The margins within what says anything."""
    result: np.ndarray = np.clip(margins, -EDGE, EDGE)
    return result


def train_bank(
    recipe: Method,
    tables: Tables,
    *,
    refits: int,
    seeds: Seeds,
    progress: Callable[[int, int], None] | None = None,
) -> Bank:
    """Train the recipe without and with the forgotten.

    Every model has half of the strangers in it, so that each stranger is seen by half of the models
    too, and as many retained records fewer, so that it is as large as a model of the retained. None
    of the models that never saw one of the forgotten saw another: what fellow patients teach of
    each other is gone with all of them.

    Args:
        recipe: How the model is trained.
        tables: Who is who.
        refits: How many models, a multiple of 4 and at least 8.
        seeds: Random streams.
        progress: Told how many are done, of how many.

    Raises:
        PrivauditError: Another number of refits, or a recipe that cannot be trained.
    """
    if refits < MIN_REFITS or refits % STEP:
        raise PrivauditError(
            f"{refits} refits",
            f"models come in fours, and fewer than {MIN_REFITS} say nothing of their own noise",
            "use 16, or a larger multiple of 4",
        )
    strangers = _draw_strangers(tables, seeds.rng("strangers"))
    asked = Records.concatenate([tables.forgotten, strangers])
    is_forgotten = np.arange(len(asked)) < len(tables.forgotten)
    margins, included = [], []
    half = np.empty(0, dtype=bool)
    for pair in range(refits // 2):
        rng = seeds.rng("pair", pair)
        half = ~half if pair % 2 else _halve(strangers.patient, rng)
        kept = _leave_out(tables.retained, int(half.sum()), rng)
        for with_them in (False, True):
            parts = [tables.retained.take(kept), strangers.take(half)]
            parts += [tables.forgotten] if with_them else []
            release = recipe.fit(Records.concatenate(parts), seeds.rng("refit", pair))
            assert release.model is not None
            margins.append(read_margins(release.model, asked))
            included.append(np.concatenate([np.full(len(tables.forgotten), with_them), half]))
            if progress is not None:
                progress(len(margins), refits)
    return Bank(asked, is_forgotten, np.array(margins), np.array(included))


def _draw_strangers(tables: Tables, rng: np.random.Generator) -> Records:
    """The strangers that models are trained on in halves: no more than the retained can make room
    for."""
    ids = np.unique(tables.strangers.patient)
    most = int(MOST_STRANGERS * len(np.unique(tables.retained.patient)))
    if len(ids) <= most:
        return tables.strangers
    return tables.strangers.take(np.isin(tables.strangers.patient, rng.permutation(ids)[:most]))


def _halve(patient: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ids = rng.permutation(np.unique(patient))
    return np.isin(patient, ids[: len(ids) // 2])


def _leave_out(records: Records, rows: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool, the records that stay when patients of about so many rows are left out."""
    ids, whose = np.unique(records.patient, return_inverse=True)
    order = rng.permutation(len(ids))
    gone = np.cumsum(np.bincount(whose)[order]) <= rows
    result: np.ndarray = ~np.isin(whose, order[gone])
    return result


__all__ = ["Bank", "Tables", "cut_margins", "read_margins", "train_bank"]
