"""What one hospital itself sent, as an exchange that it can attack on its own records."""

from __future__ import annotations

from typing import Any

import numpy as np

from privaudit.contracts import Exchange
from privaudit.records import Records


def own_exchange(
    method: Any, records: Records, weights: np.ndarray, received: np.ndarray
) -> Exchange:
    """The exchange of one client: this hospital, in one round.

    Args:
        method: Of the run's terms: a `Federated`.
        records: What the hospital trains on.
        weights: (p,) that it was sent, or those of the final model where it keeps no others: they
            are read only where it has hardly any records.
        received: (p,) the update as the server could read it: the update itself, or masked words
            decoded as the sum is (`Terms.decode`), or ciphertexts read as numbers.
    """
    network = method.make_network(records)
    return Exchange(
        weights=(np.asarray(weights, dtype=np.float32),),
        updates=(np.asarray(received, dtype=np.float32)[None],),
        clients=np.zeros(1, dtype=np.int64),
        counts=np.array([len(records)]),
        **network.layout,
        encode=method.make_encoding(records).encode,
        rate=method.rate,
        steps=method.steps,
        batch=method.rows,
        protected=method.protect.name,
    )


__all__ = ["own_exchange"]
