"""Model inversion: several undisclosed values of a record rebuilt together from the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check, check_whole
from privaudit.attacks._pools import Tried
from privaudit.contracts import Access, Attack, Fitted, Model, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import OutcomeKind, Records
from privaudit.signals import ask as ask_model

CONTROL = "the same search for {people} outside the training data"
ASKED = 50_000
"""Records that the model is asked about in one call, so that memory stays flat."""
REFERENCE = 5_000
"""Records of the attacker's own that are searched for similar ones."""
TINY = 1e-12


@dataclass(frozen=True)
class ModelInversion(Attack):
    """Searches for the record of which the model is surest, where half of it is known.

    The attacker knows a patient's outcome and some columns, and wants up to `hidden` others at
    once. The search starts from what the `starts` most similar of the attacker's own records
    suggest together, and from each of them, takes the one whose values make the model surest of the
    outcome, and then changes one value after another to whatever of `values` others of that column
    makes it surer still, `passes` times over. A model that remembers a record is surest there.
    Success: the share of the undisclosed cells that are rebuilt, a number to `near` standard
    deviations, of the record of which most is; control: the same search for non-members. There is
    no guess beside it: the surest record of an honest model is an extreme one, further from the
    truth than what similar patients suggest, and a leak would hide in that distance. `attribute`
    asks for one column and tries all its values; here columns are searched together, and none needs
    to be marked sensitive.
    Source: Fredrikson, Jha and Ristenpart 2015, Model Inversion Attacks that Exploit Confidence
    Information (doi 10.1145/2810103.2813677), of which the abstract was read, and descriptions of
    public rebuilds, which take gradient steps; here one value is changed at a time, as trees have
    no gradients.
    """

    patients: int = 1_000
    hidden: int = 5
    starts: int = 12
    values: int = 6
    passes: int = 1
    near: float = 0.25

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["inversion"]] = "inversion"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class", "number"})
    pictures: ClassVar[bool] = False

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1, hidden=1, starts=1, values=2, passes=0)
        check(self, "near", 0 < self.near <= 1, "it is a part of a standard deviation")
        model = target.release.model
        if model is None:
            raise ValueError("this release has no model to ask")
        split = target.split
        tried = Tried.draw(split, self.patients, rng)
        own = split.reference
        own = own.take(np.sort(rng.permutation(len(own))[:REFERENCE]))
        hidden = _choose(tried.records, own, self.hidden, rng)
        known = np.setdiff1d(np.arange(own.X.shape[1]), hidden)
        near = find_similar(tried.records, own, known, self.starts)
        numeric = np.array([own.columns[j].kind == "numeric" for j in hidden])
        start = _suggest(own, near, hidden, numeric)
        rows = self._search(model, tried.records, own, near, hidden, start)
        apart = self.near * np.nanstd(own.X[:, hidden].astype(np.float64), axis=0)
        truth = tried.records.X[:, hidden]
        success, recorded = _share(rows, truth, numeric, apart)
        cut = len(tried.members)
        kept = Tried(tried.members.take(recorded[:cut]), tried.others.take(recorded[cut:]))
        if not len(kept.members) or not len(kept.others):
            raise _nothing_hidden()
        trials = kept.trials(success[recorded], None, CONTROL, "best")
        return {Setting("variant", "undisclosed half of a record"): trials}

    def _search(
        self,
        model: Model,
        records: Records,
        own: Records,
        near: np.ndarray,
        hidden: np.ndarray,
        start: np.ndarray,
    ) -> np.ndarray:
        """(n, hidden) the values of the record that the model is surest of."""
        n = len(near)
        filled = _fill(own.X[:, hidden])
        tries = np.concatenate([start[:, None], filled[near]], axis=1)
        sure = _ask(model, records, hidden, tries)
        best = sure.argmax(axis=1)
        rows: np.ndarray = tries[np.arange(n), best]
        reached = sure[np.arange(n), best]
        for _ in range(self.passes):
            for at in range(len(hidden)):
                options = _spread(filled[:, at], self.values)
                if len(options) < 2:
                    continue
                tries = np.repeat(rows[:, None], len(options), axis=1)
                tries[:, :, at] = options
                sure = _ask(model, records, hidden, tries)
                best = sure.argmax(axis=1)
                better = sure[np.arange(n), best] > reached + TINY
                rows[better] = tries[better, best[better]]
                reached[better] = sure[better, best[better]]
        return rows


def _choose(records: Records, own: Records, most: int, rng: np.random.Generator) -> np.ndarray:
    """Half of the columns, `most` at most, of those that are recorded and differ."""
    there = [
        j
        for j in range(own.X.shape[1])
        if len(np.unique(own.X[np.isfinite(own.X[:, j]), j])) > 1
        and np.isfinite(records.X[:, j]).any()
    ]
    count = min(most, len(there) // 2)
    if not count:
        raise _nothing_hidden()
    return np.sort(rng.permutation(there)[:count])


def _nothing_hidden() -> PrivauditError:
    return PrivauditError(
        "a table without columns to rebuild",
        "half of the columns that are recorded and differ are kept back, and no such half is there",
        "give a table of two or more columns that differ from patient to patient",
    )


def find_similar(records: Records, own: Records, known: np.ndarray, count: int) -> np.ndarray:
    """(n, count) the attacker's records nearest in the known columns, of the same outcome where
    there are enough."""
    scale = np.nanstd(own.X.astype(np.float64), axis=0)
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
    middle = np.nan_to_num(np.nanmean(own.X.astype(np.float64), axis=0))
    kinds = np.array([c.kind == "category" for c in own.columns], dtype=bool)

    def encode(x: np.ndarray) -> np.ndarray:
        scaled = (np.where(np.isnan(x), middle, x) - middle) / scale
        parts = [scaled[:, known[~kinds[known]]]]
        for j in known[kinds[known]]:
            levels = np.arange(len(own.columns[j].levels))
            parts.append((x[:, j, None] == levels) / np.sqrt(2.0))
        return np.concatenate(parts, axis=1).astype(np.float32)

    count = min(count, len(own))
    mine, theirs = encode(records.X), encode(own.X)
    found = np.empty((len(records), count), dtype=np.int64)
    sizes = (theirs**2).sum(axis=1)
    of_class = own.outcome_kind == "class"
    for start in range(0, len(records), 1_000):
        part = slice(start, start + 1_000)
        apart = sizes - 2 * mine[part] @ theirs.T
        if of_class:
            apart = apart + 1e6 * (records.y[part, None] != own.y)
        else:
            spread = float(np.std(own.y)) or 1.0
            apart = apart + ((records.y[part, None] - own.y) / spread) ** 2
        found[part] = np.argpartition(apart, count - 1, axis=1)[:, :count]
    return found


def _fill(x: np.ndarray) -> np.ndarray:
    """Missing cells as the column's middle value, one that is there."""
    filled = x.copy()
    for j in range(x.shape[1]):
        there = np.sort(x[np.isfinite(x[:, j]), j])
        filled[np.isnan(x[:, j]), j] = there[len(there) // 2]
    return filled


def _spread(column: np.ndarray, most: int) -> np.ndarray:
    """Values of a column that lie evenly among its records."""
    at = (np.arange(most) + 0.5) / most
    return np.unique(np.quantile(column, at, method="nearest"))


def _ask(model: Model, records: Records, hidden: np.ndarray, tries: np.ndarray) -> np.ndarray:
    """(n, k) how sure the model is of the outcome with each of (n, k, hidden) values put in."""
    n, k, _ = tries.shape
    found = np.empty((n, k))
    # A record with a series is some hundred times as large.
    step = max(1, (ASKED if records.series is None else ASKED // 16) // k)
    for start in range(0, n, step):
        own = np.arange(start, min(start + step, n))
        many = records.take(np.repeat(own, k))
        x = many.X.copy()
        x[:, hidden] = tries[own].reshape(len(own) * k, -1)
        answers = ask_model(model, replace(many, X=x))
        if answers.ndim == 1:
            sure = -np.abs(answers - many.y)
        else:
            sure = np.log(np.maximum(answers[np.arange(len(many)), many.y], TINY))
        found[own] = sure.reshape(len(own), k)
    return found


def _suggest(own: Records, near: np.ndarray, hidden: np.ndarray, numeric: np.ndarray) -> np.ndarray:
    """(n, hidden) what the similar records alone suggest."""
    values = np.sort(_fill(own.X[:, hidden])[near], axis=1)
    middle = values[:, values.shape[1] // 2]
    found = middle.copy()
    for at in np.flatnonzero(~numeric):
        levels = np.unique(values[:, :, at])
        counts = (values[:, :, at, None] == levels).sum(axis=1)
        found[:, at] = levels[counts.argmax(axis=1)]
    return found


def _share(
    rows: np.ndarray, truth: np.ndarray, numeric: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the share of the recorded cells that are rebuilt, and whether there is any."""
    there = np.isfinite(truth)
    exact = rows == truth
    close = np.abs(rows.astype(np.float64) - truth) <= apart
    right = np.where(numeric, close, exact) & there
    count = there.sum(axis=1)
    return right.sum(axis=1) / np.maximum(count, 1), count > 0


__all__ = ["ModelInversion"]
