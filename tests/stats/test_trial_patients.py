"""A patient is found where any record is, and pools with other numbers of records compare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privaudit import stats
from privaudit.contracts import Rows, Trials
from privaudit.results import Estimate
from privaudit.stats.trial_patients import as_patients


def read(evidence: Trials) -> dict[str, Estimate]:
    return {e.metric.name: e for e in stats.estimates(evidence, rng=np.random.default_rng(0))}


def value(found: Estimate) -> float:
    assert found.value is not None
    return found.value


def draw(
    rng: np.random.Generator,
    counts: tuple[np.ndarray, np.ndarray],
    rates: tuple[float, float],
    alike: float = 0.0,
) -> Trials:
    """Records of patients with so many each, found at these rates; alike: the share of patients
    whose records all fare as the first does."""
    parts = []
    for own, rate in zip(counts, rates, strict=True):
        ids = np.repeat(np.arange(len(own)), own)
        hit = rng.random(len(ids)) < rate
        first = hit[np.cumsum(own) - own]
        same = rng.random(len(own)) < alike
        parts.append((np.where(same[ids], first[ids], hit).astype(float), ids))
    (success, mine), (control, others) = parts
    return Trials(success, control, None, "", mine, others + 10**6, "any")


def test_any_record_and_a_guess_at_each() -> None:
    patients = np.array([1, 1, 2, 2, 3])
    evidence = Trials(
        np.array([0, 1, 0, 0, 1.0]),
        np.zeros(5),
        np.full(5, 0.5),
        patients=patients,
        rows="any",
    )
    found = read(evidence)
    assert value(found["attack_rate"]) == pytest.approx(2 / 3)
    assert value(found["guess_rate"]) == pytest.approx((0.75 + 0.75 + 0.5) / 3)
    assert found["attack_rate"].n == {"attempts": 3, "patients": 3}
    each = {e.metric.name: e for e in stats.trials_by_record({None: evidence})}
    assert value(each["attack_rate"]) == pytest.approx(0.4)
    assert not stats.trials_by_record({None: replace(evidence, patients=np.arange(5))})
    shares = replace(evidence, success=np.array([0.2, 0.6, 0.1, 0.1, 1.0]), rows="best")
    assert value(read(shares)["attack_rate"]) == pytest.approx((0.6 + 0.1 + 1) / 3)
    assert value(read(shares)["guess_rate"]) == pytest.approx(0.5)


def test_of_several_guesses_the_surest_counts_and_ties_count_their_mean() -> None:
    evidence = Trials(
        np.array([1, 0, 0, 1, 1.0]),
        np.zeros(5),
        np.array([0, 1, 0, 0, 0.0]),
        patients=np.array([1, 1, 2, 2, 3]),
        rows="surest",
        sure=np.array([1, 2, 5, 5, 0.0]),
        control_sure=np.zeros(5),
    )
    found = read(evidence)
    assert value(found["attack_rate"]) == pytest.approx((0 + 0.5 + 1) / 3)
    assert value(found["guess_rate"]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("rows", ["any", "best", "surest"])
def test_one_record_a_patient_reads_as_it_did(rows: Rows) -> None:
    rng = np.random.default_rng(3)
    success, control, sure = (rng.integers(0, 2, 40).astype(float) for _ in range(3))
    plain = Trials(success, control, success * 0.5, "", np.arange(40), np.arange(50, 90))
    many = replace(plain, rows=rows, sure=sure, control_sure=sure)
    assert read(many) == read(plain)
    assert not stats.trials_by_record({None: many})


@pytest.mark.parametrize(
    ("members", "others"),
    [((1, 6), (1, 6)), ((1, 6), (1, 3)), ((1, 3), (1, 6)), ((4, 5), (1, 9)), ((1, 6), (1, 2))],
    ids=["alike", "fewer", "more", "other shapes", "one each"],
)
@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_pools_with_other_numbers_of_records_raise_no_alarm(
    members: tuple[int, int], others: tuple[int, int], alike: float
) -> None:
    """Records found at one rate in both pools: the interval of the difference lies above 0 in few
    of 200, though more patients of the pool with more records are found."""
    alarms = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        counts = (rng.integers(*members, 300), rng.integers(*others, 300))
        found = read(draw(rng, counts, (0.1, 0.1), alike))["attack_minus_control"]
        assert found.low is not None
        alarms.append(found.low > 0)
    assert np.mean(alarms) <= 0.05
    if members == others:
        assert np.mean(alarms) >= 0.005


def test_a_leak_is_not_hidden_by_a_control_with_more_records() -> None:
    rng = np.random.default_rng(1)
    counts = (np.ones(1000, dtype=int), rng.integers(1, 8, 1000))
    found = read(draw(rng, counts, (0.2, 0.1)))
    assert value(found["control_rate"]) == pytest.approx(0.1, abs=0.04)
    assert found["attack_minus_control"].low > 0  # type: ignore[operator]


def test_a_leak_is_not_hidden_by_a_control_with_fewer_records() -> None:
    """What the control has no records for counts towards the upper bound: no limit is kept by
    leaving members' records out."""
    rng = np.random.default_rng(2)
    counts = (np.full(800, 5), np.ones(800, dtype=int))
    found = read(draw(rng, counts, (0.05, 0.0)))
    assert value(found["attack_rate"]) == pytest.approx(1 - 0.95**5, abs=0.03)
    gap = found["attack_minus_control"]
    assert value(gap) == pytest.approx(1 - 0.95**5, abs=0.03)
    assert 0 < gap.low < 0.06  # type: ignore[operator]
    assert gap.high > 0.2  # type: ignore[operator]


def test_the_standardised_control_is_unbiased_and_its_interval_covers() -> None:
    """Patients with more records are found more often also record by record; members have more of
    them. The truth is the control's rate at the members' numbers."""
    rate = np.array([0.0, 0.02, 0.05, 0.1, 0.2])
    values, hits = [], 0
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    truth = float((weights * (1 - (1 - rate[1:]) ** np.arange(1, 5))).sum())
    for seed in range(200):
        rng = np.random.default_rng(seed)
        counts = (rng.choice(4, 400, p=weights) + 1, rng.choice(4, 400, p=weights[::-1]) + 1)
        ids = [np.repeat(np.arange(400), own) for own in counts]
        hit = [
            (rng.random(len(i)) < rate[own[i]]).astype(float)
            for i, own in zip(ids, counts, strict=True)
        ]
        found = read(Trials(*hit, None, "", ids[0], ids[1] + 1000, "any"))["control_rate"]
        values.append(value(found))
        hits += found.low <= truth <= found.high  # type: ignore[operator]
    assert np.mean(values) == pytest.approx(truth, abs=0.006)
    assert hits >= 184


def test_evidence_of_patients_has_the_same_means() -> None:
    rng = np.random.default_rng(5)
    counts = (rng.integers(1, 4, 200), rng.integers(1, 6, 200))
    evidence = draw(rng, counts, (0.3, 0.2))
    found, folded = read(evidence), as_patients(evidence)
    assert len(folded.success) == 200
    assert folded.success.mean() == pytest.approx(value(found["attack_rate"]))
    assert folded.control.mean() == pytest.approx(value(found["control_rate"]))
