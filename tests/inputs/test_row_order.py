"""Rows in the order of the training table are told, and rows sorted by what they hold are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from privaudit.facts import Caveat, CaveatCode, ReasonCode
from privaudit.inputs.row_order import find_row_order
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.policy.starters import starter
from privaudit.records import Column, Records
from privaudit.results import from_json

STORED = Path(__file__).parents[1] / "lanes" / "golden" / "audit.json"


def draw(n: int, seed: int, first: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n, 6)), rng.integers(0, 3, n)]).astype(np.float32)
    columns = [Column(f"c{j}") for j in range(6)]
    columns.append(Column("unit", kind="category", levels=("a", "b", "c")))
    y = rng.integers(0, 2, n)
    return Records(tuple(columns), X, y, first + np.arange(n), np.zeros(n))


REAL = draw(600, 1)


def blur(real: Records, seed: int = 3) -> Records:
    """Records of nobody, each made from one real record in turn: no copy among them."""
    rng = np.random.default_rng(seed)
    X = real.X.copy()
    X[:, :6] += rng.normal(size=(len(real), 6)) * 0.5
    return replace(real, X=X)


def find(table: Records, real: Records = REAL) -> Caveat | None:
    return find_row_order(table, real, np.random.default_rng(0))


@pytest.mark.parametrize("order", ["as it is", "reversed", "in blocks", "a part of it"])
def test_rows_made_one_by_one_are_told(order: str) -> None:
    table = blur(REAL)
    rng = np.random.default_rng(4)
    blocks = (rng.permutation(15)[:, None] * 40 + np.arange(40)).ravel()
    rows = {
        "as it is": np.arange(600),
        "reversed": np.arange(600)[::-1],
        "in blocks": blocks,
        "a part of it": np.arange(0, 600, 3),
    }[order]
    found = find(table.take(rows))
    assert found is not None
    assert found.code is CaveatCode.ROWS_IN_ORDER


def test_shuffled_rows_and_other_patients_are_not() -> None:
    """100 tables: more than 1 alarm at 1 in 8,000 each would be a fault."""
    told = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        table = blur(REAL, seed)
        told += find(table.take(rng.permutation(len(table)))) is not None
        told += find(draw(400, 100 + seed)) is not None
    assert told == 0


@pytest.mark.parametrize("column", [0, 6])
def test_tables_that_are_sorted_by_a_column_are_not(column: int) -> None:
    def by_column(part: Records) -> Records:
        return part.take(np.argsort(part.X[:, column], kind="stable"))

    real = by_column(REAL)
    told = [find(by_column(draw(600, seed)), real) is not None for seed in range(10, 40)]
    assert sum(told) == 0
    # Sorted, and made one by one as well.
    assert find(blur(real), real) is not None


def test_records_of_one_patient_that_stand_together() -> None:
    """The most similar record of others is looked for among other patients."""
    twice = REAL.take(np.repeat(np.arange(300), 2))
    assert find(blur(twice), twice) is not None


def test_one_real_record_that_is_nearest_to_all() -> None:
    table = replace(REAL, X=np.repeat(REAL.X[:1], 600, axis=0))
    assert find(table) is None


def test_nothing_is_within_a_limit_then() -> None:
    audit = from_json(STORED.read_text(encoding="utf-8"))
    day = date(2027, 1, 1)
    policy = parse(starter("internal", day).encode())
    before = judge(policy, audit, today=day).verdicts
    caveats = (*audit.caveats, Caveat(CaveatCode.ROWS_IN_ORDER))
    after = judge(policy, replace(audit, caveats=caveats), today=day).verdicts
    membership = [v.metric.startswith("membership.") for v in before]
    assert any(v.state == "WITHIN" for v, one in zip(before, membership, strict=True) if one)
    for one, was, about in zip(after, before, membership, strict=True):
        if about and was.state == "WITHIN":
            assert one.state == "INCONCLUSIVE"
            assert one.reason is not None
            assert one.reason.code is ReasonCode.TABLE_IN_ORDER
