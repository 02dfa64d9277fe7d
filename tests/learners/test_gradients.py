"""Gradients against finite differences, in the records' own units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipelines.learners.logreg import LogReg
from pipelines.learners.lstm import LSTM
from pipelines.learners.mlp import MLP
from privaudit.contracts import Differentiable, Learner
from privaudit.records import Records
from privaudit.seeds import Seeds

Stays = Callable[..., Records]
LEARNERS = [LogReg(), MLP(epochs=8), LSTM(epochs=4)]
every = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)


def loss(model: Differentiable, records: Records) -> np.ndarray:
    return -np.log(model.predict_proba(records)[np.arange(len(records)), records.y])


@pytest.fixture
def fitted(learner: Learner, stays: Stays) -> tuple[Differentiable, Records]:
    model = learner.fit(stays(300, 1, classes=3), Seeds(2).rng("fit"))
    assert isinstance(model, Differentiable)
    return model, stays(60, 3, classes=3)


def agree(found: np.ndarray, differences: np.ndarray) -> None:
    """Nearly all agree closely; a few straddle a kink of a rectifier or of the clipping."""
    scale = np.abs(differences).max() + 1e-12
    assert scale > 1e-8
    assert np.mean(np.abs(found - differences) < 0.02 * scale) > 0.97


@every
def test_input_gradient(fitted: tuple[Differentiable, Records]) -> None:
    model, records = fitted
    dx, _ = model.input_gradient(records)
    assert dx.shape == records.X.shape
    assert not dx[np.isnan(records.X)].any()
    assert not dx[:, 8].any()
    differences = np.zeros(dx.shape)
    for j in range(8):
        step = 0.02 * np.nanstd(records.X[:, j])
        up, down = records.X.copy(), records.X.copy()
        up[:, j] += step
        down[:, j] -= step
        width = up[:, j].astype(float) - down[:, j]
        change = loss(model, replace(records, X=up)) - loss(model, replace(records, X=down))
        differences[:, j] = np.where(np.isnan(width), 0, change / np.where(width > 0, width, 1))
    agree(dx, differences)


@pytest.mark.parametrize("learner", [LSTM(epochs=4)])
def test_series_gradient(fitted: tuple[Differentiable, Records]) -> None:
    model, records = fitted
    dx, ds = model.input_gradient(records)
    assert not dx[:, :6].any()  # summaries are not read
    assert ds is not None
    assert not ds[np.isnan(records.series)].any()
    differences = np.zeros(ds.shape)
    for hour in range(records.series.shape[1]):
        for channel in range(records.series.shape[2]):
            up, down = records.series.copy(), records.series.copy()
            up[:, hour, channel] += 0.05
            down[:, hour, channel] -= 0.05
            change = loss(model, replace(records, series=up)) - loss(
                model, replace(records, series=down)
            )
            differences[:, hour, channel] = change / 0.1
    differences[np.isnan(records.series)] = 0
    agree(ds, differences)


@every
def test_series_gradient_is_zero_where_the_series_is_not_read(
    fitted: tuple[Differentiable, Records], learner: Learner
) -> None:
    model, records = fitted
    _, ds = model.input_gradient(records)
    assert ds.shape == records.series.shape
    assert ds.any() == isinstance(learner, LSTM)
    if not isinstance(learner, LSTM):
        table = learner.fit(replace(records, series=None, channels=()), Seeds(2).rng("fit"))
        assert table.input_gradient(replace(records, series=None, channels=()))[1] is None


@every
def test_weight_gradient(fitted: tuple[Differentiable, Records]) -> None:
    model, records = fitted
    found = model.weight_gradient(records)
    names = ("weights",) if hasattr(model, "network") else ("weights", "bias")
    parts = model.weights if hasattr(model, "network") else (model.weights, model.bias)
    assert found.shape == (len(records), sum(p.size for p in parts))
    rng = np.random.default_rng(0)
    ends = np.cumsum([p.size for p in parts])
    for p in rng.choice(found.shape[1], min(40, found.shape[1]), replace=False):
        which = int(np.searchsorted(ends, p, side="right"))
        place = p - (ends[which] - parts[which].size)
        moved = []
        for step in (5e-3, -5e-3):
            changed = [np.array(part) for part in parts]
            changed[which].reshape(-1)[place] += step
            new = (
                {"weights": tuple(changed)}
                if len(names) == 1
                else dict(zip(names, changed, strict=True))
            )
            moved.append(loss(replace(model, **new), records))
        difference = (moved[0] - moved[1]) / 1e-2
        assert (
            np.mean(np.abs(found[:, p] - difference) < 0.02 * max(np.abs(found).max(), 0.1)) > 0.95
        )


@every
def test_a_clipped_value_has_no_gradient(fitted: tuple[Differentiable, Records]) -> None:
    model, records = fitted
    X = records.X.copy()
    X[0, 6] = 1e5
    dx, _ = model.input_gradient(replace(records, X=X))
    assert dx[0, 6] == 0
    assert np.abs(dx[1:, 6]).max() > 0
