"""The attack that judges patients one by one."""

from __future__ import annotations

import numpy as np
import pytest
from membership_lab import Forest, fitted, game, halves, table

from privaudit.attacks.membership.patient_risk import PatientRisk, pair_up
from privaudit.contracts import Target
from privaudit.records import Split
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal
from privaudit.stats.pair_wins import Wins, false_discovery


def test_one_record_of_a_patient_is_found_among_others_that_hide_it() -> None:
    """The sum over a patient's records is mostly noise; the record that moved most is not."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(300), 4)
    included = halves(300, 32, rng)[:, patient]
    signal = rng.normal(size=included.shape)
    leaking = (patient < 60) & (np.arange(1200) % 4 == 0)
    signal += np.where(included & leaking, 6.0, 0.0)
    signal[:, (patient < 60) & ~leaking] *= 0.5
    pairs = pair_up(signal, included, patient, np.zeros(len(patient), int), rng)
    assert pairs.moved.shape == (2, 16, 300)
    wins = Wins.of(pairs.moved, pairs.first, pairs.coins)
    named = false_discovery(wins.p_values(0.5)) <= 0.05
    assert named[:60].mean() > 0.9
    assert named[60:].sum() <= 6


def test_refits_that_all_share_a_shift_are_centred() -> None:
    """That one model of a pair is surer of everybody says nothing of anybody."""
    rng = np.random.default_rng(1)
    included = halves(400, 16, rng)
    signal = rng.normal(size=(16, 1)) * 50.0 + np.where(included, 1.0, 0.0)
    signal = signal + 0.01 * rng.normal(size=(16, 400))
    pairs = pair_up(signal, included, np.arange(400), np.zeros(400, int), rng)
    won = (pairs.moved[0] > 0.0) == pairs.first
    assert won.mean() > 0.99


def test_halves_that_are_no_complements_are_no_pairs() -> None:
    rng = np.random.default_rng(2)
    included = rng.random((16, 100)) < 0.5
    pairs = pair_up(rng.normal(size=(16, 100)), included, np.arange(100), np.zeros(100, int), rng)
    assert pairs.first.shape == (0, 100)


def test_scores_are_each_records_own_surprise() -> None:
    """A record whose answers vary much is not named for an answer that is usual for it."""
    rng = np.random.default_rng(3)
    n = 400
    scale = np.where(np.arange(n) % 2 == 0, 0.1, 5.0)
    included = halves(n, 32, rng)
    target = game(np.where(np.arange(n) % 2 == 0, 1.0, 1.0) * 1.0, rng.integers(0, 2, n))
    refits = fitted(rng.normal(size=included.shape) * scale, included)
    found = PatientRisk(32).run(target, refits, rng)
    both = np.concatenate([found.members, found.nonmembers])
    assert both[0::2].min() > both[1::2].max()
    assert found.pairs is not None


def test_a_memorising_model_puts_most_patients_at_risk() -> None:
    rng = np.random.default_rng(4)
    records = table(rng.normal(size=(200, 4)), rng.integers(0, 2, 200))
    method = Forest(20)
    split = Split.assign(records, rng, reference=0.1)
    target = Target(method.fit(split.members, rng), split, method)
    attack = PatientRisk(shadows=16)
    refits = attack.refits(target, Seeds(0))
    answers = []
    for one in refits:
        model = method.fit(one.train, rng).model
        assert model is not None
        answers.append(read_signal(ask(model, one.ask), one.ask))
    masks = np.array([one.included for one in refits])
    pairs = attack.run(target, fitted(np.array(answers), masks), rng).pairs
    assert pairs is not None
    wins = Wins.of(pairs.moved, pairs.first, pairs.coins)
    assert (wins.counts[0] >= 6).mean() > 0.9


@pytest.mark.parametrize("wandering", ["odds", "sureness"])
def test_patients_of_a_rare_outcome_are_found_where_trainings_differ_in_common(
    wandering: str,
) -> None:
    rng = np.random.default_rng(4)
    n, pairs = 600, 32
    outcome = (np.arange(n) % 12 == 0).astype(int)
    half = np.array([rng.permutation(np.arange(n) % 2 == 0) for _ in range(pairs)])
    included = np.stack([half, ~half], axis=1).reshape(2 * pairs, n)
    odds = rng.normal(size=n) - 3.0 * (outcome == 0) + 0.1 * rng.normal(size=(2 * pairs, n))
    if wandering == "odds":
        odds = odds + 1.5 * rng.normal(size=(2 * pairs, 1))
    else:
        odds = odds * np.exp(0.5 * rng.normal(size=(2 * pairs, 1)))
    signal = np.where(outcome == 1, odds + 0.8 * included, -odds)
    found = pair_up(signal, included, np.arange(n), outcome, rng)
    told = ((found.moved[0] > 0) == found.first).mean(axis=0)
    assert told[outcome == 1].mean() > 0.75
    assert told[outcome == 0].mean() == pytest.approx(0.5, abs=0.02)
    # Answers that know of nobody stay a fair coin.
    found = pair_up(np.where(outcome == 1, odds, -odds), included, np.arange(n), outcome, rng)
    told = ((found.moved[0] > 0) == found.first).mean(axis=0)
    assert told.mean() == pytest.approx(0.5, abs=0.02)
    assert told[outcome == 1].mean() == pytest.approx(0.5, abs=0.05)
