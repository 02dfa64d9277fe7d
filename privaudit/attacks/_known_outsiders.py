"""Learning from patients whom a release was not trained on, without judging whom one learnt from.

Members and non-members are cut into the same number of folds. What is learnt for a fold is learnt
on the non-members of the other folds and on the reference patients, and judges the fold's members
and its non-members alike. So where nothing leaks the two are exchangeable given what was learnt,
and false positives come as often as they should, however badly the learning went. Fitted on the
rows it judges, the same attack reads a leak where there is none, or several times the one there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.contracts import Target
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.signals import ask, read_signal

FEWEST = 4
"""Patients who were not trained on below which nothing can be learnt from them. With a few dozen
the trees have one leaf, and the attack is the threshold on the signal."""

MOST_ROWS = 20_000
"""Records that one fold is learnt from at most."""

MOST_COLUMNS = 40
"""Columns that are learnt from at most: those that vary with what is to be predicted."""


@dataclass(frozen=True, eq=False)
class Known:
    """Records whose membership the attacker knows, beside those to be judged.

    inputs: (n + m, d) float64, the audit's records and then, where the release can be asked about
    them, the reference's; outcome: (n + m,) their outcomes; signal: (n + m,) what was read of the
    release's answers; fold: (n + m,) the fold of each, -1 for the reference; outside: (n + m,)
    bool, who is known not to be a member; n: records to judge.
    """

    inputs: np.ndarray
    outcome: np.ndarray
    signal: np.ndarray
    fold: np.ndarray
    outside: np.ndarray
    n: int

    @classmethod
    def of(cls, target: Target, folds: int, rng: np.random.Generator) -> Known:
        """Cut the patients of a target into folds.

        Raises:
            PrivauditError: Fewer than 4 patients are left to learn from.
        """
        split = target.split
        audit, own = split.audit, split.reference
        signal = np.asarray(target.margins, dtype=np.float64)
        fold = np.concatenate(
            [deal(split.members.patient, folds, rng), deal(split.nonmembers.patient, folds, rng)]
        )
        outside = ~split.is_member
        tables = [audit]
        if target.release.model is not None:
            tables.append(own)
            model = target.release.model
            timed = own.outcome_kind == "time"
            known = _rank_beside(target, own) if timed else read_signal(ask(model, own), own)
            signal = np.concatenate([signal, known])
            fold = np.concatenate([fold, np.full(len(own), -1)])
            outside = np.concatenate([outside, np.ones(len(own), dtype=bool)])
        patient = np.concatenate([table.patient for table in tables])
        for one in range(folds):
            left = len(np.unique(patient[outside & (fold != one)]))
            if left < FEWEST:
                raise PrivauditError(
                    f"{left} patients to learn from who were not trained on",
                    "how a model answers where it did not train is learnt on such patients, and "
                    f"none of them is judged by what was learnt on them; {FEWEST} are needed",
                    "hold more patients out",
                )
        return cls(
            np.concatenate([read_inputs(table) for table in tables]),
            np.concatenate([table.y for table in tables]).astype(np.float64),
            signal,
            fold,
            outside,
            len(audit),
        )

    def parts(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each fold, the rows to learn from and the rows to judge by what was learnt."""
        for one in range(int(self.fold.max()) + 1):
            rows = np.flatnonzero(self.outside & (self.fold != one))
            if len(rows) > MOST_ROWS:
                rows = np.sort(rng.permutation(rows)[:MOST_ROWS])
            yield rows, np.flatnonzero(self.fold == one)


def deal(patient: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) a fold for each record, one for all of a patient's, as many patients in each."""
    ids, row = np.unique(patient, return_inverse=True)
    return np.asarray((rng.permutation(len(ids)) % folds)[row])


def read_inputs(records: Records) -> np.ndarray:
    """(n, d) float64: the table, or where there is none each channel's mean over the hours."""
    if records.X.shape[1] or records.series is None:
        return records.X.astype(np.float64)
    measured = np.isfinite(records.series)
    total = np.where(measured, records.series, 0.0).sum(axis=1, dtype=np.float64)
    count = measured.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _rank_beside(target: Target, own: Records) -> np.ndarray:
    """(m,) the signals of the attacker's own patients among those who are judged: what a time's
    signal is read against must be the same patients for both."""
    audit = target.split.audit
    both = Records.concatenate([audit, own])
    model = target.release.model
    assert model is not None
    return np.asarray(read_signal(ask(model, both), both)[len(audit) :])


def screen(inputs: np.ndarray, *wanted: np.ndarray) -> np.ndarray:
    """Places of the columns of (n, d) that vary most with any of the (n,) wanted, 40 at most."""
    d = inputs.shape[1]
    if d <= MOST_COLUMNS:
        return np.arange(d)
    filled = np.where(np.isfinite(inputs), inputs, np.nan)
    centre = np.nan_to_num(np.nanmean(np.where(np.isfinite(filled), filled, 0.0), axis=0))
    off = np.where(np.isfinite(filled), filled - centre, 0.0)
    scale = np.sqrt((off**2).sum(axis=0))
    best = np.zeros(d)
    for one in wanted:
        away = one - one.mean()
        size = float(np.sqrt((away**2).sum())) or 1.0
        best = np.maximum(best, np.abs(off.T @ away) / np.where(scale > 0, scale, 1.0) / size)
    return np.sort(np.argsort(-best, kind="stable")[:MOST_COLUMNS])


def trees(kind: str, rounds: int, state: int, loss: str = "squared_error") -> Any:
    """Boosted trees of scikit-learn, which read missing values. kind: "class" or "number"."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    common = {
        "max_iter": rounds,
        "learning_rate": 0.15,
        "max_leaf_nodes": 15,
        "early_stopping": False,
        "random_state": state,
    }
    if kind == "class":
        return HistGradientBoostingClassifier(**common)
    return HistGradientBoostingRegressor(loss=loss, **common)
