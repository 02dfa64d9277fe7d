"""Whether the rows of a synthetic table stand in the order of the table that it was made from."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from privaudit.facts import Caveat, CaveatCode
from privaudit.fidelity.distance import match, search
from privaudit.records import Records

RUNS, LONG = 20, 100
"""Of a longer table so many runs of so many rows are read."""
SURE, SURE_STEPS = 4.0, 8.0
"""Standard deviations of shuffled rows: of the correlation, and of what steps have more than those
of the next patients. In tables of other patients sorted by one column the latter were up to 4."""
AS_OTHERS = 0.6
"""Where as much as this is followed of the next most similar patients, who are as many and nearly
as near, the order is one of values: both tables are sorted by a column."""
NEAR = 0.02
"""A step is short that passes at most this share of the real table."""
NEXT = 8
"""Records among which that of another patient is looked for."""
SHUFFLES = 100


def find_row_order(table: Records, real: Records, rng: np.random.Generator) -> Caveat | None:
    """The caveat that places of rows tell of places of training records, None where they do not.

    Of each row the place of the most similar real record is looked up. Two numbers, each beside
    shuffled rows: the rank correlation of the two places, and how many steps from one row's place
    to the next one's are short, which sees an order in parts. The same of the record that is most
    similar among other patients': it follows where both files are sorted by values, and does not
    where rows were made from records one by one.

    Args:
        table: The synthetic table, as it was read.
        real: The records that it was made from, in the order of their file.
        rng: Draws the shuffled rows.
    """
    a, b, _ = match(table.take(_runs(len(table))), real)
    found = search(a, b, min(NEXT, len(real)))[1]
    apart = real.patient[found] != real.patient[found[:, :1]]
    other = found[np.arange(len(found)), apart.argmax(axis=1)]
    own, next_ = (_follow(place, len(real), rng) for place in (found[:, 0], other))
    beyond = next_ < AS_OTHERS * own
    sure = np.array([own[0] > SURE, own[1] - next_[1] > SURE_STEPS])
    return Caveat(CaveatCode.ROWS_IN_ORDER) if (sure & beyond).any() else None


def _runs(n: int) -> np.ndarray:
    if n <= RUNS * LONG:
        return np.arange(n)
    starts = np.linspace(0, n - LONG, RUNS).astype(int)
    return np.unique(starts[:, None] + np.arange(LONG))


def _follow(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(2,) both numbers, in standard deviations of shuffled rows."""
    if np.ptp(rows) == 0:
        return np.zeros(2)
    whole = np.corrcoef(np.arange(len(rows)), rankdata(rows))[0, 1] * np.sqrt(len(rows) - 1)

    def count(places: np.ndarray) -> int:
        return int((np.abs(np.diff(places)) <= max(3, NEAR * n)).sum())

    drawn = [count(rng.permutation(rows)) for _ in range(SHUFFLES)]
    return np.array([abs(whole), (count(rows) - np.mean(drawn)) / max(float(np.std(drawn)), 1.0)])


__all__ = ["find_row_order"]
