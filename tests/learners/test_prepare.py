"""Imputation, scaling and hold-out, checked by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.learners._prepare import CLIP, Series, Table, _medians, hold_out
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

NAN = np.nan
Stays = Callable[..., Records]


def table(X: list, series: list | None = None, **columns: Column) -> Records:
    X = np.array(X, dtype=float)
    n = len(X)
    return Records(
        columns=tuple(columns.get(f"c{j}", Column(f"c{j}")) for j in range(X.shape[1])),
        X=X,
        y=np.arange(n) % 2,
        patient=np.arange(n),
        site=np.zeros(n),
        series=None if series is None else np.array(series, dtype=float),
        channels=() if series is None else (Column("hr"),),
    )


def test_a_table_of_four_rows() -> None:
    unit = Column("c1", kind="category", levels=("a", "b"))
    train = table([[1, 0], [3, 1], [NAN, NAN], [2, 0]], c1=unit)
    fitted = Table.fit(train)
    spread = np.std([1, 3, 2, 2])
    assert np.allclose(
        fitted(train),
        [[-1 / spread, 1, 0], [1 / spread, 0, 1], [0, 0, 0], [0, 1, 0]],
    )
    far = fitted(table([[1e9, 0]], c1=unit))
    assert far[0, 0] == CLIP


def test_a_series_is_carried_forward_and_starts_at_the_mean() -> None:
    train = table([[0], [1]], series=[[[NAN], [2], [NAN], [4]], [[NAN], [NAN], [NAN], [NAN]]])
    fitted = Series.fit(train)
    out = fitted(train)
    assert np.allclose(out[0, :, 0], [0, -1, -1, 1])
    assert np.allclose(out[0, :, 1], [0, 1, 0, 1])
    assert np.allclose(out[0, :, 2], [1 / 4, 0, 1 / 4, 0])
    assert np.allclose(out[1, :, 2], [1 / 4, 2 / 4, 3 / 4, 1])
    back = fitted.pull_back(train, np.ones_like(out))
    assert np.allclose(back[0, :, 0], [0, 2, 0, 1])  # hours it stands for, times 1 / SD
    assert not back[1].any()


def test_a_float_column_of_one_value_counts_as_constant() -> None:
    train = table([[0.1], [0.1], [0.1]])
    assert Table.fit(train).factor[0] == 0


@given(
    st.lists(
        st.lists(st.one_of(st.just(NAN), st.floats(-1e3, 1e3, width=32)), min_size=3, max_size=3),
        min_size=1,
        max_size=9,
    )
)
@settings(max_examples=100, deadline=None)
def test_medians_are_those_of_numpy(rows: list) -> None:
    values = np.array(rows, dtype=np.float32)
    expected = [
        np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0
        for column in values.T
    ]
    assert np.allclose(_medians(values), expected, rtol=1e-6, atol=1e-6)


def test_no_patient_is_on_both_sides_and_rare_outcomes_are_on_each(stays: Stays) -> None:
    records = stays(300, visits=3)
    rare = np.zeros(300, dtype=np.int64)
    rare[:36] = 1  # 12 of 100 patients
    records = Records(
        **{**{f: getattr(records, f) for f in records.__dataclass_fields__}, "y": rare}
    )
    shares = np.zeros(100)
    for seed in range(200):
        held = hold_out(records, 0.2, Seeds(seed).rng("hold"))
        assert not set(records.patient[held]) & set(records.patient[~held])
        assert held.sum() == 60
        assert 1 <= np.unique(records.patient[held & (rare == 1)]).size <= 4
        shares[np.unique(records.patient[held])] += 1 / 200
    # Every patient is equally likely to be held out: 0.2, five standard errors either way.
    assert np.abs(shares - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 200)
