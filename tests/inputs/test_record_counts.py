"""Pools whose patients have other numbers of records are told apart without any model."""

import numpy as np

from privaudit.facts import CaveatCode
from privaudit.inputs.checks import RECORDS, compare_record_counts
from privaudit.records import Column, Records, Split


def pool(counts: np.ndarray, first: int) -> Records:
    """Patients of so many records each, of one column that says nothing."""
    ids = np.repeat(np.arange(len(counts)), counts) + first
    return Records(
        columns=(Column("x"),),
        X=np.zeros((len(ids), 1), dtype=np.float32),
        y=np.arange(len(ids)) % 2,
        patient=ids,
        site=np.zeros(len(ids), dtype=np.int64),
    )


def split(members: np.ndarray, others: np.ndarray) -> Split:
    return Split(pool(members, 0), pool(others, 10_000), pool(np.ones(5, dtype=int), 20_000))


def told(members: np.ndarray, others: np.ndarray) -> bool:
    found = compare_record_counts(split(members, others), np.random.default_rng(0))
    if found is None:
        return False
    assert found.code is CaveatCode.DISTRIBUTION_SHIFT
    assert found.params["columns"] == (RECORDS,)
    auc, low = found.params["auc"], found.params["low"]
    assert isinstance(auc, float)
    assert isinstance(low, float)
    return auc > low


def test_more_fewer_or_more_unequal_records_are_told() -> None:
    few, many = np.ones(300, dtype=int), np.full(300, 4)
    assert told(few, many)
    assert told(many, few)
    unequal = np.tile([1, 7], 150)
    assert told(np.full(300, 4), unequal), "equal on average, and not in spread"


def test_equal_pools_are_hardly_ever_told_apart() -> None:
    rng = np.random.default_rng(7)
    alarms = sum(told(rng.integers(1, 6, 200), rng.integers(1, 6, 260)) for _ in range(200))
    assert alarms <= 2
    assert not told(np.ones(300, dtype=int), np.ones(200, dtype=int))
