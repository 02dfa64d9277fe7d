"""A hospital's last look at an update before it leaves: does it hand over one of its rows whole?

Weights come from a coordinator that nobody trusts. It can make such weights that each unit of the
first layer is active for one record alone, whose row is then its weights' change over its bias'
change, as it stands (Phong et al. 2017, section 3; Fowl et al. 2022, arXiv 2110.13057). A hospital
knows its rows, so it sees that in the update itself, whatever the weights were.
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


def count_rows_read(network: Network, update: np.ndarray, x: np.ndarray) -> int:
    """How many units of the first layer hand over one of the rows x, (n, w), as they stand.

    Of fully connected networks; 0 of others, whose first layer reads no row.

    Args:
        update: (p,) as it would be sent.
    """
    if not network.is_dense:
        return 0
    high, width = network.widths[1], network.widths[0]
    weight = update[: high * width].reshape(high, width).astype(np.float64)
    bias = update[high * width : high * (width + 1)].astype(np.float64)
    live = np.abs(bias) > 1e-7 * max(np.abs(bias).max(initial=0.0), 1e-30)
    read = weight[live] / bias[live, None]
    # Columns that are alike in all records are known of everybody.
    telling = np.ptp(x, axis=0) > 1e-6
    read, own = read[:, telling].astype(np.float32), x[:, telling]
    read = read[(np.abs(read) <= LARGEST).mean(axis=1, dtype=np.float64) >= SHARE]
    found = 0
    for row in read:
        found += any(
            bool(((np.abs(own[at : at + ROWS] - row) <= EXACT).mean(axis=1) >= SHARE).any())
            for at in range(0, len(own), ROWS)
        )
    return found


__all__ = ["count_rows_read"]
