"""Each patient's own risk: who is told apart, over pairs of models with and without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from privaudit.attacks._empirical_bayes import Sums, fit
from privaudit.attacks._half_samples import FEWEST
from privaudit.attacks._membership import Bank, ShadowAttack, cut
from privaudit.attacks._options import check
from privaudit.contracts import Fitted, Pairs, Scores, Target

MOST_LEVELS, FEWEST_ALIKE = 10, 20
"""Levels of sureness at most, and patients in each at least, among whom a common shift is read."""


@dataclass(frozen=True)
class PatientRisk(ShadowAttack):
    """How many patients can be told from those who were not trained on, each by themselves.

    An attack near guessing on average may find a few patients almost surely. The halves that shadow
    models are trained on come in complementary pairs: of each pair, one model was trained with the
    patient and one without. How often the one that is surer of the patient is the one with the
    patient is counted over pairs. Without a leak that is a fair coin, whatever the patient, so no
    false positive rate of all patients together stands for that of one. Rules that rank by the
    probability of what was recorded (thresholds, likelihood ratios with one spread, ratios to
    reference models) order the two models of a pair alike; a patient is counted once.

    The answer is about the way of training and all audit patients. Of the released model, each
    record scores by how surprising its answer is among models without that record: minus the log
    of a p-value of the record's own, from a Student t whose variance is drawn towards that of
    records alike.

    shadows: a multiple of 8; 28 and more are needed to name 10 of 3,000 patients, so use 32, and 64
    to name those who are told apart in more than three of four pairs, which counts as at risk.
    After Carlini et al. 2022 (arXiv 2112.03570), section V; Jälkö et al. 2026 (arXiv 2605.25819) on
    pooled false positive rates and half-samples; Smyth 2004 (Stat Appl Genet Mol Biol 3:3).
    """

    shadows: int = 32

    def check(self) -> None:
        super().check()
        because = "two pairs say nothing of one patient"
        check(self, "shadows", self.shadows != FEWEST, because)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        self.check()
        bank = Bank.gather(target, refits)
        scores = cut(surprise(bank), target)
        signal = bank.shadows
        if target.split.audit.outcome_kind != "class":
            # Of a number, that a residual is nearer to 0; of a margin, that it is larger.
            signal = bank.log_likelihood(bank.shadows)
        audit = target.split.audit
        outcome = audit.y if audit.outcome_kind == "class" else np.zeros(len(audit), dtype=np.int64)
        pairs = pair_up(signal, bank.included, audit.patient, outcome, rng)
        return replace(scores, pairs=pairs)


def surprise(bank: Bank) -> np.ndarray:
    """(n,) minus the log of each record's own p-value of "not trained on"."""
    from scipy.stats import t

    curves = fit(Sums.of(bank.shadows, bank.included))
    away = (bank.target - curves.location[0]) / curves.scale[0]
    result: np.ndarray = -t.logsf(away, curves.freedom[0])
    # Beyond what a float holds, records are ordered by how far away they are.
    return np.where(np.isfinite(result), result, 700.0 + np.log1p(np.maximum(away, 0.0)))


def pair_up(
    signal: np.ndarray,
    included: np.ndarray,
    patient: np.ndarray,
    outcome: np.ndarray,
    rng: np.random.Generator,
) -> Pairs:
    """What the complementary refits say of every patient.

    What moved patients alike is taken away first. A patient of several records is read in two ways:
    by the sum over them, and by the one record that moved most.

    Args:
        signal: (k, n) how sure each refit is of each record; refits 2j and 2j + 1 are a pair.
        included: (k, n) bool, which records each was trained on.
        patient: (n,) whose records they are.
        outcome: (n,) int64, the class that was recorded; all the same where it is none.
        rng: Breaks ties.
    """
    ids, at, code = np.unique(patient, return_index=True, return_inverse=True)
    first = included[0::2]
    if len(included) % 2 or not np.array_equal(first, ~included[1::2]):
        none = np.zeros((1, 0, len(ids)), dtype=bool)
        return Pairs(ids, none[0], none.astype(np.float32), none)
    one, other = signal[0::2].astype(np.float64), signal[1::2].astype(np.float64)
    apart = _centre(one - other, one + other, code, outcome)
    ways = [_add(apart, code, len(ids))]
    if len(ids) < len(patient):
        ways.append(_largest(apart, code, at))
    moved = np.array(
        [way - np.median(way, axis=1, keepdims=True) for way in ways], dtype=np.float32
    )
    coins = rng.random(moved.shape) < 0.5
    return Pairs(ids, first[:, at], moved, coins)


def _centre(
    apart: np.ndarray, level: np.ndarray, code: np.ndarray, outcome: np.ndarray
) -> np.ndarray:
    """(pairs, n) by how much the first refit is surer, less what it is of patients alike.

    A refit that thinks one outcome likelier, or is surer of everything, moves patients by their
    outcome and by how sure models are of them, and would hide what moves one patient. Neither the
    mean of a pair's answers nor what is taken away knows which refit saw whom, so that without a
    leak the sign stays a fair coin. A patient's records of one outcome count once.

    Args:
        apart: (pairs, n) differences of the two refits' answers.
        level: (pairs, n) sums of them.
        code: (n,) the patient of each record.
        outcome: (n,) the outcome of each record.
    """
    kinds, unit = np.unique(np.column_stack([code, outcome]), axis=0, return_inverse=True)
    unit = unit.ravel()
    size = np.bincount(unit)
    moved, sure = (_add(part, unit, len(size)) / size for part in (apart, level))
    shift = np.repeat(np.median(moved, axis=1, keepdims=True), len(size), axis=1)
    for value in np.unique(kinds[:, 1]):
        own = np.flatnonzero(kinds[:, 1] == value)
        parts = min(MOST_LEVELS, len(own) // FEWEST_ALIKE)
        if not parts:
            continue
        for pair in range(len(moved)):
            ordered = own[np.argsort(sure[pair, own], kind="stable")]
            for alike in np.array_split(ordered, parts):
                shift[pair, alike] = _middle(moved[pair, alike])
    return np.asarray(apart - shift[:, unit])


def _middle(values: np.ndarray) -> float:
    """Mean with the outer tenths moved to where they begin: few of them move it little, and where
    the two halves lie far apart it lies between them, as a median would not."""
    low, high = np.quantile(values, [0.1, 0.9])
    return float(np.clip(values, low, high).mean())


def _add(apart: np.ndarray, code: np.ndarray, count: int) -> np.ndarray:
    return np.array([np.bincount(code, weights=row, minlength=count) for row in apart])


def _largest(apart: np.ndarray, code: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(pairs, patients) of each patient's records, the one farthest from 0."""
    found = np.empty((len(apart), len(at)))
    for pair, row in enumerate(apart):
        order = np.lexsort((np.abs(row), code))
        last = np.append(np.diff(code[order]) != 0, True)
        found[pair] = row[order][last]
    return found


__all__ = ["PatientRisk"]
