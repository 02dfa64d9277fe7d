"""Federations whose hospitals add noise: the promise, and what it rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.federated.aggregate import Median
from pipelines.federated.kernel import streams
from pipelines.federated.secure_sum import SecureSum
from pipelines.federated.server import SiteNoise
from pipelines.federated.sites import Dirichlet
from pipelines.methods.federated import Federated
from pipelines.methods.federated_private import FederatedPrivate
from privaudit.contracts import Access
from privaudit.dp import accounting
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

QUICK = FederatedPrivate(rounds=5)


def stays(n: int = 400) -> Records:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(n, 3))
    y = (x[:, 0] + 0.3 * rng.normal(size=n) > 0.5).astype(int)
    columns = tuple(Column(f"x{i}", bounds=(-3.0, 3.0)) for i in range(3))
    # Two stays a patient, in hospitals of their own.
    return Records(columns, x, y, np.arange(n) // 2, rng.integers(0, 3, n), sites=("a", "b", "c"))


def test_the_claim_is_the_accountants_and_covers_the_updates() -> None:
    release = QUICK.fit(stays(), Seeds(1).rng("f"))
    claim = release.claim
    assert 2.9 < claim.epsilon <= 3
    assert claim.unit == "patient"
    assert Access.UPDATES in claim.covers
    assert claim.delta == accounting.usual_delta(200)
    assert claim.neighbours == "add-remove"
    sigma = QUICK._noise(stays()).sigma
    counted, trained = claim.mechanisms
    assert (counted.kind, counted.times) == ("gaussian", 1)
    assert counted.scale == QUICK._count_noise(stays())
    assert (trained.scale, trained.sampling, trained.times) == (sigma, 0.3, 10)
    assert sigma > accounting.solve_sigma(3.0, claim.delta, 0.3, 10), "the count costs something"
    assert replace(QUICK, epsilon=1.0)._noise(stays()).sigma > 2 * sigma


def test_each_patient_counts_once_and_at_one_hospital() -> None:
    records = stays()
    release = QUICK.fit(records, Seeds(1).rng("f"))
    held = release.updates.holder >= 0
    assert np.array_equal(np.sort(records.patient[held]), np.arange(200))
    parts = QUICK._divide(records, streams(Seeds(1).rng("f")))
    assert np.array_equal(parts.holder(len(records)), release.updates.holder)


def test_less_noise_is_a_better_model() -> None:
    records = stays()

    def area(epsilon: float) -> float:
        method = replace(QUICK, epsilon=epsilon, rounds=20)
        fits = method.fit_many([records] * 4, [Seeds(i).rng("f") for i in range(4)])
        p = [r.model.predict_proba(records)[:, 1] for r in fits]
        return float(
            np.mean([(q[records.y == 1][:, None] > q[records.y == 0][None]).mean() for q in p])
        )

    assert area(8.0) > 0.9
    assert area(8.0) > area(0.5) + 0.05


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"delta": 0.1}, "delta"),
        ({"clip": 0.0}, "clip"),
        ({"sample": 1.5}, "1.5"),
    ],
)
def test_a_promise_that_is_none_is_refused(change: dict, found: str) -> None:
    with pytest.raises(PrivauditError, match=found):
        replace(QUICK, **change).fit(stays(), Seeds(1).rng("f"))


def test_noise_of_the_server_is_a_promise_to_a_hospital() -> None:
    records = stays()
    central = SiteNoise(epsilon=5.0, clip=0.5)
    method = Federated(hidden=0, rounds=1, steps=2, sites=Dirichlet(5.0, 20), central=central)
    release = method.fit(records, Seeds(1).rng("f"))
    assert release.claim.unit == "site"
    assert release.claim.neighbours == "replace", (
        "the sum is divided by how many hospitals there are"
    )
    assert Access.UPDATES not in release.claim.covers
    assert release.claim.epsilon <= 5
    updates = release.updates.updates[0].astype(np.float64)
    length = np.linalg.norm(updates, axis=1, keepdims=True)
    mean = (updates * np.minimum(1, 0.5 / length)).mean(axis=0)
    noise = (release.model.weights - release.updates.weights[0] - mean) * 20 / (2 * 0.5)
    sigma = central.sigma(20, 1)
    assert 0.4 * sigma < noise.std() < 1.8 * sigma
    for change in ({"aggregate": Median()}, {"protect": SecureSum()}):
        with pytest.raises(PrivauditError, match="clip every update"):
            replace(method, **change).fit(records, Seeds(1).rng("f"))
