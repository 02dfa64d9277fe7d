"""The flat network: layout, answers and gradients."""

from __future__ import annotations

import pickle

import numpy as np
import torch

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.network import FlatModel, Network, record_gradients
from privaudit.contracts import Differentiable
from privaudit.records import Column, Records


def model_and_records() -> tuple[FlatModel, Records]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 4))
    x[rng.random(x.shape) < 0.2] = np.nan
    columns = tuple(Column(f"c{i}", bounds=(-5.0, 5.0)) for i in range(4))
    y = (rng.random(40) < 0.4).astype(int)
    records = Records(columns, x, y, np.arange(40), np.zeros(40))
    encoding = PublicEncoding(columns)
    network = Network((encoding.width, 5, 2))
    weights = network.start(rng) + rng.normal(size=network.size).astype(np.float32) * 0.3
    return FlatModel(encoding, network.widths, weights), records


def test_layout_is_the_exchanges() -> None:
    network = Network((3, 2, 2))
    flat = np.arange(network.size, dtype=np.float32)
    w1, b1, w2, b2 = network.unpack(torch.from_numpy(flat))
    assert w1.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert b1.tolist() == [6, 7]
    assert w2.tolist() == [[8, 9], [10, 11]]
    assert b2.tolist() == [12, 13]
    assert np.array_equal(network.pack([w1, b1, w2, b2]).numpy(), flat)
    many = torch.from_numpy(np.stack([flat, flat + 1]))
    assert torch.equal(network.pack(network.unpack(many)), many)
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    both = network.forward(many, x)
    assert torch.allclose(both[1], network.forward(many[1], x[1]))
    assert torch.allclose(both[0], (x[0] @ w1.T + b1).relu() @ w2.T + b2)


def test_weight_gradients_are_those_of_automatic_differentiation() -> None:
    model, records = model_and_records()
    assert isinstance(model, Differentiable)
    ours = model.weight_gradient(records)
    network, z = Network(model.widths), torch.from_numpy(model.encoding.encode(records))
    for i in range(0, 40, 7):
        flat = torch.from_numpy(model.weights.copy()).requires_grad_()
        loss = torch.nn.functional.cross_entropy(
            network.forward(flat, z[i : i + 1]), torch.from_numpy(records.y[i : i + 1])
        )
        loss.backward()
        assert np.allclose(ours[i], flat.grad.numpy(), atol=1e-6)
    whole = record_gradients(model.widths, model.weights, z.numpy(), records.y)
    assert np.array_equal(whole, ours)


def test_input_gradients_are_slopes_and_answers_survive_pickling() -> None:
    model, records = model_and_records()

    def losses(x: np.ndarray) -> np.ndarray:
        moved = Records(records.columns, x, records.y, records.patient, records.site)
        p = model.predict_proba(moved)
        return -np.log(p[np.arange(40), records.y])

    gradient, series = model.input_gradient(records)
    assert series is None
    h = 0.02
    for j in range(4):
        up, down = records.X.copy(), records.X.copy()
        up[:, j] += h
        down[:, j] -= h
        slope = (losses(up) - losses(down)) / (2 * h)
        assert np.median(np.abs(np.nan_to_num(slope) - gradient[:, j])) < 1e-4
        assert not gradient[np.isnan(records.X[:, j]), j].any()
    p = model.predict_proba(records)
    assert p.dtype == np.float64
    assert np.allclose(p.sum(axis=1), 1)
    assert np.array_equal(p, pickle.loads(pickle.dumps(model)).predict_proba(records))
