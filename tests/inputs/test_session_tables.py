"""Tables of a Python session: missing is missing, and no identifier passes through a float."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from privaudit.errors import PrivauditError
from privaudit.inputs.dataframe import Frames, read_frames
from privaudit.inputs.read_canaries import read_canaries

ROWS = 60
ODD = 2**53


def read(X: Any = None, y: Any = None, **more: Any) -> Frames:
    """Members and non-members of this many rows."""
    X = pd.DataFrame({"a": np.arange(2.0 * ROWS)}) if X is None else X
    y = np.arange(2 * ROWS) % 2 if y is None else y
    halves = [(X[part], y[part]) for part in (slice(0, ROWS), slice(ROWS, None))]
    return read_frames(*halves, **more)


def cut(values: Any) -> tuple[Any, Any]:
    return values[:ROWS], values[ROWS:]


IDS: dict[str, Callable[[], Any]] = {
    "site and number": lambda: [f"{i % 12 + 1}_{i // 12 + 1}" for i in range(2 * ROWS)],
    "64 bits": lambda: np.arange(2 * ROWS) + ODD,
    "Int64": lambda: pd.array(range(ODD, ODD + 2 * ROWS), dtype="Int64"),
    "objects": lambda: pd.Series(range(ODD, ODD + 2 * ROWS), dtype=object),
    "strings": lambda: pd.array([str(ODD + i) for i in range(2 * ROWS)], dtype="string"),
    "polars": lambda: pl.Series(range(ODD, ODD + 2 * ROWS)),
    "zeros in front": lambda: [f"{i:04d}" for i in range(ROWS)] + [f"9{i}" for i in range(ROWS)],
    "infinity": lambda: ["infinity", "inf", "1e3", "1000", *map(str, range(5, 2 * ROWS + 1))],
    "floats": lambda: np.arange(2.0 * ROWS),
}


@pytest.mark.parametrize("kind", IDS)
def test_patients_stay_apart(kind: str) -> None:
    found = read(patient=cut(IDS[kind]()))
    numbers = np.concatenate([found.members.patient, found.nonmembers.patient])
    assert len(np.unique(numbers)) == 2 * ROWS


def test_a_whole_number_written_with_a_point_is_the_same_patient() -> None:
    found = read(patient=([str(i) for i in range(ROWS)], [f"{i}.0" for i in range(ROWS)]))
    assert found.members.patient.tolist() == found.nonmembers.patient.tolist()


@pytest.mark.parametrize(
    "ids",
    [np.arange(2.0 * ROWS) + ODD, (np.arange(2 * ROWS) + 2**24).astype(np.float32)],
    ids=["float64", "float32"],
)
def test_patients_that_were_rounded_are_refused(ids: np.ndarray) -> None:
    with pytest.raises(PrivauditError, match="rounded"):
        read(patient=cut(ids))
    frame = pd.DataFrame({"a": np.arange(2.0 * ROWS), "pid": ids})
    with pytest.raises(PrivauditError, match="rounded"):
        read(frame, patient="pid")


def test_polars_patients_with_gaps_are_not_rounded_before_they_are_refused() -> None:
    frame = pl.DataFrame({"a": np.arange(2.0 * ROWS), "pid": range(ODD, ODD + 2 * ROWS)})
    found = read(frame, patient="pid")
    assert len(np.unique(found.members.patient)) == ROWS
    gaps = frame.with_columns(pid=pl.when(pl.int_range(pl.len()) > 3).then("pid"))
    with pytest.raises(PrivauditError, match="4 rows without a patient"):
        read(gaps, patient="pid")


@pytest.mark.parametrize("gone", [None, np.nan, pd.NA, pd.NaT, "", "nan", "<NA>", " "])
def test_whatever_is_missing_is_no_patient_no_outcome_and_no_group(gone: Any) -> None:
    texts: list[Any] = [f"p{i}" for i in range(2 * ROWS)]
    texts[3] = texts[70] = gone
    for values in (texts, pd.Series(texts, dtype=object)):
        with pytest.raises(PrivauditError, match="without a patient"):
            read(patient=cut(values))
        labels = pd.Series(["F", "M"] * ROWS, dtype=object)
        labels[3] = gone
        found = read(groups={"sex": cut(labels)})
        assert set(found.members.groups["sex"]) == {"F", "M", "not recorded"}
        died = pd.Series(["yes", "no"] * ROWS, dtype=object)
        died[3] = gone
        with pytest.raises(PrivauditError, match="1 outcomes are missing"):
            read(y=died.to_numpy())


@pytest.mark.parametrize("kind", ["string", "boolean", "Int64", "Float64", "category"])
def test_nullable_columns_are_read_as_missing_everywhere(kind: str) -> None:
    values: Any = {"string": ["a", "b"], "category": ["a", "b"]}.get(kind, [True, False])
    column = pd.Series(values * ROWS, dtype=object)
    column[::7] = None
    column = column.astype(kind)
    found = read(pd.DataFrame({"a": np.arange(2.0 * ROWS), "x": column}), groups="x")
    X = np.concatenate([found.members.X, found.nonmembers.X])
    assert np.isnan(X[:, 1]).sum() == column.isna().sum()
    assert set(np.unique(X[~np.isnan(X[:, 1]), 1])) == {0.0, 1.0}
    labels = np.concatenate([found.members.groups["x"], found.nonmembers.groups["x"]])
    assert (labels == "not recorded").sum() == column.isna().sum()
    assert not {"<NA>", "nan", "None"} & set(labels)
    with pytest.raises(PrivauditError, match="outcomes are missing"):
        read(y=column.array)


def test_what_lies_under_a_mask_is_missing() -> None:
    X = np.ma.masked_array(np.arange(4.0 * ROWS).reshape(-1, 2), mask=False)
    X.mask[5, 1] = True
    assert np.isnan(read(X).members.X[5, 1])
    y = np.ma.masked_array(np.arange(2 * ROWS) % 2, mask=np.arange(2 * ROWS) == 7)
    with pytest.raises(PrivauditError, match="1 outcomes are missing"):
        read(y=y)
    ids = np.ma.masked_array(np.arange(2 * ROWS), mask=np.arange(2 * ROWS) == 7)
    with pytest.raises(PrivauditError, match="1 rows without a patient"):
        read(patient=cut(ids))


def test_values_that_differ_by_type_alone_and_dates_are_refused_by_name() -> None:
    ward = pd.Series([1, "1"] * ROWS, dtype=object)
    with pytest.raises(PrivauditError, match="differ by their type alone"):
        read(pd.DataFrame({"ward": ward}))
    for cells in (["2150-01-31", "2150-02-01"], ["01-FEB-2102", "02-FEB-2102"]):
        with pytest.raises(PrivauditError, match="a column of dates") as caught:
            read(pd.DataFrame({"admitted": cells * ROWS}))
        assert "2150" not in str(caught.value)


def test_patients_and_groups_of_two_tools_are_refused() -> None:
    with pytest.raises(PrivauditError, match="differ by case, blanks or zeros"):
        read(patient=([f"{i:04d}" for i in range(ROWS)], list(range(ROWS))))
    with pytest.raises(PrivauditError, match="groups whose names differ by case"):
        read(groups={"unit": (["MICU"] * ROWS, ["micu"] * ROWS)})


@pytest.mark.parametrize("gone", [None, np.nan, pd.NA, "", "<NA>", "n/a", "None"])
def test_canaries_without_a_patient_or_a_score_are_refused(gone: Any) -> None:
    scores: list[Any] = np.linspace(-1, 1, 2 * ROWS).tolist()
    frame = pd.DataFrame({"score": scores, "member": [0, 1] * ROWS})
    frame["patient"] = pd.Series([f"p{i}" for i in range(2 * ROWS)], dtype=object)
    frame.loc[:3, "patient"] = gone
    with pytest.raises(PrivauditError, match="have no patient"):
        read_canaries(frame, patient="patient")
    frame["score"] = frame["score"].astype(object)
    frame.loc[:3, "score"] = gone
    with pytest.raises(PrivauditError, match="have no score"):
        read_canaries(frame)
