"""Federations of an LSTM: the network, its gradients, what leaves a hospital, what is claimed."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from pipelines.federated.front import LSTM, Pooled
from pipelines.federated.local import PerPatient, Recipe, Trainer, clip_by_record
from pipelines.federated.network import FlatModel, by_record
from pipelines.federated.secure_sum import SecureSum
from pipelines.federated.sites import Dirichlet
from pipelines.methods.dp_sgd import DPSGD
from pipelines.methods.federated import Federated
from pipelines.methods.federated_encrypted import FederatedEncrypted
from pipelines.methods.federated_private import FederatedPrivate
from pipelines.methods.federated_robust import FederatedRobust
from pipelines.methods.federated_secure import FederatedSecure
from privaudit.contracts import Access, Differentiable
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

HOURS = 9


def stays(n: int = 240, seed: int = 0, hours: int = HOURS, gaps: float = 0.3) -> Records:
    """Who worsens over the hours is the ill one; the columns alone say nothing of it."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    hour = np.linspace(-1, 1, hours)[None, :, None]
    series = rng.normal(size=(n, hours, 2)) + 2.0 * (2 * y - 1)[:, None, None] * hour
    series[rng.random(series.shape) < gaps] = np.nan
    columns = (
        Column("age", bounds=(18.0, 100.0)),
        Column("unit", "category", levels=("a", "b", "c")),
        Column("c0_mean", bounds=(-4.0, 4.0), variable="c0", statistic="mean"),
    )
    x = np.column_stack([rng.uniform(18, 100, n), rng.integers(0, 3, n), rng.normal(size=n)])
    return Records(
        columns,
        x,
        y,
        np.arange(n),
        rng.integers(0, 4, n),
        series=series,
        channels=tuple(Column(f"c{i}", bounds=(-4.0, 4.0)) for i in range(2)),
        sites=("p", "q", "r", "s"),
    )


QUICK = Federated(front=LSTM(6, 2), hidden=4, rounds=8, rate=0.5)


def stream(name: str = "f") -> np.random.Generator:
    return Seeds(3).rng(name)


@lru_cache(maxsize=1)
def trained() -> FlatModel:
    model = QUICK.fit(stays(), stream()).model
    assert isinstance(model, FlatModel)
    return model


def auroc(model: FlatModel, records: Records) -> float:
    p = model.predict_proba(records)[:, 1]
    return float((p[records.y == 1][:, None] > p[records.y == 0][None]).mean())


def losses(model: FlatModel, records: Records) -> np.ndarray:
    return -np.log(model.predict_proba(records)[np.arange(len(records)), records.y])


# --- the encoding


def test_a_row_holds_the_bins_and_then_what_does_not_change() -> None:
    own = stays(5)
    x = QUICK.encode(own)
    # Five bins of two hours, the last of one; two channels, three numbers each; age, mask, levels.
    assert QUICK.find_shape(own) == (5, 6, 5, 2)
    assert x.shape == (5, 5 * 6 + 5)
    assert x.dtype == np.float32
    series = own.series[0]
    bins = x[0, :30].reshape(5, 6)
    seen = ~np.isnan(series)
    assert np.allclose(bins[0, 2:4], seen[:2].mean(axis=0))
    assert np.allclose(bins[4, 2:4], seen[8])
    # Half the range between the bounds is 1, and what is missing is the last that was measured.
    last = np.zeros(2)
    carried = []
    for hour in series:
        last = np.where(np.isnan(hour), last, np.clip(hour / 4, -4, 4))
        carried.append(last)
    assert np.allclose(bins[1, :2], np.mean(carried[2:4], axis=0), atol=1e-6)
    assert x[0, 30] == pytest.approx((own.X[0, 0] - 59) / 41)
    assert x[0, 32:].tolist() == [float(own.X[0, 1] == k) for k in range(3)]


def test_the_encoding_reads_nothing_of_other_records() -> None:
    own, other = stays(40), stays(40, seed=1)
    encoding = QUICK.make_encoding(own)
    assert encoding == QUICK.make_encoding(other)
    assert np.array_equal(encoding.encode(own.take(slice(3, 4)))[0], encoding.encode(own)[3])
    summaries = replace(own, X=np.where([False, False, True], 9.0, own.X))
    assert np.array_equal(encoding.encode(own), encoding.encode(summaries)), "columns of a variable"


def test_a_server_without_records_builds_the_same_network() -> None:
    own = stays(40)
    network = QUICK.build_network(QUICK.find_shape(own))
    assert network == QUICK.make_network(own) == QUICK.make_network(own.take(slice(0, 0)))
    none = own.take(slice(0, 0))
    assert QUICK.encode(none).shape == (0, QUICK.make_encoding(own).width)
    assert trained().predict_proba(none).shape == (0, 2)
    model = QUICK.make_model(none, trained().weights)
    assert np.array_equal(model.predict_proba(own), trained().predict_proba(own))
    for shape in ((5, 6, 2), (5, 6, -1, 2), (35, 2), (5, 6, 5, 1), (2,), ()):
        with pytest.raises(PrivauditError, match="shape of"):
            QUICK.build_network(shape)
    for method, shape in ((QUICK, (5, 10**9, 5, 2)), (Federated(), (10**9, 2))):
        with pytest.raises(PrivauditError, match="parameters"):
            method.build_network(shape)


# --- the network


def test_the_network_computes_an_lstm_as_torch_does() -> None:
    own = stays(30)
    network = QUICK.make_network(own)
    flat = torch.from_numpy(network.start(stream()))
    assert len(flat) == network.size
    enter, bias, again, w1, b1, w2, b2 = network.unpack(flat)
    assert torch.equal(network.pack(network.unpack(flat)), flat)
    units, (steps, features, fixed, _) = 6, QUICK.find_shape(own)
    twin = torch.nn.LSTM(features, units, batch_first=True)
    # torch orders the gates input, forget, cell, output.
    order = np.r_[: 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
    with torch.no_grad():
        twin.weight_ih_l0.copy_(enter[order])
        twin.weight_hh_l0.copy_(again[order])
        twin.bias_ih_l0.copy_(bias[order])
        twin.bias_hh_l0.zero_()
        x = torch.from_numpy(QUICK.encode(own))
        states, _ = twin(x[:, : steps * features].view(-1, steps, features))
        h = torch.cat([states[:, -1], states.mean(1), x[:, steps * features :]], 1)
        assert h.shape[1] == 2 * units + fixed == network.widths[0]
        expected = (h @ w1.T + b1).relu() @ w2.T + b2
        assert torch.allclose(network.forward(flat, x), expected, atol=1e-5)


def test_gradients_for_columns_and_series_are_those_of_finite_differences() -> None:
    model, own = trained(), stays(30, seed=4)
    assert isinstance(model, Differentiable)
    dx, ds = model.input_gradient(own)
    assert ds is not None
    assert ds.shape == own.series.shape
    assert dx.shape == own.X.shape
    missing = np.isnan(own.series)
    assert not ds[missing].any()
    assert not dx[:, 1:].any(), "a category's code, and a column that the network does not read"
    for hour in (0, 3, 8):
        for channel in range(2):
            moved = [own.series.astype(np.float64) for _ in range(2)]
            for sign, one in zip((1, -1), moved, strict=True):
                one[:, hour, channel] += sign * 0.02
            up, down = (losses(model, replace(own, series=one)) for one in moved)
            slope = np.where(missing[:, hour, channel], 0, (up - down) / 0.04)
            assert np.abs(slope - ds[:, hour, channel]).max() < 2e-3 * max(1, np.abs(ds).max())
    older = np.array([[0.5, 0, 0]])
    up, down = own.X + older, own.X - older
    slope = losses(model, replace(own, X=up)) - losses(model, replace(own, X=down))
    assert np.abs(slope - dx[:, 0]).max() < 2e-3
    assert np.abs(ds).max() > 0.01
    assert np.abs(dx[:, 0]).max() > 1e-5


def test_gradients_for_weights_are_those_of_finite_differences() -> None:
    model, own = trained(), stays(12, seed=4)
    ours = model.weight_gradient(own)
    assert ours.shape == (12, model.network.size)
    # Of several directions at once: each of all parameters.
    for seed in range(4):
        way = np.random.default_rng(seed).normal(size=model.network.size)
        way /= np.linalg.norm(way)
        up, down = (
            losses(replace(model, weights=(model.weights + s * 0.01 * way).astype("f4")), own)
            for s in (1, -1)
        )
        assert np.allclose((up - down) / 0.02, ours @ way, atol=5e-3)


def test_a_model_survives_pickling_and_reads_the_series() -> None:
    model, own = trained(), stays(40, seed=5)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(own), model.predict_proba(own))
    still = replace(own, series=np.zeros(own.series.shape))
    assert not np.allclose(model.predict_proba(still), model.predict_proba(own))


# --- training


def test_it_learns_what_the_columns_do_not_say() -> None:
    asked = stays(400, seed=9)
    assert auroc(trained(), asked) > 0.9
    columns = replace(QUICK, front=Pooled()).fit(stays(), stream()).model
    assert auroc(columns, asked) < 0.65


@pytest.mark.parametrize("method", [FederatedSecure, FederatedRobust, FederatedEncrypted])
def test_every_federation_trains_it(method: type[Federated]) -> None:
    if method is FederatedEncrypted:
        pytest.importorskip("tenseal")
    rounds = 2 if method is FederatedEncrypted else 5
    release = method(front=LSTM(6, 2), hidden=4, rounds=rounds, rate=0.5).fit(stays(), stream())
    plain = replace(QUICK, rounds=rounds, bound=None).fit(stays(), stream())
    if method is FederatedRobust:
        assert auroc(release.model, stays(400, seed=9)) > 0.9
    else:
        assert np.allclose(release.model.weights, plain.model.weights, atol=1e-3)
    assert release.updates.lstm == (5, 6, 5, 6)
    assert release.updates.weights[0].shape == (plain.model.network.size,)


def test_no_client_depends_on_who_trains_beside_it() -> None:
    own = stays()
    network, x = QUICK.make_network(own), QUICK.encode(own)
    rows = [np.flatnonzero(own.site == k) for k in range(4)]
    sent = network.start(stream())

    def train(who: list[int]) -> np.ndarray:
        rngs = [stream(f"client {k}") for k in who]
        trainer = Trainer(network, x, own.y, [rows[k] for k in who], rngs)
        recipe = Recipe(4, 16, 0.5)
        return trainer.train(np.stack([sent] * len(who)), np.arange(len(who)), recipe)

    together = train([0, 1, 2, 3])
    assert np.abs(together).max() > 0
    for k in range(4):
        assert np.array_equal(train([k])[0], together[k])


def test_a_step_is_gradient_descent() -> None:
    own = stays(20)
    network, x = QUICK.make_network(own), QUICK.encode(own)
    sent = network.start(stream())
    trainer = Trainer(network, x, own.y, [np.arange(20)], [stream()])
    (update,) = trainer.train(sent[None], np.array([0]), Recipe(1, 20, 0.5))
    model = QUICK.make_model(own, sent)
    assert np.allclose(update, -0.5 * model.weight_gradient(own).mean(axis=0), atol=1e-5)


# --- noise at the hospitals


def test_each_patients_gradient_is_clipped_by_itself() -> None:
    own = stays(30)
    network = QUICK.make_network(own)
    flat = torch.from_numpy(network.start(stream()))
    x, y = torch.from_numpy(QUICK.encode(own)), torch.from_numpy(own.y)
    clip = float(by_record(network, flat, x, y).norm(dim=1).median())
    expected = torch.zeros(network.size)
    cut = 0
    for i in range(30):
        one = flat.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(network.forward(one, x[i : i + 1]), y[i : i + 1])
        (gradient,) = torch.autograd.grad(loss, one)
        cut += int(gradient.norm() > clip)
        expected += gradient * (clip / gradient.norm()).clamp(max=1)
    assert 5 < cut < 25
    assert torch.allclose(clip_by_record(network, flat, x, y, clip, False), expected, atol=1e-4)
    # Noise and clipping of a whole step, by the hospital's own stream.
    private = PerPatient(0.5, clip, 0.0)
    trainer = Trainer(network, QUICK.encode(own), own.y, [np.arange(30)], [stream()], private)
    drawn = stream().random((1, 30))[0] < 0.5
    (update,) = trainer.train(flat.numpy()[None], np.array([0]), Recipe(1, 8, 1.0))
    total = clip_by_record(network, flat, x[drawn], y[drawn], clip, False)
    assert np.allclose(update, -total.numpy() / 15, atol=1e-5)


def test_the_claim_is_that_of_any_private_federation() -> None:
    own = stays()
    method = FederatedPrivate(front=LSTM(6, 3), rounds=1)
    release = method.fit(own, stream())
    plain = FederatedPrivate(rounds=1).fit(own, stream())
    assert release.claim == plain.claim, "the noise knows no network"
    assert release.claim.unit == "patient"
    assert Access.UPDATES in release.claim.covers
    assert 2.9 < release.claim.epsilon <= 3
    two = Dirichlet(100.0, 2)
    weak = replace(method, epsilon=50.0, rounds=7, steps=4, sites=two).fit(own, stream())
    assert auroc(weak.model, stays(400, seed=9)) > 0.9


def test_a_guarantee_needs_bounds_that_are_public() -> None:
    own = stays(60)
    open_ended = replace(own, channels=(Column("c0"), own.channels[1]))
    with pytest.raises(PrivauditError, match="without bounds"):
        FederatedPrivate(front=LSTM(4), rounds=1).fit(open_ended, stream())
    # Nothing is read off the data without bounds either, so without a claim it is allowed.
    replace(QUICK, rounds=1).fit(open_ended, stream())


# --- refusals


def test_records_that_no_lstm_reads_are_refused() -> None:
    own = stays(60)
    table = replace(own, series=None, channels=())
    with pytest.raises(PrivauditError, match="without an hourly series"):
        QUICK.fit(table, stream())
    with pytest.raises(PrivauditError, match="without an hourly series"):
        QUICK.fit(replace(own, series=own.series[:, :0]), stream())
    kinds = (Column("c0", "category", levels=("x", "y")), own.channels[1])
    with pytest.raises(PrivauditError, match="categories"):
        QUICK.fit(replace(own, channels=kinds), stream())
    with pytest.raises(PrivauditError, match="hours"):
        trained().predict_proba(stays(10, hours=HOURS + 1))
    with pytest.raises(PrivauditError, match="units"):
        replace(QUICK, front=LSTM(0)).fit(own, stream())
    with pytest.raises(PrivauditError, match="pool"):
        replace(QUICK, front=LSTM(4, 0)).fit(own, stream())


def test_private_training_in_one_place_has_a_method_of_its_own() -> None:
    with pytest.raises(PrivauditError, match="dp_sgd_lstm"):
        DPSGD(front=LSTM()).fit(stays(60), stream())  # type: ignore[arg-type]


def test_simulated_hospitals_and_masks_go_together_with_it() -> None:
    method = replace(QUICK, rounds=2, sites=Dirichlet(5.0, 6), protect=SecureSum(), bound=None)
    release = method.fit(stays(), stream())
    assert len(release.updates.clients) == 6
    assert release.updates.protected == "secure_sum"
