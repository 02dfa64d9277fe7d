"""What a table holds has one name, whatever the order of its rows and the keys of its patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privaudit.records import Column, Records


@pytest.fixture
def table() -> Records:
    rng = np.random.default_rng(0)
    columns = (Column("age"), Column("dose"))
    return Records(
        columns,
        rng.normal(size=(30, 2)),
        np.arange(30) % 2,
        np.arange(30) // 3,
        np.arange(30) % 3,
        sites=("a", "b", "c"),
        groups={"sex": np.array(["f", "m", "m"] * 10)},
    )


def take(table: Records, order: np.ndarray) -> Records:
    return replace(
        table,
        X=table.X[order],
        y=table.y[order],
        patient=table.patient[order],
        site=table.site[order],
        groups={name: values[order] for name, values in table.groups.items()},
    )


def test_order_and_keys_make_no_other_data(table: Records) -> None:
    for order in (np.arange(30)[::-1], np.random.default_rng(1).permutation(30)):
        other = take(table, order)
        assert other.content == table.content
        assert other.fingerprint != table.fingerprint
    assert replace(table, patient=99 - table.patient).content == table.content


def test_every_value_counts(table: Records) -> None:
    X = table.X.copy()
    X[7, 1] += 1e-3
    others = [
        replace(table, X=X),
        replace(table, y=1 - table.y),
        replace(table, site=table.site[::-1].copy()),
        replace(table, groups={"sex": table.groups["sex"][::-1].copy()}),
        replace(table, patient=np.arange(30) // 5),
        take(table, np.arange(29)),
        take(table, np.r_[np.arange(30), 29]),
    ]
    names = {one.content for one in [table, *others]}
    assert len(names) == len(others) + 1
