"""A hospital's last look at an update before it leaves: does it hand over one of its rows whole?

A unit of the first layer that was active for one record alone hands over that record, as its
weights' change over its bias' change (Phong et al. 2017, section 3). It happens by chance: in 4 %
of the updates of 1,595 patients over ten steps of 32, and in half of those over a single step. A
coordinator can bring it about, by weights that leave each unit to one record (Fowl et al. 2022,
arXiv 2110.13057). A hospital knows its rows, so it sees either in the update itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipelines.federated.network import Network

EXACT, SHARE = 0.01, 0.95
"""A row is handed over where this share of its columns is read to within this, as in
`privaudit.attacks._encoded_rows`."""
LARGEST = 4.5
"""No encoded column is larger: what is divided out and lies beyond it is no row."""
ROWS = 4096
"""Rows that are compared at once."""
MOST = 0.125
"""Of the units: where more than this share hand over a row, that is no chance."""
COLUMNS, DIRECTIONS = 6, 3.0
"""Where rows differ in fewer columns, or in effect in fewer directions (the square of the sum of
their covariance's eigenvalues over the sum of squares), a row lies by chance between what two units
read."""
FIXED = 3
"""Of fewer columns beside a series, what many units read lies near some row by chance."""
ALIKE, TWINS = 0.995, 0.25
"""Units whose inputs correlate so strongly over all rows, and the share of units with such a twin
that no training brings about: bins along one direction need nearly all of them."""


def find_units_that_tell(network: Network, update: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The units of the first layer that hand over one of the rows x, (n, w), as it stands.

    Of fully connected layers that read rows: of a recurrent network the columns that do not change
    are compared; of pictures nothing, as no such layer reads them.

    Args:
        update: (p,) as it would be sent.
    """
    x = _read_rows(network, x)
    if not x.size:
        return np.empty(0, dtype=np.int64)
    weight, bias = _first(network, np.asarray(update, dtype=np.float64))
    live = np.flatnonzero(np.abs(bias) > 1e-7 * max(np.abs(bias).max(initial=0.0), 1e-30))
    # Columns that are alike in all records are known of everybody.
    telling = np.ptp(x, axis=0) > 1e-6
    own, read = x[:, telling], (weight[live] / bias[live, None])[:, telling].astype(np.float32)
    inside = (np.abs(read) <= LARGEST).mean(axis=1, dtype=np.float64) >= SHARE
    return np.array([live[i] for i in np.flatnonzero(inside) if _is_row(read[i], own)], np.int64)


def find_pairs_that_tell(network: Network, update: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The fewest units without which no two of the first layer hand over a row between them.

    Units that are active for the same records but one hand that one over as the difference of their
    changes (Fowl et al. 2022, arXiv 2110.13057, section 3): the row lies on the line through what
    the two read. Among rows that hardly differ (`DIRECTIONS`) nothing is said.

    Args:
        update: (p,) as it would be sent.
        x: (n, w) the rows that this update was made of.
    """
    nobody = np.empty(0, dtype=np.int64)
    x = _read_rows(network, x)
    if not _differ(x):
        return nobody
    telling = np.ptp(x, axis=0) > 1e-6
    weight, bias = _first(network, np.asarray(update, dtype=np.float64))
    live = np.flatnonzero(np.abs(bias) > 1e-7 * max(np.abs(bias).max(initial=0.0), 1e-30))
    read, own = (weight[live] / bias[live, None])[:, telling], x[:, telling].astype(np.float64)
    found = [(i, j) for i in range(len(live)) for j in _beside(read, i, own)]
    out: list[int] = []
    while found:
        # The unit that is part of the most such pairs, until none is left.
        units, times = np.unique(np.array(found), return_counts=True)
        worst = int(units[times.argmax()])
        out.append(worst)
        found = [pair for pair in found if worst not in pair]
    return live[sorted(out)] if out else nobody


def has_bins(network: Network, weights: np.ndarray, x: np.ndarray) -> bool:
    """Whether the first layer looks at the rows x, (n, w), along one direction again and again, as
    weights do that sort records into bins, which sums of several units then read apart."""
    x = _read_rows(network, x)
    if not _differ(x):
        return False
    weight, _ = _first(network, np.asarray(weights, dtype=np.float64))
    shown = x @ weight.T
    shown = shown - shown.mean(axis=0)
    length = np.sqrt((shown**2).sum(axis=0))
    shown = shown[:, length > 0] / length[length > 0]
    alike = np.abs(shown.T @ shown) > ALIKE
    np.fill_diagonal(alike, False)
    return bool(alike.any(axis=1).sum() > max(2, TWINS * len(weight)))


def leave_out(network: Network, update: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(p,) the update without what these units of the first layer have learnt."""
    made = update.copy()
    if len(units):
        weight, bias = _first(network, made, whole=True)
        weight[units], bias[units] = 0, 0
    return made


def withhold(
    network: Network, update: np.ndarray, x: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, int]:
    """(p,) the update without what hands over a row; and how many units do, where they are too
    many for that to be chance, else 0.

    Args:
        x: (n, w) all rows.
        drawn: Which of them the update was made of.
    """
    units = find_units_that_tell(network, update, x)
    made = leave_out(network, update, units)
    pairs = find_pairs_that_tell(network, made, x[np.unique(drawn)])
    found = np.union1d(units, pairs)
    made = leave_out(network, made, pairs)
    return made, len(found) if are_too_many(network, found) else 0


def are_too_many(network: Network, units: np.ndarray) -> bool:
    """Whether so many units tell of single records that it is no chance."""
    return len(units) > max(1, int(MOST * network.widths[1]))


def _read_rows(network: Network, x: np.ndarray) -> np.ndarray:
    """The part of encoded rows that the first fully connected layer reads as it stands."""
    if network.image is not None:
        return x[:, :0]
    if network.lstm is None:
        return x
    own = x[:, network.lstm.steps * network.lstm.features :]
    few = len(own) and (np.ptp(own, axis=0) > 1e-6).sum() < FIXED
    return own[:, :0] if few else own


def _first(
    network: Network, update: np.ndarray, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Views of the first fully connected layer's weights (units, w) and biases (units,).

    Args:
        whole: Also what a recurrent layer hands it, not the columns of rows alone.
    """
    high, width = network.widths[1], network.widths[0]
    at = sum(math.prod(shape) for shape in network.below)
    weight = update[at : at + high * width].reshape(high, width)
    skip = 0 if whole or network.lstm is None else 2 * network.lstm.units
    return weight[:, skip:], update[at + high * width : at + high * (width + 1)]


def _differ(x: np.ndarray) -> bool:
    """Whether rows differ in enough directions for one to be known from what lies near it."""
    if len(x) < 2 or (np.ptp(x, axis=0) > 1e-6).sum() < COLUMNS:
        return False
    spread = np.atleast_2d(np.cov(x, rowvar=False))
    return bool(np.trace(spread) ** 2 / (spread**2).sum() >= DIRECTIONS)


def _beside(read: np.ndarray, i: int, own: np.ndarray) -> list[int]:
    """Which later units have a row of `own` on the line through what they and unit i read."""
    others = np.arange(i + 1, len(read))
    line, rows = read[others] - read[i], own - read[i]
    square = (line**2).sum(axis=1)
    others, line, square = others[square > 0], line[square > 0], square[square > 0]
    along = rows @ line.T
    off = (rows**2).sum(axis=1)[:, None] - along**2 / square
    found = []
    for row, j in np.argwhere(off <= own.shape[1] * (2 * EXACT) ** 2):
        if others[j] in found:
            continue
        between = read[i] + along[row, j] / square[j] * line[j]
        if (np.abs(own[row] - between) <= EXACT).mean() >= SHARE:
            found.append(int(others[j]))
    return found


def _is_row(read: np.ndarray, own: np.ndarray) -> bool:
    return any(
        bool(((np.abs(own[at : at + ROWS] - read) <= EXACT).mean(axis=1) >= SHARE).any())
        for at in range(0, len(own), ROWS)
    )


__all__ = [
    *("are_too_many", "find_pairs_that_tell", "find_units_that_tell", "has_bins", "leave_out"),
    "withhold",
]
