"""Nulls of a supplied split: nobody is answered by a model that was trained on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from toy_audit import ToyLearner, ToyMethod, records

from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Fitted, Method, Release
from privaudit.engine import choose, nulls
from privaudit.engine.jobs import Bench, _fit_null
from privaudit.engine.store import Store
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import ask, margin


@dataclass(frozen=True)
class Handed(Method):
    """A supplied model whose recipe is not known, or is."""

    again: bool = False
    supplied = True

    @property
    def reruns(self) -> bool:
        return self.again

    @property
    def twin(self) -> Method:
        return ToyMethod() if self.again else self

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return ToyMethod().fit(members, rng)


def pools(n: int = 300) -> Split:
    return Split.assign(records(n), Seeds(1).rng("split"))


def bench(tmp_path: Any, split: Split) -> Bench:
    tables = Store(str(tmp_path / "tables"))
    keys = tuple(
        tables.put_records(getattr(split, pool)) for pool in ("members", "nonmembers", "reference")
    )
    return Bench(Store(str(tmp_path / "store")), tables, keys, 5, 0.95, supplied=True)


def test_what_the_null_is() -> None:
    split, attack = pools(60), Threshold()

    def kind(method: Method, supplied: bool = True, of: Split = split) -> str:
        return nulls.null_kind(method, attack, of, supplied=supplied)

    assert kind(ToyMethod(), supplied=False) == "reference"
    assert kind(ToyMethod()) == kind(Handed(again=True)) == "folds"
    assert kind(Handed()) == "stand_in"
    assert kind(Handed(), supplied=False) == "halves"
    bare = [
        replace(pool, X=np.empty((len(pool), 0), dtype=np.float32), columns=())
        for pool in (split.members, split.nonmembers, split.reference)
    ]
    assert kind(Handed(), of=Split(*bare)) == "halves"


@pytest.mark.parametrize("method", [ToyMethod(ToyLearner(memory=50.0)), Handed()])
def test_no_record_is_answered_by_a_model_that_saw_it(method: Method, tmp_path: Any) -> None:
    split = pools()
    model = _fit_null(bench(tmp_path, split), "own-model", method).model
    assert model is not None
    margins = margin(ask(model, split.audit), split.audit.y)
    # A toy that remembers adds 50 to the margin of what it saw.
    assert np.abs(margins).max() < 30
    order = np.random.default_rng(0).permutation(len(split.audit))
    again = margin(ask(model, split.audit.take(order)), split.audit.y[order])
    np.testing.assert_allclose(again, margins[order])


def test_all_records_of_a_patient_are_in_one_part() -> None:
    split = pools()
    members = replace(split.members, patient=split.members.patient // 3)
    parts = nulls.Parts.cut(Split(members, split.nonmembers, split.reference), Seeds(2).rng("a"))
    for patient in np.unique(members.patient):
        assert len(np.unique(parts.members[members.patient == patient])) == 1
    sizes = np.bincount(parts.nonmembers, minlength=nulls.FOLDS)
    assert sizes.max() - sizes.min() <= 1


def test_a_stand_in_reads_levels_missing_values_and_numbers() -> None:
    rng = np.random.default_rng(4)
    table = records(240)
    X = table.X.copy()
    X[:, 1] = rng.integers(0, 3, len(table))
    X[rng.random(X.shape) < 0.1] = np.nan
    columns = (table.columns[0], Column("c1", kind="category", levels=("a", "b", "c")))
    made = replace(table, X=X, columns=columns + table.columns[2:])
    for pool in (
        made,
        replace(made, y=rng.normal(size=len(made)), outcome_kind="number", classes=()),
    ):
        split = Split.assign(pool, Seeds(3).rng("split"))
        parts = nulls.Parts.cut(split, rng)
        models = nulls.fit_stand_in(split, Release(), parts, rng)
        answers = ask(parts.join(split, models), split.audit)
        assert np.isfinite(answers).all()
        assert len(answers) == len(split.audit)


def test_supplied_shadows_answer_for_what_they_did_not_see() -> None:
    rng = np.random.default_rng(0)
    split = pools()
    n = len(split.audit)
    included = np.zeros((8, n), dtype=bool)
    for pair in range(0, 8, 2):
        included[pair, rng.permutation(n)[: n // 2]] = True
        included[pair + 1] = ~included[pair]
    # An answer tells which model gave it, and whether it saw the record.
    margins = np.arange(8)[:, None] + 100.0 * included
    bank = [Fitted(own, row) for own, row in zip(included, margins, strict=True)]
    target, left = choose.pose_null(split, bank, Handed())
    assert target.margins.max() < 8
    assert len(target.split.audit) == n
    counts = np.bincount(target.margins.astype(int), minlength=8)
    assert counts.min() > 0
    rest = np.array([one.margins % 100 for one in left])
    assert len(left) == 6
    # Neither the model that answers nor its complement is left for that record.
    assert not (rest // 2 == target.margins // 2).any()
    assert (np.array([one.included for one in left]).sum(axis=0) == 3).all()
    with pytest.raises(PrivauditError, match="all were trained on one record"):
        choose.pose_null(split, [Fitted(np.ones(n, dtype=bool), margins[0])] * 8, Handed())
