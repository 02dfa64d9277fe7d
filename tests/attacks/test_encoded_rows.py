"""What the encoding of records allows, found by asking it."""

from __future__ import annotations

import numpy as np

from privaudit.attacks._encoded_rows import Layout
from privaudit.records import Column, Records


def encode(records: Records) -> np.ndarray:
    """A number beside the marks of a category's levels."""
    marks = records.X[:, 1:2] == np.arange(len(records.columns[1].levels))
    return np.column_stack([np.nan_to_num(records.X[:, :1]), marks.astype(np.float64)])


def make(levels: tuple[str, ...]) -> Records:
    columns = (
        Column("age", bounds=(0.0, 100.0)),
        Column("drug", kind="category", levels=levels, mutable=False),
    )
    X = np.column_stack([np.linspace(20, 80, 12), np.arange(12) % len(levels)])
    return Records(columns, X, np.arange(12) % 2, np.arange(12), np.zeros(12))


def test_rows_are_made_tidy_where_a_category_has_one_level_only() -> None:
    layout = Layout.probe(encode, make(("no",)))
    assert np.allclose(layout.tidy(np.array([[130.0, 0.8], [40.0, 0.1]])), [[100, 1], [40, 0]])


def test_the_likeliest_of_two_levels_is_chosen() -> None:
    layout = Layout.probe(encode, make(("no", "yes")))
    assert np.allclose(layout.tidy(np.array([[50.0, 0.7, 0.2]])), [[50, 1, 0]])
