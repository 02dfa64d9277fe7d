"""Private training: gradients as Opacus has them, noise as the claim says, patients as the unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.federated.network import Network
from pipelines.methods import _dp_training as engine
from pipelines.methods.dp_sgd import DPSGD
from privaudit.contracts import Differentiable
from privaudit.dp import accounting
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

CLIP = 0.7


def stays(n: int = 400, most: int = 1, seed: int = 0) -> Records:
    """Patients with one to `most` stays."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    y = (1.5 * x[:, 0] - x[:, 1] + rng.normal(size=n) > 0.8).astype(int)
    x[rng.random(x.shape) < 0.1] = np.nan
    patient = np.repeat(np.arange(n), rng.integers(1, most + 1, n))[:n]
    columns = tuple(Column(f"x{i}", bounds=(-4.0, 4.0)) for i in range(8))
    return Records(columns, x, y, rng.permutation(patient) + 1000, np.zeros(n, dtype=int))


def lab(widths: tuple[int, ...], most: int) -> tuple[Network, list[engine.Patients], torch.Tensor]:
    rng = np.random.default_rng(1)
    tables = []
    for n in (60, 45, 52):
        patient = np.repeat(np.arange(n), rng.integers(1, most + 1, n))[:n]
        x = rng.normal(size=(n, widths[0])).astype(np.float32)
        tables.append(
            engine.Patients.of(x, rng.integers(0, widths[-1], n), rng.permutation(patient))
        )
    network = Network(widths)
    weights = torch.from_numpy(np.stack([network.start(rng) for _ in tables])) * 3
    return network, tables, weights


def opacus_gradients(network: Network, flat: torch.Tensor, table: engine.Patients) -> torch.Tensor:
    """(n, p): each row's gradient by Opacus' GradSampleModule on the same weights."""
    grad_sample = pytest.importorskip("opacus.grad_sample")
    layers: list[torch.nn.Module] = []
    parts = network.unpack(flat)
    for i in range(0, len(parts), 2):
        layer = torch.nn.Linear(parts[i].shape[1], parts[i].shape[0])
        layer.weight.data, layer.bias.data = parts[i].clone(), parts[i + 1].clone()
        layers += [layer, torch.nn.ReLU()]
    module = grad_sample.GradSampleModule(torch.nn.Sequential(*layers[:-1]), loss_reduction="sum")
    loss = torch.nn.functional.cross_entropy(
        module(torch.from_numpy(table.x)), torch.from_numpy(table.y), reduction="sum"
    )
    loss.backward()
    return torch.cat([p.grad_sample.flatten(1) for p in module.parameters()], dim=1)


HOOKS = "ignore:Full backward hook"


@pytest.mark.filterwarnings(HOOKS)
@pytest.mark.parametrize("widths", [(9, 2), (9, 16, 2), (7, 12, 5, 3)])
@pytest.mark.parametrize("most", [1, 4])
def test_clipped_sums_are_those_of_opacus(widths: tuple[int, ...], most: int) -> None:
    network, tables, weights = lab(widths, most)
    rng = np.random.default_rng(2)
    drawn = [rng.random(t.count) < 0.6 for t in tables]
    count = sum(t.count for t in tables)
    ours = engine.clipped_sum(network, weights, engine.gather(tables, drawn), CLIP, count)
    cut = 0
    for k, table in enumerate(tables):
        rows = opacus_gradients(network, weights[k], table).double()
        sums = torch.zeros(table.count, network.size, dtype=torch.float64)
        sums.index_add_(0, torch.from_numpy(table.code), rows)
        size = sums.norm(dim=1, keepdim=True)
        cut += int((size > CLIP).sum())
        expected = (sums * (CLIP / size).clamp(max=1))[torch.from_numpy(drawn[k])].sum(0)
        assert torch.allclose(ours[k].double(), expected, atol=1e-5)
    assert cut > 20


@pytest.mark.filterwarnings(HOOKS)
def test_one_stay_a_patient_is_what_opacus_own_optimizer_sums() -> None:
    opacus = pytest.importorskip("opacus")
    network, tables, weights = lab((9, 16, 2), 1)
    table, flat = tables[0], weights[0]
    layers = [torch.nn.Linear(9, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)]
    parts = network.unpack(flat)
    for i, layer in ((0, layers[0]), (2, layers[2])):
        layer.weight.data, layer.bias.data = parts[i].clone(), parts[i + 1].clone()
    module = opacus.GradSampleModule(torch.nn.Sequential(*layers), loss_reduction="sum")
    optimizer = opacus.optimizers.DPOptimizer(
        torch.optim.SGD(module.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=CLIP,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    torch.nn.functional.cross_entropy(
        module(torch.from_numpy(table.x)), torch.from_numpy(table.y), reduction="sum"
    ).backward()
    optimizer.clip_and_accumulate()
    theirs = torch.cat([p.summed_grad.flatten() for p in module.parameters()])
    batch = engine.gather([table], [np.ones(table.count, dtype=bool)])
    ours = engine.clipped_sum(network, flat[None], batch, CLIP, table.count)[0]
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_a_patient_with_many_stays_moves_the_sum_by_the_clip_at_most() -> None:
    network = Network((9, 16, 2))
    rng = np.random.default_rng(4)
    weights = torch.from_numpy(network.start(rng))[None]
    others, x = rng.normal(size=(30, 9)), rng.normal(size=9)
    # Forty stays of one patient: the same one over and over, and nearly opposite ones.
    for y_own in (np.ones(40, dtype=int), np.arange(40) % 2):
        rows = np.concatenate([others, np.tile(x, (40, 1)) + 1e-3 * rng.normal(size=(40, 9))])
        y = np.concatenate([rng.integers(0, 2, 30), y_own])
        patient = np.concatenate([np.arange(30), np.full(40, 30)])
        with_ = engine.Patients.of(rows, y, patient)
        everyone = np.ones(31, dtype=bool)
        without = everyone.copy()
        without[30] = False
        one, two = (
            engine.clipped_sum(network, weights, engine.gather([with_], [d]), CLIP, 31)
            for d in (everyone, without)
        )
        moved = float((one - two).double().norm())
        assert moved <= CLIP * (1 + 1e-4)
        assert moved > 0.99 * CLIP or y_own.mean() < 1, "the patient was not cut at all"


def test_noise_and_sampling_are_what_the_claim_says(monkeypatch: pytest.MonkeyPatch) -> None:
    left, drawn_counts = [], []
    add, gather = engine.add_noise, engine.gather

    def spy_noise(total, *rest):
        out = add(total, *rest)
        left.append((out - total).numpy().copy())
        return out

    def spy_gather(tables, drawn):
        drawn_counts.append([d.copy() for d in drawn])
        return gather(tables, drawn)

    monkeypatch.setattr(engine, "add_noise", spy_noise)
    monkeypatch.setattr(engine, "gather", spy_gather)
    method = DPSGD(hidden=16, steps=120, sampling=0.2, clip=0.5, epsilon=2.0)
    tables = [stays(400, 3), stays(300, 3, 1)]
    releases = method.fit_many(tables, [Seeds(k).rng("fit") for k in range(2)])
    assert len(left) == 120
    for k, release in enumerate(releases):
        (step,) = release.claim.mechanisms
        assert (step.times, step.sampling) == (120, 0.2)
        noise = np.concatenate([n[k] for n in left]).astype(float) / (step.scale * 0.5)
        assert noise.std() == pytest.approx(1, abs=6 / np.sqrt(2 * len(noise)))
        assert (noise**4).mean() == pytest.approx(3, abs=6 * np.sqrt(96 / len(noise)))
        lag = [float(np.mean(left[i][k] * left[i + 1][k])) for i in range(119)]
        assert abs(np.mean(lag)) < 5 * (step.scale * 0.5) ** 2 / np.sqrt(len(noise))
        # Every patient by a coin of its own: binomial batches, no patient favoured.
        coins = np.stack([d[k] for d in drawn_counts])
        patients = coins.shape[1]
        assert patients == len(np.unique(tables[k].patient))
        sizes = coins.sum(axis=1)
        assert sizes.mean() == pytest.approx(0.2 * patients, abs=5 * np.sqrt(0.16 * patients / 120))
        assert sizes.var() == pytest.approx(0.16 * patients, rel=0.6)
        assert coins.mean(axis=0).var() == pytest.approx(0.16 / 120, rel=0.4)


def test_claim_and_release() -> None:
    table = stays(400, 3)
    release = DPSGD(epsilon=2.0).fit(table, Seeds(1).rng("fit"))
    claim = release.claim
    assert claim.epsilon is not None
    assert 1.98 < claim.epsilon <= 2.0
    assert claim.delta == 1e-4
    assert (claim.unit, claim.neighbours) == ("patient", "add-remove")
    assert claim.covers == release.access == accounting.SHOWN
    for said in ("PLD", "Poisson", "q=0.1", "200 steps", "unit patient", "simulation noise"):
        assert said in claim.basis
    assert isinstance(release.model, Differentiable)
    assert release.costs["train_seconds"] > 0


def test_models_trained_together_are_those_trained_alone() -> None:
    method = DPSGD(hidden=8, steps=20, epsilon=0.5)
    tables = [stays(200, 3), stays(330, 1, 1), stays(90, 2, 2)]
    together = method.fit_many(tables, [Seeds(k).rng("fit") for k in range(3)])
    for k, table in enumerate(tables):
        alone = method.fit(table, Seeds(k).rng("fit"))
        assert together[k].claim == alone.claim
        assert np.allclose(together[k].model.weights, alone.model.weights, atol=2e-4)


def test_learns_what_there_is_to_learn() -> None:
    from sklearn.metrics import roc_auc_score

    table, fresh = stays(2000), stays(2000, 1, 9)
    by_epsilon = {}
    for epsilon in (0.1, 10.0):
        model = DPSGD(epsilon=epsilon, hidden=16).fit(table, Seeds(1).rng("fit")).model
        assert model is not None
        by_epsilon[epsilon] = roc_auc_score(fresh.y, model.predict_proba(fresh)[:, 1])
    assert by_epsilon[10.0] > 0.88
    assert by_epsilon[0.1] < by_epsilon[10.0]


def test_the_outcomes_steer_neither_claim_nor_noise() -> None:
    """One class, or a rare one, is private too: nothing depends on it but the clipped gradients."""
    table = stays(200)
    ill = replace(table, y=np.ones(200, dtype=int))
    one, two = (DPSGD(steps=5, epsilon=0.5).fit(t, Seeds(1).rng("fit")) for t in (table, ill))
    assert one.claim == two.claim


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon": 0.0}, "epsilon 0.0"),
        ({"epsilon": -1.0}, "epsilon -1.0"),
        ({"delta": 0.01}, "delta 0.01 for 200 units"),
        ({"delta": 0.0}, "delta 0.0"),
        ({"sampling": 0.0}, "sampling rate of 0.0"),
        ({"sampling": 1.01}, "sampling rate of 1.01"),
        ({"steps": 0}, "0 steps"),
        ({"clip": 0.0}, "clip=0.0"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"hidden": -1}, "hidden=-1"),
    ],
)
def test_refuses(changes: dict[str, float], said: str) -> None:
    with pytest.raises(PrivauditError, match=said):
        DPSGD(**changes).fit(stays(200), Seeds(1).rng("fit"))


def test_refuses_an_empty_table() -> None:
    with pytest.raises(PrivauditError, match="0 units"):
        DPSGD().fit(stays(200).take([]), Seeds(1).rng("fit"))
