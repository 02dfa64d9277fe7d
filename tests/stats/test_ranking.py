"""What an attack does to a ranking: intervals that hold the truth, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, ndtr

from privaudit.contracts import Ranked, Trials
from privaudit.engine import measure
from privaudit.errors import PrivauditError
from privaudit.facts import ReasonCode, Setting
from privaudit.stats import estimates, ranking
from privaudit.stats.catalogue import RANKED


def answers(margin: np.ndarray) -> np.ndarray:
    p = expit(margin)
    return np.column_stack([1 - p, p])


def game(n: int, rng: np.random.Generator, push: float = 1.0, records: int = 1) -> tuple:
    """Scores with AUROC ndtr(1.5 / sqrt 2) before, ndtr((1.5 - 2 push) / sqrt 2) under attack."""
    y = np.repeat((rng.random(n) < 0.4).astype(int), records)
    own = np.repeat(rng.normal(size=n), records)
    score = 1.5 * y + own
    shaken = score + 0.2 * rng.normal(size=len(y))
    attacked = score - push * np.where(y == 1, 1, -1)
    ids = np.repeat(np.arange(n), records)
    return Ranked(y, answers(attacked), answers(shaken), answers(score)), ids


@pytest.mark.parametrize("records", [1, 3])
def test_intervals_hold_the_truth_with_patients_as_clusters(records: int) -> None:
    rng = np.random.default_rng(0)
    before = ndtr(1.5 / np.sqrt(2))
    shaken = ndtr(1.5 / np.sqrt(2 + 2 * 0.04))
    after = ndtr((1.5 - 2 * 0.5) / np.sqrt(2))
    truth = dict(zip(RANKED, (after, shaken, before, shaken - after), strict=True))
    held = dict.fromkeys(RANKED, 0)
    for _ in range(150):
        evidence, ids = game(150, rng, 0.5, records)
        for e in ranking(evidence, patients=ids):
            assert e.n == {"attempts": 150 * records, "patients": 150}
            held[e.metric.name] += e.low <= truth[e.metric.name] <= e.high
    # 95 of 100, less three standard deviations of 150 repeats; a few more where noise is shared.
    assert min(held.values()) >= 133
    assert max(held.values()) <= 150


def test_an_attack_that_does_nothing_takes_nothing_off() -> None:
    evidence, ids = game(200, np.random.default_rng(1))
    idle = replace(evidence, attacked=evidence.control)
    fall = ranking(idle, patients=ids)[-1]
    assert (fall.value, fall.low, fall.high) == (0.0, 0.0, 0.0)


def test_three_classes_are_read_one_against_the_rest() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 400)
    p = rng.dirichlet([1, 1, 1], 400) + 2 * np.eye(3)[y]
    p /= p.sum(axis=1, keepdims=True)
    flat = rng.dirichlet([1, 1, 1], 400)
    found = ranking(Ranked(y, flat, p, p), patients=np.arange(400))
    assert found[0].low <= 0.5 <= found[0].high
    assert found[1].value > 0.9
    assert found[3].low > 0.3


def test_nothing_is_stated_on_fewer_than_ten_patients_of_an_outcome() -> None:
    rng = np.random.default_rng(3)
    y = np.zeros(60, dtype=int)
    y[:9] = 1
    scores = answers(rng.normal(size=60))
    found = ranking(Ranked(y, scores, scores, scores), patients=np.arange(60))
    assert [e.metric.name for e in found] == list(RANKED)
    assert {e.refusal.code for e in found} == {ReasonCode.TOO_FEW_WITH_OUTCOME}
    assert all(e.value is None for e in found)
    one = ranking(Ranked(y * 0, scores, scores, scores), patients=np.arange(60))
    assert all(e.value is None for e in one)


def test_it_comes_with_the_attempts_and_back_from_the_store() -> None:
    evidence, ids = game(100, np.random.default_rng(4))
    at = Setting("budget", 0.5, "sd")
    rate = np.random.default_rng(5).random(100) < 0.5
    trials = Trials(rate * 1.0, rate * 1.0, rate * 1.0, "noise", ids, ranked=evidence)
    found = estimates({at: trials}, rng=np.random.default_rng(0))
    assert {e.metric.name for e in found} >= set(RANKED)
    assert all(e.metric.at == at for e in found)
    back = measure.evidence_of(measure.arrays({at: trials}))
    again = estimates(back, rng=np.random.default_rng(0))
    assert again == found
    plain = measure.evidence_of(measure.arrays({at: replace(trials, ranked=None)}))
    assert plain[at].ranked is None


def test_answers_about_other_records_are_refused() -> None:
    evidence, ids = game(50, np.random.default_rng(6))
    with pytest.raises(PrivauditError):
        ranking(replace(evidence, control=evidence.control[:-1]), patients=ids)
