"""An attack less what it reads of a null: chance stays chance, and drift goes."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit.contracts import Scores
from privaudit.facts import BoundMethod, Metric
from privaudit.results import Estimate
from privaudit.stats import against_null

N = 400
IDS = (np.arange(N), N + np.arange(N))
AUC, RATE = Metric("auc"), Metric("tpr", fpr=0.1)


def worlds(drift: float, leak: float, seed: int = 0) -> tuple[Scores, Scores]:
    """Scores of a subject and of its null: both see the drift, the subject alone the leak."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(2, N)) + np.array([[drift], [0.0]])
    both = [base + 0.2 * rng.normal(size=(2, N)) for _ in range(2)]
    both[0][0] += leak
    return Scores(*both[0]), Scores(*both[1])


def corrected(
    subject: Scores, null: Scores, ids: tuple[np.ndarray, ...] = IDS
) -> dict[Metric, Estimate]:
    found = against_null.correct(
        subject,
        null,
        patients=(ids[0], ids[1]),
        confidence=0.95,
        rng=np.random.default_rng(1),
    )
    return {one.metric: one for one in found}


@pytest.mark.parametrize("drift", [-0.5, 0.0, 0.5])
def test_drift_alone_is_chance_and_a_leak_is_left(drift: float) -> None:
    none = corrected(*worlds(drift, 0.0))[AUC]
    assert none.low is not None
    assert none.high is not None
    assert none.low <= 0.5 <= none.high
    # Both are of the same patients: the interval is shorter than that of either alone.
    assert none.high - none.low < 0.04
    some = corrected(*worlds(drift, 0.5))
    assert some[AUC].low > 0.55
    assert some[RATE].low > 0.1
    assert some[AUC].bound.method is BoundMethod.PAIRED_DELONG


def test_numbers_are_cut_to_what_they_can_be_and_come_with_chance() -> None:
    subject, null = worlds(-3.0, 6.0)
    found = corrected(subject, null)
    assert found[AUC].value == found[AUC].high == 1.0
    assert all(0 <= e.low <= e.value <= e.high <= 1 for e in found.values())
    assert found[RATE].chance == 0.1
    assert {e.chance for e in found.values() if e.metric.name == "ppv"} <= {0.5, 0.1, 0.01, 0.001}


def test_a_perfect_null_leaves_no_leak() -> None:
    one = Scores(np.arange(N) + 1.0, -np.arange(N) - 1.0)
    other = Scores(2.0 * np.arange(N) + 1.0, -np.arange(N) - 1.0)
    found = corrected(one, other)[AUC]
    assert (found.value, found.low) == (0.5, 0.5)


def test_the_unit_is_the_patient() -> None:
    subject, null = worlds(0.4, 0.3)
    twice = (np.repeat(IDS[0], 2), np.repeat(IDS[1], 2))
    doubled = [Scores(np.repeat(s.members, 2), np.repeat(s.nonmembers, 2)) for s in (subject, null)]
    one, two = corrected(subject, null)[AUC], corrected(*doubled, twice)[AUC]
    assert two.n["member_patients"] == N
    assert two.value == pytest.approx(one.value, abs=1e-12)
    assert two.high - two.low == pytest.approx(one.high - one.low, rel=1e-6)


def test_the_null_is_read_at_the_same_confidence() -> None:
    _, null = worlds(0.5, 0.0)
    found = against_null.read_null(null, patients=IDS, confidence=0.9, rng=np.random.default_rng(0))
    assert {one.metric.name for one in found} == {"auc", "tpr"}
    assert {one.confidence for one in found} == {0.9}
    assert found[0].low > 0.5
