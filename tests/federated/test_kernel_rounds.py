"""Whole federations: what they must equal, what stops at the gate, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from pipelines.federated.aggregate import Krum, Mean, Median
from pipelines.federated.clock import Clock, Deadline, OverSelect, Quorum
from pipelines.federated.compress import Float16, TopK
from pipelines.federated.kernel import Job, Plan, federate, streams
from pipelines.federated.local import PerPatient, Recipe, Trainer
from pipelines.federated.network import Network, record_gradients
from pipelines.federated.secure_sum import SecureSum
from pipelines.federated.server import FedAdam
from pipelines.federated.sites import Dirichlet
from pipelines.methods.federated import Federated
from pipelines.methods.local_only import LocalOnly
from privaudit.contracts import Malicious
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

WIDTHS = (5, 4, 2)
QUICK = Federated(hidden=4, rounds=4, steps=3, rows=8)


def stays(n: int = 240, sites: tuple[str, ...] = ("a", "b", "c", "d")) -> Records:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(n, 4))
    y = (x[:, 0] + x[:, 1] + 0.5 * rng.normal(size=n) > 0.8).astype(int)
    x[rng.random(x.shape) < 0.1] = np.nan
    columns = tuple(Column(f"x{i}", bounds=(-3.0, 3.0)) for i in range(4))
    return Records(columns, x, y, np.arange(n) // 2, rng.integers(0, len(sites), n), sites=sites)


def job(clients: int, seed: int = 1, n: int = 60) -> Job:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    rows = tuple(np.arange(n)[c::clients] for c in range(clients))
    own = streams(np.random.default_rng(seed))
    return Job(x, y, rows, Network(WIDTHS).start(own["start"]), own)


def test_one_client_of_all_data_is_plain_training() -> None:
    plan = Plan(rounds=3, recipe=Recipe(steps=4, batch=60, rate=0.2))
    (run,) = federate(plan, WIDTHS, [job(1)])
    own = job(1)
    weights = own.start.astype(np.float64)
    for _ in range(12):
        weights -= 0.2 * record_gradients(WIDTHS, weights, own.x, own.y).mean(axis=0)
    assert np.allclose(run.weights, weights, atol=1e-5)
    assert np.abs(weights - own.start).max() > 0.1


def test_a_round_of_one_full_step_is_one_step_of_pooled_training() -> None:
    plan = Plan(rounds=1, recipe=Recipe(steps=1, batch=60, rate=0.2), bound=None)
    (run,) = federate(plan, WIDTHS, [job(4)])
    own = job(4)
    pooled = own.start - 0.2 * record_gradients(WIDTHS, own.start, own.x, own.y).mean(axis=0)
    assert np.allclose(run.weights, pooled, atol=1e-6)
    hand = sum(len(r) / 60 * run.seen[0][c] for c, r in enumerate(own.rows))
    assert np.allclose(run.weights, own.start + hand, atol=1e-6)


def test_minibatches_and_the_proximal_pull_follow_their_formulas() -> None:
    own, recipe = job(3), Recipe(steps=5, batch=7, rate=0.1, proximal=0.5)
    rngs = [np.random.default_rng(i) for i in range(3)]
    trainer = Trainer(Network(WIDTHS), own.x, own.y, own.rows, rngs)
    who = np.array([0, 2])
    found = trainer.train(np.stack([own.start] * 2), who, recipe)
    for client, update in zip(who, found, strict=True):
        rng, weights = np.random.default_rng(client), own.start.astype(np.float64)
        order = np.concatenate([rng.permutation(own.rows[client]) for _ in range(2)])
        for step in range(5):
            rows = order[7 * step : 7 * step + 7]
            mean = record_gradients(WIDTHS, weights, own.x[rows], own.y[rows]).mean(axis=0)
            weights = weights - 0.1 * mean - 0.1 * 0.5 * (weights - own.start)
        assert np.allclose(own.start + update, weights, atol=1e-5)


def test_private_steps_clip_every_record_and_add_the_stated_noise() -> None:
    own, clip = job(2), 0.3
    start = np.stack([own.start] * 2)

    def first(sigma: float) -> np.ndarray:
        rngs = [np.random.default_rng(i) for i in range(2)]
        private = PerPatient(1.0, clip, sigma)
        trainer = Trainer(Network(WIDTHS), own.x, own.y, own.rows, rngs, private)
        return trainer.train(start, np.arange(2), Recipe(1, 4, 0.1))

    quiet = first(0.0)
    for client, rows in enumerate(own.rows):
        g = record_gradients(WIDTHS, own.start, own.x[rows], own.y[rows])
        length = np.linalg.norm(g, axis=1, keepdims=True)
        assert (length > clip).any()
        mean = (g * np.minimum(1, clip / length)).mean(axis=0)
        assert np.allclose(quiet[client], -0.1 * mean, atol=1e-6)
    noise = (first(2.0) - quiet) / 0.1 * 30
    assert noise.std() == pytest.approx(2 * clip, rel=0.25)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.5


def test_a_federation_is_a_function_of_its_stream_and_of_nothing_beside_it() -> None:
    records, state = stays(), torch.get_rng_state()
    one = QUICK.fit(records, Seeds(1).rng("f"))
    again, other = QUICK.fit_many(
        [records, records.take(slice(0, 200))], [Seeds(1).rng("f"), Seeds(2).rng("f")]
    )
    assert np.allclose(one.model.weights, again.model.weights, atol=1e-6)
    assert not np.allclose(one.model.weights, other.model.weights, atol=1e-2)
    repeat = QUICK.fit(records, Seeds(1).rng("f"))
    assert np.array_equal(one.model.weights, repeat.model.weights)
    assert one.costs.keys() == again.costs.keys()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_exchange_is_what_the_server_saw_and_its_memory_is_bounded() -> None:
    records = stays()
    release = QUICK.fit(records, Seeds(1).rng("f"))
    exchange = release.updates
    assert len(exchange.weights) == len(exchange.updates) == QUICK.recorded
    mean = (exchange.counts / exchange.counts.sum()) @ exchange.updates[-1]
    assert np.allclose(exchange.weights[-1] + mean, release.model.weights, atol=1e-6)
    assert exchange.counts.tolist() == np.bincount(records.site).tolist()
    assert np.array_equal(exchange.clients[exchange.holder], records.site)
    assert exchange.encode(records).shape == (len(records), exchange.widths[0])
    size = release.model.weights.size
    assert release.costs["bytes_up"] == 4 * size * 4 * QUICK.rounds
    assert release.costs["simulated_seconds"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"server": FedAdam(0.05)},
        {"aggregate": Median()},
        {"compress": Float16()},
        {"compress": TopK(0.2)},
        {"policy": Quorum(0.5)},
        {"policy": OverSelect(0.5)},
        {"policy": Deadline(0.05)},
        {"sites": Dirichlet(0.5, 6)},
        {"proximal": 0.5},
        {"hidden": 0},
    ],
)
def test_every_part_composes_and_still_learns(change: dict) -> None:
    records = stays()
    release = replace(QUICK, rounds=25, steps=5, rate=0.5, **change).fit(records, Seeds(1).rng("f"))
    p = release.model.predict_proba(records)[:, 1]
    better = (p[records.y == 1][:, None] > p[records.y == 0][None]).mean()
    assert better > 0.8


def test_policies_and_compression_show_in_the_costs() -> None:
    records = stays()

    def costs(**change: object) -> dict:
        return dict(replace(QUICK, **change).fit(records, Seeds(1).rng("f")).costs)

    everyone, quick, half = costs(), costs(policy=Quorum(0.5)), costs(compress=Float16())
    assert everyone["late_updates"] == 0
    assert quick["late_updates"] == 2 * QUICK.rounds
    assert quick["simulated_seconds"] < everyone["simulated_seconds"]
    assert half["bytes_up"] == everyone["bytes_up"] / 2
    assert half["simulated_seconds"] < everyone["simulated_seconds"]
    none = costs(policy=Deadline(1e-6))
    assert none["idle_rounds"] == QUICK.rounds
    slow = costs(clock=Clock(step=1.0))
    assert slow["simulated_seconds"] > 10 * everyone["simulated_seconds"]


@dataclass(frozen=True)
class Sends(Malicious):
    """Send this value everywhere, or a vector too short, and claim many records."""

    clients: int = 1
    value: float = float("nan")
    short: bool = False

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return own[:, :3] if self.short else np.full_like(own, self.value)

    def claim_counts(self, counts: np.ndarray) -> np.ndarray:
        return counts * 1e9


@pytest.mark.parametrize("sent", [Sends(), Sends(value=np.inf), Sends(short=True)])
@pytest.mark.parametrize("aggregate", [Mean(), Median()])
def test_an_update_that_is_none_stops_at_the_gate(sent: Malicious, aggregate: Mean) -> None:
    release = replace(QUICK, malicious=sent, aggregate=aggregate).fit(stays(), Seeds(1).rng("f"))
    assert release.costs["refused_updates"] == QUICK.rounds
    assert np.isfinite(release.model.weights).all()
    assert any("refused updates of d" in note for note in release.notes)


def test_long_updates_and_inflated_counts_are_cut_down() -> None:
    honest = QUICK.fit(stays(), Seeds(1).rng("f")).model.weights
    bad = replace(QUICK, malicious=Sends(value=1e6))
    gated = bad.fit(stays(), Seeds(1).rng("f")).model.weights
    assert np.abs(gated - honest).max() < 20
    loose = replace(bad, bound=None).fit(stays(), Seeds(1).rng("f")).model.weights
    assert np.abs(loose).max() > 1e5


def test_poisoned_records_are_trained_on_and_the_held_ones_stay() -> None:
    @dataclass(frozen=True)
    class Flip(Malicious):
        clients: int = 1

        def poison(self, records: Records, rng: np.random.Generator) -> Records:
            assert (records.site == 3).all()
            return replace(records, y=1 - records.y)

    records = stays()
    flipped = replace(QUICK, malicious=Flip()).fit(records, Seeds(1).rng("f"))
    by_hand = replace(records, y=np.where(records.site == 3, 1 - records.y, records.y))
    same = QUICK.fit(by_hand, Seeds(1).rng("f"))
    assert np.allclose(flipped.model.weights, same.model.weights, atol=1e-6)


def test_secure_sum_gives_the_same_model_and_shows_no_update() -> None:
    plain = QUICK.fit(stays(), Seeds(1).rng("f"))
    masked = replace(QUICK, protect=SecureSum(), bound=None).fit(stays(), Seeds(1).rng("f"))
    assert np.abs(plain.model.weights - masked.model.weights).max() < 1e-5
    assert masked.updates.protected == "secure_sum"
    own, seen = plain.updates.updates[-1], masked.updates.updates[-1]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.5 for a, b in zip(own, seen, strict=True))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"rounds": 0}, "rounds=0"),
        ({"steps": 0}, "steps=0"),
        ({"rows": 0}, "batch=0"),
        ({"rate": -1.0}, "rate=-1"),
        ({"proximal": 20.0}, "proximal=20"),
        ({"hidden": -1}, "hidden=-1"),
        ({"aggregate": Krum(1)}, "4 client"),
        ({"malicious": Sends(4)}, "4 malicious of 4"),
        ({"protect": SecureSum(), "aggregate": Median()}, "Median"),
        ({"protect": SecureSum(), "compress": TopK()}, "TopK"),
        ({"sites": Dirichlet(1.0, 2), "protect": SecureSum()}, "2"),
        ({"clock": Clock(rate=0)}, "rate=0"),
    ],
)
def test_impossible_federations_are_refused_with_the_reason(change: dict, found: str) -> None:
    with pytest.raises(PrivauditError, match=found):
        replace(QUICK, **change).fit(stays(), Seeds(1).rng("f"))


def test_one_site_is_refused_by_both_ways_of_training() -> None:
    lonely = stays(sites=("only",))
    for method in (QUICK, LocalOnly()):
        with pytest.raises(PrivauditError, match="1 site"):
            method.fit(lonely, Seeds(1).rng("f"))


def test_alternatives_are_the_same_federation_under_each_aggregate() -> None:
    others = QUICK.alternatives
    assert others["mean"] == QUICK
    assert {type(m) for m in others.values()} == {Federated}
    assert all(replace(m, aggregate=Mean()) == QUICK for m in others.values())
    assert set(replace(QUICK, protect=SecureSum()).alternatives) == {"mean"}


def test_each_hospital_answers_with_its_own_model() -> None:
    records = stays()
    # At site d everything is the other way round, which only a model of its own can know.
    y = np.where(records.site == 3, 1 - records.y, records.y)
    turned = replace(records, y=y)
    release = LocalOnly().fit(turned, Seeds(1).rng("f"))
    p = release.model.predict_proba(turned)[:, 1]
    for site in range(4):
        here = turned.site == site
        assert p[here & (y == 1)].mean() > p[here & (y == 0)].mean() + 0.02
    alone = LocalOnly().fit(turned.take(turned.site != 0), Seeds(1).rng("f"))
    here = turned.take(turned.site == 3)
    assert np.allclose(
        alone.model.predict_proba(here), release.model.predict_proba(here), atol=1e-6
    )
    visitors = alone.model.predict_proba(turned.take(turned.site == 0))
    assert np.allclose(visitors.sum(axis=1), 1)


def test_a_hospital_that_cannot_train_answers_with_its_prevalence_and_says_so() -> None:
    records = stays()
    healthy = records.take(~((records.site == 2) & (records.y == 1)))
    release = LocalOnly().fit(healthy, Seeds(1).rng("f"))
    there = healthy.take(healthy.site == 2)
    p = release.model.predict_proba(there)
    n = len(there)
    assert np.allclose(p, [(n + 1) / (n + 2), 1 / (n + 2)])
    assert any("c has fewer than 5 {people}" in note for note in release.notes)
    federated = QUICK.fit(healthy, Seeds(1).rng("f"))
    assert any("one outcome: c" in note for note in federated.notes)
