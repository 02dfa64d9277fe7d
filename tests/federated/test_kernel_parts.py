"""Sites, servers, clock and compression, each alone."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.federated.clock import Clock, Deadline, OverSelect, Quorum, WaitAll
from pipelines.federated.compress import Float16, NoCompression, TopK
from pipelines.federated.server import FedAdam, FedAvg, FedYogi, Moments
from pipelines.federated.sites import ByQuantity, ByUnit, Dirichlet, Sites
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records


def stays(n: int = 600, sites: tuple[str, ...] = ("a", "b", "c")) -> Records:
    rng = np.random.default_rng(4)
    patient = np.sort(rng.integers(0, n // 2, n))
    return Records(
        (Column("x"),),
        rng.normal(size=(n, 1)),
        (rng.random(n) < 0.2).astype(int),
        patient,
        rng.integers(0, len(sites), n),
        sites=sites,
    )


@pytest.mark.parametrize("sites", [Dirichlet(0.1, 10), Dirichlet(5, 4), ByQuantity(8)])
def test_made_up_hospitals_share_no_patient_and_lose_no_row(sites: Sites) -> None:
    records = stays()
    parts = sites.divide(records, np.random.default_rng(0))
    assert sorted(np.concatenate(parts.rows)) == list(range(len(records)))
    owners = [set(records.patient[rows]) for rows in parts.rows]
    assert all(owners)
    assert sum(map(len, owners)) == len(np.unique(records.patient))
    holder = parts.holder(len(records))
    assert all((holder[rows] == c).all() for c, rows in enumerate(parts.rows))
    again = sites.divide(records, np.random.default_rng(0))
    assert all(map(np.array_equal, parts.rows, again.rows))


def test_a_small_alpha_makes_the_case_mix_more_uneven_and_quantity_does_not() -> None:
    records = stays(3000)

    def unevenness(sites: Sites) -> float:
        parts = sites.divide(records, np.random.default_rng(1))
        share = [records.y[rows].mean() for rows in parts.rows if len(rows) > 20]
        return float(np.std(share))

    uneven, even = unevenness(Dirichlet(0.1, 10)), unevenness(Dirichlet(100, 10))
    assert uneven > 5 * even
    assert unevenness(ByQuantity(10)) < 0.1
    sizes = [len(r) for r in ByQuantity(10).divide(records, np.random.default_rng(1)).rows]
    assert max(sizes) > 4 * min(sizes)


def test_units_are_the_records_own_sites_and_an_empty_one_is_named() -> None:
    records = stays(sites=("a", "b", "c", "d"))
    kept = records.take(records.site != 1)
    parts = ByUnit().divide(kept, np.random.default_rng(0))
    assert parts.names == ("a", "c", "d")
    assert parts.codes.tolist() == [0, 2, 3]
    assert all(
        (kept.site[rows] == code).all() for rows, code in zip(parts.rows, parts.codes, strict=True)
    )
    assert "left out: b" in parts.restricted_notes[0]


def test_a_site_of_one_outcome_is_named() -> None:
    records = stays()
    healthy = records.take(~((records.site == 2) & (records.y == 1)))
    parts = ByUnit().divide(healthy, np.random.default_rng(0))
    assert any("one outcome: c" in note for note in parts.restricted_notes)
    assert not parts.notes


@pytest.mark.parametrize(
    ("sites", "found"),
    [
        (ByUnit(), "1 site"),
        (Dirichlet(0.0), "alpha=0.0"),
        (Dirichlet(float("nan")), "alpha=nan"),
        (Dirichlet(clients=1), "clients=1"),
        (ByQuantity(clients=10_000), "clients=10000"),
    ],
)
def test_impossible_sites_are_refused(sites: Sites, found: str) -> None:
    with pytest.raises(PrivauditError, match=found):
        sites.divide(stays(sites=("only",)), np.random.default_rng(0))


def test_servers_follow_their_published_rules() -> None:
    update, weights = np.array([0.2, -0.4]), np.array([1.0, 2.0])
    assert np.allclose(FedAvg().step(weights, update, Moments.zero(2)), [1.2, 1.6])
    for server in (FedAdam(0.1), FedYogi(0.1)):
        moments = Moments.zero(2)
        one = server.step(weights, update, moments)
        # From zero both remember a tenth of the update and a hundredth of its square.
        mean, square = 0.1 * update, 0.01 * update**2
        assert np.allclose(one, weights + 0.1 * mean / (np.sqrt(square) + 1e-3))
        server.step(one, update / 2, moments)
        if isinstance(server, FedAdam):
            assert np.allclose(moments.square, 0.99 * square + 0.01 * (update / 2) ** 2)
        else:
            # Yogi adds the new square while it is the larger of the two.
            assert np.allclose(moments.square, square + 0.01 * (update / 2) ** 2)
    with pytest.raises(PrivauditError, match="rate"):
        FedAvg(0).check()


def test_policies_wait_for_whom_they_say() -> None:
    seconds = np.array([3.0, 1.0, 2.0, 10.0])
    came, took = WaitAll().close(seconds, 4)
    assert came.all()
    assert took == 10
    came, took = Deadline(2.5).close(seconds, 4)
    assert came.tolist() == [False, True, True, False]
    assert took == 2.5
    assert Deadline(20).close(seconds, 4)[1] == 10
    came, took = Quorum(0.75).close(seconds, 4)
    assert came.tolist() == [True, True, True, False]
    assert took == 3
    policy, rng = OverSelect(0.5, 0.5), np.random.default_rng(2)
    asked = [policy.ask(4, rng) for _ in range(200)]
    assert {len(a) for a in asked} == {3}
    assert np.bincount(np.concatenate(asked)).min() > 120
    came, took = policy.close(seconds[:3], 4)
    assert came.sum() == 2
    assert took == 2


@pytest.mark.parametrize("policy", [Deadline(0), Quorum(0), Quorum(1.5), OverSelect(0.5, -1)])
def test_a_policy_out_of_range_is_refused(policy: WaitAll) -> None:
    with pytest.raises(PrivauditError):
        policy.check(4)


def test_the_clock_is_lognormal_around_its_medians() -> None:
    rng = np.random.default_rng(7)
    speeds = Clock(step=0.02, rate=1e6, spread=0.5).draw(20_000, rng)
    assert np.median(speeds.step) == pytest.approx(0.02, rel=0.03)
    assert np.log(speeds.rate).std() == pytest.approx(0.5, rel=0.03)
    even = Clock(0.02, 1e6, 0, 0)
    seconds = even.seconds(even.draw(3, rng), np.array([0, 2]), 10, 2e6, rng)
    assert np.allclose(seconds, 10 * 0.02 + 2)
    with pytest.raises(PrivauditError):
        Clock(step=0).check()


def test_compression_loses_no_more_than_it_says() -> None:
    rng = np.random.default_rng(3)
    updates = rng.normal(size=(4, 1000)) * np.exp(rng.normal(size=(4, 1000)) * 2)
    exact = NoCompression().squeeze(updates)
    assert (np.abs(exact - updates) <= 2**-24 * np.abs(updates)).all()
    half = Float16().squeeze(updates)
    assert (np.abs(half - updates) <= np.maximum(2**-11 * np.abs(updates), 2**-25)).all()
    assert Float16().squeeze(np.full((1, 1), 1e9))[0, 0] == 65504
    top = TopK(0.1).squeeze(updates)
    assert ((top != 0).sum(axis=1) == 100).all()
    # Stich et al. 2018, lemma A.1: the rest is at most 1 - share of the squared length.
    rest = ((updates - top) ** 2).sum(axis=1)
    assert (rest <= 0.9 * (updates**2).sum(axis=1)).all()
    assert np.abs(updates[top == 0]).max() <= np.abs(updates).max()
    assert [c.size(1000) for c in (NoCompression(), Float16(), TopK(0.1))] == [4000, 2000, 800]
    with pytest.raises(PrivauditError):
        TopK(0).check()
