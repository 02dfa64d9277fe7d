"""Classes are counted in patients, by brute force on small tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.deidentified.classes import Matcher, count_patients, pack, profile, rank
from privaudit.deidentified.measure import count_by_record, count_strictest, get_classes
from privaudit.deidentified.read import read_release

LEVELS = ("a", "b", "unknown", None)


def draw(seed: int, rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "who": rng.integers(0, rows // 2, rows).astype(str),
            "age": rng.integers(20, 30, rows),
            "height": np.where(rng.random(rows) < 0.2, np.nan, rng.integers(150, 156, rows)),
            "town": rng.choice(np.array(LEVELS, dtype=object), rows),
        }
    )


def fits(a: object, b: object, width: float, wildcard: bool) -> bool:
    gone = [x is None or x != x or (wildcard and x == "unknown") for x in (a, b)]
    if any(gone):
        return wildcard or (all(gone))
    if width and not isinstance(a, str) and not isinstance(b, str):
        return abs(float(a) - float(b)) <= width  # type: ignore[arg-type]
    return a == b


@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize("widths", [{}, {"age": 1.0}, {"age": 2.0, "height": 1.0}])
@pytest.mark.parametrize("seed", range(4))
def test_wildcards_and_tolerances_by_brute_force(
    seed: int, widths: dict[str, float], wildcard: bool
) -> None:
    frame = draw(seed).drop(columns="who")
    table = read_release(frame, tuple(frame.columns), patient="")
    found = Matcher(widths, wildcard=wildcard).count(table, table)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    expected = [
        sum(
            all(fits(a[c], b[c], widths.get(c, 0.0), wildcard) for c in frame.columns) for b in rows
        )
        for a in rows
    ]
    assert found is not None
    assert found.tolist() == expected


@pytest.mark.parametrize("seed", range(4))
def test_patients_are_counted_and_not_rows(seed: int) -> None:
    frame = draw(seed)
    table = read_release(frame, ("age", "town"), patient="who")
    key, _ = get_classes(table)
    rows = list(zip(frame["age"], frame["town"].fillna("-"), strict=True))
    owner = frame["who"].tolist()
    least = {
        who: min(
            len({o for o, r in zip(owner, rows, strict=True) if r == row})
            for o, row in zip(owner, rows, strict=True)
            if o == who
        )
        for who in owner
    }
    sets = {w: sorted(r for o, r in zip(owner, rows, strict=True) if o == w) for w in owner}
    same = {w: sum(sets[w] == other for other in sets.values()) for w in sets}
    assert [least[w] for w in table.names] == count_by_record(table, key).tolist()
    assert [same[w] for w in table.names] == count_strictest(table).tolist()


def test_copying_the_rows_of_a_patient_makes_no_class_larger() -> None:
    frame = draw(1)
    many = pd.concat([frame] * 10)
    for columns in (("age",), ("age", "town")):
        once = read_release(frame, columns, patient="who")
        often = read_release(many, columns, patient="who")
        assert count_by_record(once, get_classes(once)[0]).tolist() == (
            count_by_record(often, get_classes(often)[0]).tolist()
        )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 2)), min_size=1, max_size=30))
def test_packed_keys_are_equal_where_rows_are(rows: list[tuple[int, int]]) -> None:
    columns = np.array(rows, dtype=np.int64).T
    key = rank(pack(list(columns), len(rows)))
    assert len(set(key.tolist())) == len(set(rows))
    assert all((key[i] == key[j]) == (rows[i] == rows[j]) for i in range(len(rows)) for j in (0,))


def test_keys_of_very_many_columns_do_not_overflow() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.integers(-1, 1000, 50) for _ in range(40)]
    key = rank(pack(columns, 50))
    assert len(np.unique(key)) == len(np.unique(np.stack(columns, 1), axis=0))


def test_a_profile_is_a_set_of_rows_with_how_often_each_is_there() -> None:
    patient = np.array([0, 0, 1, 1, 2, 2, 2, 3])
    key = np.array([5, 7, 7, 5, 5, 7, 7, 5])
    found = profile(key, patient, 4)
    assert found[0] == found[1]
    assert len({found[0], found[2], found[3]}) == 3


def test_counting_patients_of_a_key() -> None:
    key, patient = np.array([0, 0, 0, 1]), np.array([4, 4, 2, 2])
    assert count_patients(key, patient).tolist() == [2, 2, 2, 1]
