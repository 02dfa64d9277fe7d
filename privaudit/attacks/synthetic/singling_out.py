"""Singling out: descriptions read off the synthetic table that fit exactly one real patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks._pools import PATIENTS, draw_alike
from privaudit.attacks._tables import FEWEST, TableAttack, table_of
from privaudit.attacks.synthetic._predicates import (
    Predicates,
    at_random,
    medians,
    multivariate,
    univariate,
)
from privaudit.contracts import Fitted, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.fidelity.distance import Cells, match
from privaudit.records import Records

CONTROL = (
    "the same descriptions, on as many {people} of as many records whom the table was not made from"
)
DRAWN = 60_000
"""Descriptions drawn on so many columns before fewer are accepted."""
ENOUGH = 500
"""From so many descriptions on no more columns are taken."""


@dataclass(frozen=True)
class SinglingOut(TableAttack):
    """Looks for descriptions, such as "over 90, lactate never measured", that fit one patient.

    Descriptions that fit exactly one record of the synthetic table are tried on the real ones.
    "univariate": one column each, its extremes, values that occur once, the only missing one;
    "multivariate": `columns` columns of a synthetic record drawn at random, numbers at least or at
    most the record's, whichever lies farther from the median; in a large table of few different
    values more columns are taken until enough descriptions fit one record. Success: the description
    fits exactly one of the patients whom the table was made from, one or more of that patient's
    records; control: exactly one of as many others with as many records, for some descriptions fit
    one of any n patients (Cohen and Nissim 2020, arXiv 1904.06009); guess: a description drawn at
    random from the values of the attacker's own records. An attempt is a description, not a
    patient: up to `attempts` of them are tried, and no more than patients, for the spread over the
    patients would exceed what so many attempts promise. Missing is a value like any other.
    Giomi et al. 2023 (arXiv 2211.10459), section 4.1 and algorithms 1 and 2 of its appendix.
    """

    attempts: int = 4000
    columns: int = 3

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, attempts=1, columns=1)
        table, split = table_of(target), target.split
        own, other = draw_alike(split.members, split.nonmembers, PATIENTS, rng)
        whose = [np.unique(p.patient, return_inverse=True)[1] for p in (own, other)]
        pools = [own, other, split.reference]
        joined, rows, names = match(Records.concatenate(pools), table)
        ordered = np.arange(len(names)) < len(joined.numbers)
        cuts = np.cumsum([len(pool) for pool in pools])[:-1]
        members, others, known = np.split(_values(joined), cuts, axis=1)
        synthetic = _distinct(_values(rows))
        different = synthetic.shape[1]
        if different < FEWEST:
            raise PrivauditError(
                f"a synthetic table of {len(table)} records, {different} of them different",
                f"descriptions that fit exactly one need at least {FEWEST} different records",
                "check that the generator draws more than a few different records",
            )
        width = min(self.columns, len(names))
        found = {}
        most = min(self.attempts, max(ENOUGH, len(np.unique(own.patient))))
        for name, predicates in (
            ("univariate", _univariate(synthetic, ordered, most, rng)),
            ("multivariate", _enough(synthetic, ordered, width, most, rng)),
        ):
            if not len(predicates):
                continue
            wide = predicates.columns.shape[1]
            naive = at_random(known, ordered, len(predicates), wide, rng)
            found[Setting("variant", name)] = Trials(
                predicates.isolate(members, whose[0]),
                predicates.isolate(others, whose[1]),
                naive.isolate(members, whose[0]),
                CONTROL if wide in (1, width) else f"{CONTROL}; on {wide} columns each",
            )
        if not found:
            raise PrivauditError(
                "no description fits exactly one record of the synthetic table",
                f"in each of {DRAWN:,} tries on {width} to {len(names)} columns "
                "several records fitted, or none",
                "give the synthetic table more of the records' columns",
            )
        return found


def _univariate(
    cells: np.ndarray, ordered: np.ndarray, most: int, rng: np.random.Generator
) -> Predicates:
    every = univariate(cells, ordered)
    return every.take(rng.permutation(len(every))[:most])


def _enough(
    cells: np.ndarray, ordered: np.ndarray, width: int, most: int, rng: np.random.Generator
) -> Predicates:
    """On `width` columns, or half as many more each time until there are enough; the most."""
    best = _multivariate(cells, ordered, width, most, rng)
    while len(best) < min(ENOUGH, most) and width < len(cells):
        width = min(len(cells), width + max(1, width // 2))
        best = max(best, _multivariate(cells, ordered, width, most, rng), key=len)
    return best


def _multivariate(
    cells: np.ndarray, ordered: np.ndarray, width: int, most: int, rng: np.random.Generator
) -> Predicates:
    found = Predicates(*(np.empty((0, width), dtype=t) for t in (np.int64, np.int64, np.float64)))
    middle = medians(cells)
    for _ in range(-(-DRAWN // most)):
        rows = rng.integers(0, cells.shape[1], most)
        drawn = multivariate(cells, ordered, rows, width, rng, middle)
        alone = drawn.take(np.flatnonzero(drawn.counts(cells) == 1))
        found = Predicates.join([found, alone]).distinct()
        if len(found) >= most:
            break
    return found.take(np.arange(min(len(found), most)))


def _values(cells: Cells) -> np.ndarray:
    """(d, n) float64, numbers first, NaN where missing."""
    wide = np.concatenate([cells.numbers, cells.codes.astype(np.float64)])
    wide[cells.missing] = np.nan
    return wide


def _distinct(cells: np.ndarray) -> np.ndarray:
    """The different records, for an attacker loses nothing by leaving out repeats."""
    _, first = np.unique(np.where(np.isnan(cells), np.inf, cells), axis=1, return_index=True)
    return np.ascontiguousarray(cells[:, np.sort(first)])


__all__ = ["SinglingOut"]
