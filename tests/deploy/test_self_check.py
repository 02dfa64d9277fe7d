"""What a hospital looks for in its update where a recurrent layer stands before the first dense."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.deploy.self_check import withhold
from pipelines.federated.local import Recipe, Trainer
from pipelines.federated.network import Network
from pipelines.federated.recurrent import LSTMLayer

LSTM = LSTMLayer(steps=3, features=2, fixed=8, units=4)


@pytest.mark.parametrize("traps", [0, 1, 8])
def test_columns_beside_a_series_are_looked_at(traps: int) -> None:
    rng = np.random.default_rng(0)
    network = Network((LSTM.out, 16, 2), lstm=LSTM)
    x = rng.normal(size=(60, 6 + LSTM.fixed)).astype(np.float32)
    y = rng.integers(0, 2, 60)
    parts = [part.copy() for part in network.unpack(network.start(rng))]
    fixed = x[:, 6:].astype(np.float64)
    order = np.argsort(-(fixed**2).sum(axis=1))
    for unit, one in enumerate(order[:traps]):
        along = fixed @ fixed[one]
        between = float(np.sort(along)[-2:].mean())
        assert along.argmax() == one
        parts[3][unit] = 0
        parts[3][unit, 2 * LSTM.units :] = fixed[one] / 100
        parts[4][unit] = -between / 100
    start = np.concatenate([part.ravel() for part in parts]).astype(np.float64)
    trainer = Trainer(network, x, y, [np.arange(60)], [rng])
    (update,) = trainer.train(start[None], np.array([0]), Recipe(steps=1, batch=60))
    sent = update.astype(np.float32)
    assert len(sent) == network.size
    made, too_many = withhold(network, sent, x, trainer.drawn)

    def count(update: np.ndarray) -> int:
        weight, bias = network.unpack(update)[3:5]
        with np.errstate(all="ignore"):
            read = weight[:, 2 * LSTM.units :] / bias[:, None]
        return sum(bool((np.abs(fixed - row) < 0.01).all(axis=1).any()) for row in read)

    # Of many, one may lie beyond what float32 keeps.
    assert min(traps, max(1, traps - 1)) <= count(sent) <= traps
    assert count(made) == 0
    assert too_many == (count(sent) if traps == 8 else 0)
    assert (made != sent).any() == bool(traps)
