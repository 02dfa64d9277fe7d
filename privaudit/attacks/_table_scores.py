"""Scores of membership on a table, shared by the attacks on it and by those who combine them.

Each takes the records that are asked about, the table and the attacker's own records, and answers
with (n,) float64, the higher the more surely a member.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import (
    APART,
    Cells,
    Ranges,
    closeness,
    densities,
    match,
    search,
    shared,
    spans,
)
from privaudit.records import Records

TAILS = 0.1
"""Share of the attacker's own values on either side that a column's scale leaves out."""
WIDTHS = (0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.8)
"""Widths of the kernel that are tried, in units of what the middle of a column spans."""
TRIED = 1000
"""Records of the attacker's own on which the width is chosen, at most."""


def score_distance(
    records: Records,
    table: Records,
    own: Records,
    *,
    calibrated: bool = True,
    tails: float = TAILS,
) -> np.ndarray:
    """How near each record is to the table, less how near it is to `own` where `calibrated`."""
    ranges = spans(own, tails)
    names = shared(records, table)
    scores = closeness(records, table, names, ranges)
    return scores - closeness(records, own, names, ranges) if calibrated else scores


def score_density(
    records: Records, table: Records, own: Records, *, width: float = 0.0, tails: float = TAILS
) -> np.ndarray:
    """Log density of the table at each record, less that of the attacker's own records."""
    refuse_few(own)
    ranges = spans(own, tails)
    names = shared(records, table)
    width = width or choose_width(own, names, ranges)
    dense, usual = (
        densities(*match(records, other, names, ranges)[:2], [width], gap=APART)[0]
        for other in (table, own)
    )
    result: np.ndarray = dense - usual
    return result


def score_likelihood(
    records: Records,
    table: Records,
    own: Records,
    *,
    nearest: int = 1,
    width: float = 0.0,
    tails: float = TAILS,
) -> np.ndarray:
    """How much likelier each record makes the `nearest` records of the table, on a log scale."""
    refuse_few(own)
    names = shared(records, table)
    # One scale for all three tables: the distances are compared with each other.
    ranges = {**spans(table, tails), **spans(own, tails)}
    width = width or choose_width(own, names, ranges)
    drawn, usual, _ = match(table, own, names, ranges)
    known = densities(drawn, usual, [width], gap=APART)[0] + np.log(len(own))
    asked, around, _ = match(records, table, names, ranges)
    distance, rows = search(asked, around, min(nearest, len(table)), gap=APART)
    return sum_gains(-distance * around.width / width - known[rows])


def sum_gains(gain: np.ndarray) -> np.ndarray:
    """(n,) log of the sum of log(1 + e^gain) over (n, k), without underflow."""
    from scipy.special import logsumexp

    small = gain < -30.0
    exact = np.log(np.logaddexp(0.0, np.where(small, 0.0, gain)))
    result: np.ndarray = logsumexp(np.where(small, gain, exact), axis=1)
    return result


def refuse_few(own: Records) -> None:
    """Refuse a reference pool of which no density can be estimated."""
    if len(own) < 2:
        raise PrivauditError(
            f"{len(own)} reference record",
            "a density is estimated from at least two",
            "give the attacker more records of their own",
        )


def choose_width(own: Records, names: Sequence[str], ranges: Ranges) -> float:
    """The width under which the attacker's own records are likeliest, at most `TRIED` of them,
    evenly spaced."""
    few = own.take(np.unique(np.linspace(0, len(own) - 1, TRIED).astype(np.int64)))
    return choose(match(few, few, names, ranges)[0])


def choose(cells: Cells) -> float:
    """The width under which records are likeliest, each by the kernels around all others."""
    likely = densities(cells, cells, WIDTHS, exclude_self=True, gap=APART).mean(axis=1)
    gaps = cells.missing[: len(cells.numbers)].any(axis=1)
    size = []
    for width in WIDTHS:
        unlike = np.exp(-1.0 / width)
        numbers = np.log(2.0 * width * (1.0 - unlike) + gaps * unlike).sum()
        size.append(numbers + sum(np.log1p((k - 1) * unlike) for k in cells.levels))
    return WIDTHS[int(np.argmax(likely - np.array(size)))]


__all__ = [
    "TAILS",
    "choose",
    "choose_width",
    "score_density",
    "score_distance",
    "score_likelihood",
    "sum_gains",
]
