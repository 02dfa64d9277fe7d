"""Federations whose hospitals add noise: the promise, and what it rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.federated.kernel import streams
from pipelines.methods.federated_private import FederatedPrivate
from privaudit import accounting
from privaudit.contracts import Access
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
    sigma = QUICK._noise(stays()).sigma
    assert claim == accounting.poisson_gaussian(
        sigma, 0.3, 10, claim.delta, covers=claim.covers, n=200
    )
    assert replace(QUICK, epsilon=1.0)._noise(stays()).sigma > 2 * sigma


def test_each_patient_counts_once_and_at_one_hospital() -> None:
    records = stays()
    release = QUICK.fit(records, Seeds(1).rng("f"))
    held = release.updates.holder >= 0
    assert np.array_equal(np.sort(records.patient[held]), np.arange(200))
    assert release.updates.counts.sum() == 200
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

    assert area(1000.0) > 0.93
    assert area(1000.0) > area(0.5) + 0.05


@pytest.mark.parametrize(
    ("change", "found"),
    [({"epsilon": 0.0}, "epsilon"), ({"delta": 0.1}, "delta"), ({"clip": 0.0}, "clip"),
     ({"sample": 1.5}, "1.5")],
)  # fmt: skip
def test_a_promise_that_is_none_is_refused(change: dict, found: str) -> None:
    with pytest.raises(PrivauditError, match=found):
        replace(QUICK, **change).fit(stays(), Seeds(1).rng("f"))
