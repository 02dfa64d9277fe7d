"""Private training of the recurrent network: patients clipped, noise as claimed, learning done."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.methods.dp_sgd_lstm import DPSGDLSTM
from privaudit.contracts import Differentiable
from privaudit.dp import accounting
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

pytest.importorskip("opacus")

from pipelines.methods import _dp_recurrent as engine

CLIP = 0.3


def stays(n: int = 200, most: int = 1, seed: int = 0) -> Records:
    """Patients with one to `most` stays; who worsens over the hours is the ill one."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    hour = np.linspace(-1, 1, 12)[None, :, None]
    series = rng.normal(size=(n, 12, 3)) + 2.0 * (2 * y - 1)[:, None, None] * hour
    series[rng.random(series.shape) < 0.3] = np.nan
    patient = np.repeat(np.arange(n), rng.integers(1, most + 1, n))[:n]
    channels = tuple(Column(f"c{i}", bounds=(-4.0, 4.0)) for i in range(3))
    return Records(
        columns=(Column("age", bounds=(18.0, 100.0)),),
        X=rng.uniform(18, 100, (n, 1)).astype(np.float32),
        y=y,
        patient=rng.permutation(patient) + 1000,
        site=np.zeros(n, dtype=int),
        series=series.astype(np.float32),
        channels=channels,
    )


def lab() -> tuple[engine.Network, list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """A network and 14 stays of 9 patients, in order of patient."""
    rng = np.random.default_rng(3)
    network = engine.Network(5, 4, 3, 2, rng)
    patient = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8])
    inputs = [
        torch.from_numpy(rng.normal(size=size).astype(np.float32)) for size in ((14, 6, 5), (14, 3))
    ]
    return network, inputs, torch.from_numpy(rng.integers(0, 2, 14)), patient


@pytest.mark.parametrize("group", [256, 2])
def test_the_stays_of_a_patient_are_clipped_together(
    group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GROUP", group)
    network, inputs, y, patient = lab()
    trained = [p for p in network.parameters() if p.requires_grad]
    expected = torch.zeros(sum(p.numel() for p in trained))
    apart = torch.zeros_like(expected)
    cut = 0
    for code in range(9):
        own = patient == code
        for rows, total in ((own, expected), *((i, apart) for i in own.nonzero())):
            logits = network(*(x[rows] for x in inputs))
            loss = torch.nn.functional.cross_entropy(logits, y[rows], reduction="sum")
            flat = torch.cat([g.flatten() for g in torch.autograd.grad(loss, trained)])
            total += flat * (CLIP / flat.norm()).clamp(max=1)
            cut += int(flat.norm() > CLIP)
    assert cut > 5
    with engine.per_stay(network) as wrapped:
        ours = engine.clipped_sum(wrapped, inputs, y, patient, CLIP)
    assert torch.allclose(ours, expected, atol=1e-5)
    assert not torch.allclose(ours, apart, atol=1e-2)


def test_a_patient_with_many_stays_moves_the_sum_by_the_clip_at_most() -> None:
    network, inputs, y, patient = lab()
    many = [torch.cat([x, x[:1].repeat_interleave(40, dim=0)]) for x in inputs]
    codes = torch.cat([patient, torch.full((40,), 9)])
    with engine.per_stay(network) as wrapped:
        with_ = engine.clipped_sum(wrapped, many, torch.cat([y, y[:1].expand(40)]), codes, CLIP)
        without = engine.clipped_sum(wrapped, inputs, y, patient, CLIP)
        nobody = engine.clipped_sum(wrapped, [x[:0] for x in inputs], y[:0], patient[:0], CLIP)
    assert float((with_ - without).norm()) == pytest.approx(CLIP, rel=1e-3)
    assert not nobody.any()


def test_the_model_answers_as_the_network_that_was_trained() -> None:
    table = stays(30)
    reader = DPSGDLSTM(pool=5)._reader(table)
    network = engine.Network(reader.width, 4, reader.fixed, 2, np.random.default_rng(1))
    inputs = [torch.from_numpy(x) for x in reader(table)]
    assert inputs[0].shape[1] == 3  # 12 hours in bins of 5, 5 and 2
    (hours,) = reader.hours(table)
    assert np.allclose(inputs[0][:, 2], hours[:, 10:, :9].mean(axis=1), atol=1e-6)
    expected = torch.softmax(network(*inputs).double(), dim=1).detach().numpy()
    assert np.allclose(network.model(reader).predict_proba(table), expected, atol=1e-6)


def test_gradients_are_those_of_finite_differences() -> None:
    from dataclasses import replace

    table = stays(30)
    model = DPSGDLSTM(units=4, pool=5, steps=5).fit(table, _rng()).model
    assert isinstance(model, Differentiable)
    model.weights[3][8] = 1, -1  # age, after the last and the mean state, counts from now on

    def loss(records: Records) -> np.ndarray:
        return -np.log(model.predict_proba(records)[np.arange(30), table.y])

    dx, ds = model.input_gradient(table)
    assert ds is not None
    for hour, channel in ((0, 0), (3, 1), (11, 2)):
        up, down = table.series.copy(), table.series.copy()
        up[:, hour, channel] += 0.05
        down[:, hour, channel] -= 0.05
        slope = loss(replace(table, series=up)) - loss(replace(table, series=down))
        assert np.allclose(ds[:, hour, channel], slope / 0.1, atol=2e-4)
    assert np.abs(ds).max() > 1e-2
    up, down = table.X + 1, table.X - 1
    slope = loss(replace(table, X=up)) - loss(replace(table, X=down))
    inside = (up < 100) & (down > 18)
    assert np.abs(dx).max() > 5e-3
    assert np.allclose(dx[inside], slope[inside[:, 0]] / 2, atol=2e-4)
    assert model.weight_gradient(table).shape == (30, sum(w.size for w in model.weights))


def test_noise_and_sampling_are_what_the_claim_says(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[np.ndarray] = []
    drawn: list[np.ndarray] = []
    add, clipped = engine.add_noise, engine.clipped_sum

    def spy_noise(total, *rest):
        out = add(total, *rest)
        left.append((out - total).numpy()[0].astype(float))
        return out

    def spy_clipped(wrapped, inputs, y, patient, *rest):
        drawn.append(patient.unique().numpy())
        return clipped(wrapped, inputs, y, patient, *rest)

    monkeypatch.setattr(engine, "add_noise", spy_noise)
    monkeypatch.setattr(engine, "clipped_sum", spy_clipped)
    table = stays(300, 3)
    method = DPSGDLSTM(units=4, pool=12, clip=0.5, steps=40, sampling=0.2)
    release = method.fit(table, Seeds(1).rng("fit"))
    (step,) = release.claim.mechanisms
    assert (step.times, step.sampling) == (40, 0.2)
    noise = np.concatenate(left) / (step.scale * 0.5)
    assert len(left) == 40
    assert noise.std() == pytest.approx(1, abs=6 / np.sqrt(2 * len(noise)))
    assert abs(np.mean(left[0] * left[1])) < 6 * (step.scale * 0.5) ** 2 / np.sqrt(len(left[0]))
    patients = len(np.unique(table.patient))
    sizes = np.array([len(d) for d in drawn])
    assert sizes.mean() == pytest.approx(0.2 * patients, abs=5 * np.sqrt(0.16 * patients / 40))
    assert sizes.var() == pytest.approx(0.16 * patients, rel=0.9)
    often = np.bincount(np.concatenate(drawn), minlength=patients)
    assert often.var() == pytest.approx(0.16 * 40, rel=0.5)


def test_a_planted_fault_trains_without_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    table = stays(100)
    method = DPSGDLSTM(units=4, pool=12, steps=5)
    honest = method.fit(table, Seeds(1).rng("fit"))
    monkeypatch.setattr(DPSGDLSTM, "_noise", lambda self, sigma: 0.0)
    faulty = method.fit(table, Seeds(1).rng("fit"))
    assert honest.claim == faulty.claim
    assert not np.allclose(honest.model.weights[0], faulty.model.weights[0], atol=1e-3)


def test_claim_is_the_accountants() -> None:
    release = DPSGDLSTM(units=4, pool=12, epsilon=2.0).fit(stays(400, 3), Seeds(1).rng("fit"))
    claim = release.claim
    (step,) = claim.mechanisms
    n = len(np.unique(stays(400, 3).patient))
    assert claim == accounting.poisson_gaussian(
        step.scale, step.sampling, step.times, claim.delta, n=n
    )
    assert claim.epsilon is not None
    assert 1.98 < claim.epsilon <= 2.0
    assert claim.delta == 1e-4
    assert (claim.unit, claim.neighbours) == ("patient", "add-remove")
    assert claim.covers == release.access == accounting.SHOWN
    for said in ("PLD", "Poisson", "unit patient", "simulation noise"):
        assert said in claim.basis


def test_learns_what_there_is_to_learn() -> None:
    from sklearn.metrics import roc_auc_score

    table, fresh = stays(500), stays(500, 1, 9)
    area = {}
    for epsilon in (0.1, 20.0):
        method = DPSGDLSTM(epsilon=epsilon, pool=3, steps=40)
        model = method.fit(table, Seeds(1).rng("fit")).model
        assert model is not None
        area[epsilon] = roc_auc_score(fresh.y, model.predict_proba(fresh)[:, 1])
    assert area[20.0] > 0.9
    assert area[0.1] < area[20.0]


def test_a_stream_decides_the_model_and_nothing_else_moves() -> None:
    table = stays(120, 2)
    method = DPSGDLSTM(units=4, pool=12, steps=5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    one, two, other = (method.fit(table, Seeds(k).rng("fit")).model for k in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    p = one.predict_proba(table)
    assert p.dtype == np.float64
    assert np.allclose(p.sum(axis=1), 1)
    assert np.array_equal(p, two.predict_proba(table))
    assert not np.allclose(p, other.predict_proba(table))
    packed = pickle.dumps(one)
    assert np.array_equal(p, pickle.loads(packed).predict_proba(table))
    assert b"opacus" not in packed
    assert len(packed) < len(pickle.dumps(method.fit(stays(900), _rng()).model)) + 99


def _rng() -> np.random.Generator:
    return Seeds(1).rng("fit")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon": 0.0}, "epsilon 0.0"),
        ({"epsilon": -1.0}, "epsilon -1.0"),
        ({"delta": 0.01}, "delta 0.01 for 200 units"),
        ({"delta": 0.0}, "delta 0.0"),
        ({"sampling": 1.01}, "sampling rate of 1.01"),
        ({"steps": 0}, "0 steps"),
        ({"clip": 0.0}, "clip=0.0"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"units": 0}, "units=0"),
        ({"pool": 0}, "pool=0"),
    ],
)
def test_refuses(changes: dict[str, float], said: str) -> None:
    with pytest.raises(PrivauditError, match=said):
        DPSGDLSTM(**changes).fit(stays(200), _rng())


def test_refuses_records_without_a_series_and_without_rows() -> None:
    from dataclasses import replace

    with pytest.raises(PrivauditError, match="without an hourly series"):
        DPSGDLSTM().fit(replace(stays(50), series=None, channels=()), _rng())
    with pytest.raises(PrivauditError, match="0 units"):
        DPSGDLSTM().fit(stays(50).take([]), _rng())


def test_says_what_to_install_where_opacus_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(PrivauditError, match="opacus is not installed"):
        DPSGDLSTM().fit(stays(50), _rng())


def test_no_guarantee_over_channels_without_bounds() -> None:
    records = stays()
    first, *others = records.channels
    unbounded = replace(records, channels=(replace(first, bounds=None), *others))
    with pytest.raises(PrivauditError, match="without bounds"):
        DPSGDLSTM(steps=2).fit(unbounded, np.random.default_rng(0))
