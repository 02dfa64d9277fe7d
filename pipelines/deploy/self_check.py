"""A hospital's last look at an update before it leaves: does it hand over one of its rows whole?

A unit of the first layer that was active for one record alone hands over that record, as its
weights' change over its bias' change (Phong et al. 2017, section 3). It happens by chance: in 4 %
of the updates of 1,595 patients over ten steps of 32, and in half of those over a single step. A
coordinator can bring it about, by weights that leave each unit to one record (Fowl et al. 2022,
arXiv 2110.13057). A hospital knows its rows, so it sees either in the update itself.
"""

from __future__ import annotations

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


def find_units_that_tell(network: Network, update: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The units of the first layer that hand over one of the rows x, (n, w), as it stands.

    Of fully connected networks; none of others, whose first layer reads no row.

    Args:
        update: (p,) as it would be sent.
    """
    if not network.is_dense or not len(x):
        return np.empty(0, dtype=np.int64)
    weight, bias = _first(network, np.asarray(update, dtype=np.float64))
    live = np.flatnonzero(np.abs(bias) > 1e-7 * max(np.abs(bias).max(initial=0.0), 1e-30))
    # Columns that are alike in all records are known of everybody.
    telling = np.ptp(x, axis=0) > 1e-6
    own, read = x[:, telling], (weight[live] / bias[live, None])[:, telling].astype(np.float32)
    inside = (np.abs(read) <= LARGEST).mean(axis=1, dtype=np.float64) >= SHARE
    return np.array([live[i] for i in np.flatnonzero(inside) if _is_row(read[i], own)], np.int64)


def leave_out(network: Network, update: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(p,) the update without what these units of the first layer have learnt."""
    made = update.copy()
    weight, bias = _first(network, made)
    weight[units], bias[units] = 0, 0
    return made


def are_too_many(network: Network, units: np.ndarray) -> bool:
    """Whether so many units tell of single records that it is no chance."""
    return len(units) > max(1, int(MOST * network.widths[1]))


def _first(network: Network, update: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views of the first layer's weights (units, w) and biases (units,)."""
    high, width = network.widths[1], network.widths[0]
    return update[: high * width].reshape(high, width), update[high * width : high * (width + 1)]


def _is_row(read: np.ndarray, own: np.ndarray) -> bool:
    return any(
        bool(((np.abs(own[at : at + ROWS] - read) <= EXACT).mean(axis=1) >= SHARE).any())
        for at in range(0, len(own), ROWS)
    )


__all__ = ["are_too_many", "find_units_that_tell", "leave_out"]
