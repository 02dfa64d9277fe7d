"""Sensitive values, links, changes and what was not declared, against known answers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from privaudit.deidentified.changes import find_path, try_changes
from privaudit.deidentified.linkage import link, link_register
from privaudit.deidentified.measure import collapse_copies, count_strictest, get_classes
from privaudit.deidentified.read import align, read_column, read_release
from privaudit.deidentified.sensitive import measure_sensitive
from privaudit.deidentified.undeclared import find_notes, follows, refuse_identifiers
from privaudit.errors import PrivauditError


def values(risk: object) -> dict[str, float]:
    return {one.metric.name: one.value for one in risk.estimates}  # type: ignore[attr-defined]


# ---------------------------------------------------------------- sensitive values


@pytest.mark.parametrize("seed", range(5))
def test_what_a_class_gives_away_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"q": rng.integers(0, 9, 80), "s": rng.choice(list("xyz"), 80)})
    table = read_release(frame, ("q",), patient="")
    found = values(
        measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    )
    by_class = {q: list(part["s"]) for q, part in frame.groupby("q")}
    overall = Counter(frame["s"])

    def right(own: str, others: list[str]) -> float:
        counts = Counter(others)
        top = max(counts.values(), default=0)
        best = [value for value, count in counts.items() if count == top]
        return float(own in best) / len(best) if best else 0.0

    alone = inside = without = 0.0
    for q, own in zip(frame["q"], frame["s"], strict=True):
        same = by_class[q]
        alone += len(set(same)) == 1
        inside += right(own, same)
        rest = list(same)
        rest.remove(own)
        without += right(own, rest)
    assert found["disclosed_share"] == pytest.approx(alone / 80)
    assert found["right_share"] == pytest.approx(inside / 80)
    assert found["right_without"] == pytest.approx(without / 80)
    assert found["guess_share"] == pytest.approx(max(overall.values()) / 80)


def test_a_large_class_of_one_value_gives_it_away() -> None:
    frame = pd.DataFrame({"q": ["a"] * 50 + ["b"] * 50, "s": ["hiv"] * 50 + ["x", "y"] * 25})
    table = read_release(frame, ("q",), patient="")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    assert count_strictest(table).min() == 50
    assert values(risk)["disclosed_share"] == values(risk)["disclosed_large"] == 0.5
    assert risk.least_values == 1


def test_a_value_that_is_missing_hides_nothing() -> None:
    frame = pd.DataFrame({"q": ["a"] * 20, "s": ["hiv"] * 19 + [None]})
    table = read_release(frame, ("q",), patient="")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    assert values(risk)["disclosed_share"] == 1.0
    empty = frame.assign(s=None)
    table = read_release(empty, ("q",), patient="")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    assert risk.estimates == ()


def test_a_class_in_which_nearly_all_have_a_value_is_described() -> None:
    frame = pd.DataFrame(
        {"q": ["a"] * 100 + ["b"] * 100, "s": ["x"] * 97 + ["y"] * 53 + ["z"] * 50}
    )
    table = read_release(frame, ("q",), patient="")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    assert values(risk)["disclosed_share"] == 0
    assert values(risk)["disclosed_nearly"] == pytest.approx(97 / 200)


def test_numbers_are_read_in_bands() -> None:
    rng = np.random.default_rng(0)
    q = np.repeat(np.arange(20), 30)
    frame = pd.DataFrame({"q": q, "cost": q * 1000 + rng.random(600)})
    table = read_release(frame, ("q",), patient="")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["cost"]), 0.95)
    assert risk.banded
    assert values(risk)["disclosed_share"] > 0.9


# ---------------------------------------------------------------- links


def draw(n: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 90, n),
            "sex": rng.choice(["f", "m"], n),
            "town": rng.choice([f"t{i}" for i in range(40)], n),
        }
    )


def find_links(
    frame: pd.DataFrame, error: float, missing: float, columns: tuple[str, ...] = ()
) -> dict[str, float]:
    table = read_release(frame, columns or tuple(frame.columns), patient="")
    rng = np.random.default_rng(5)
    return values(
        link(table, error=error, missing=missing, tolerances={}, rng=rng, confidence=0.95)
    )


def test_an_exact_list_links_as_the_classes_say() -> None:
    frame = draw()
    table = read_release(frame, tuple(frame.columns), patient="")
    expected = float((1 / count_strictest(table)).mean())
    assert find_links(frame, 0, 0)["best_right"] == pytest.approx(expected, abs=1e-9)


def test_patients_who_are_all_alike_are_linked_by_chance() -> None:
    frame = draw().assign(age=50, sex="f", town="t")
    found = find_links(frame, 0, 0)
    assert found["best_right"] == pytest.approx(1 / 600)
    assert found["claimed_right"] == 0


def test_links_of_patients_who_are_alone_are_found_and_others_not_claimed() -> None:
    rng = np.random.default_rng(1)
    names = [f"c{i}" for i in range(8)]
    frame = pd.DataFrame(rng.integers(0, 12, (600, 8)).astype(str), columns=names)
    exact, noisy = find_links(frame, 0, 0), find_links(frame, 0.1, 0.1)
    assert exact["best_right"] == exact["claimed_right"] == 1
    assert exact["claimed_false"] == 0
    assert 0.9 < noisy["best_right"] <= 1
    assert noisy["claimed_false"] < 0.05
    worse = find_links(frame, 0.6, 0.3)
    assert worse["best_right"] < noisy["best_right"]


# ---------------------------------------------------------------- changes


def test_changes_are_computed_on_the_table() -> None:
    frame = draw()
    table = read_release(frame, tuple(frame.columns), patient="")
    changes = {(c.column, c.step, c.width): c for c in try_changes(table, 5)}

    def expected(part: pd.DataFrame) -> tuple[float, float, float]:
        sizes = part.groupby(list(part.columns)).transform("size") if len(part.columns) else None
        sizes = part.groupby(list(part.columns))[part.columns[0]].transform("size")
        return float((sizes == 1).mean()), float((1 / sizes).mean()), float((sizes < 5).mean())

    def got(key: tuple[str, str, float]) -> tuple[float, float, float]:
        return changes[key].unique, changes[key].average, changes[key].suppressed

    assert got(("", "none", 0.0)) == pytest.approx(expected(frame))
    assert got(("town", "left_out", 0.0)) == pytest.approx(expected(frame[["age", "sex"]]))
    banded = frame.assign(age=frame["age"] // 10)
    assert got(("age", "band", 10.0)) == pytest.approx(expected(banded))


def test_leaving_out_the_patients_that_are_named_reaches_k() -> None:
    frame = draw(2_000).drop(columns="town")
    table = read_release(frame, ("age", "sex"), patient="")
    sizes = count_strictest(table)
    kept = frame[sizes >= 12]
    again = count_strictest(read_release(kept, ("age", "sex"), patient=""))
    assert again.min() >= 12
    named = try_changes(table, 12)[0].suppressed
    assert named == pytest.approx(1 - len(kept) / len(frame))


def test_the_path_leaves_fewer_to_be_left_out_at_every_step() -> None:
    table = read_release(draw(), ("age", "sex", "town"), patient="")
    changes = try_changes(table, 10)
    path = find_path(table, 10, 0.01, changes)
    shares = [changes[0].suppressed, *(c.suppressed for c in path)]
    assert path
    assert shares == sorted(shares, reverse=True)
    assert find_path(table, 1, 0.01, try_changes(table, 1)) == []


def test_dates_become_months_and_years() -> None:
    days = pd.date_range("2019-01-01", periods=730).strftime("%Y-%m-%d")
    table = read_release(pd.DataFrame({"day": list(days) * 2}), ("day",), patient="")
    assert table.quasi[0].kind == "date"
    highest = {c.step: c.highest for c in try_changes(table, 5)}
    assert highest == {
        "none": 0.5,
        "month": pytest.approx(1 / 56),
        "year": pytest.approx(1 / 730),
    }


# ---------------------------------------------------------------- what was not declared


def test_a_birth_date_beside_the_age_is_a_finer_form_of_it() -> None:
    rng = np.random.default_rng(0)
    born = pd.Timestamp("1930-01-01") + pd.to_timedelta(rng.integers(0, 25_000, 4_000), unit="D")
    zip5 = rng.integers(10_000, 10_400, 4_000)
    frame = pd.DataFrame(
        {
            "age": 2020 - born.year,
            "zip3": zip5 // 100,
            "born_on": born.strftime("%Y-%m-%d"),
            "plz": zip5,
            "weight": rng.normal(70, 10, 4_000).round(1),
            "ward": rng.choice(list("abc"), 4_000),
        }
    )
    table = read_release(frame, ("age", "zip3"), patient="")
    notes = find_notes(table, (), "", ())
    finer = {n.params["quasi"]: n.params["columns"] for n in notes if n.code == "finer_column"}
    assert finer == {"age": ("born_on",), "zip3": ("plz",)}
    assert [n.params["columns"] for n in notes if n.code == "known_column"] == [("born_on",)]
    stated = find_notes(table, (), "", ("born_on", "plz"))
    assert not any(n.code in ("finer_column", "known_column") for n in stated)


def test_a_column_that_names_every_patient_determines_nothing_and_singles_out() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(20, 60, 500), "bed": rng.permutation(500)})
    notes = find_notes(read_release(frame, ("age",), patient=""), (), "", ())
    assert [(n.code, n.params["columns"]) for n in notes] == [("singles_out", ("bed",))]
    assert not follows(np.arange(500), rng.integers(0, 5, 500))


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("first_name", ["ann", "bob"]),
        ("mrn", ["1", "2"]),
        ("contact", ["a@b.org", "c@d.org"]),
        ("number", ["123-45-6789", "987-65-4321"]),
        ("ip_address", ["x", "y"]),
    ],
)
def test_direct_identifiers_are_refused(name: str, cells: list[str]) -> None:
    frame = pd.DataFrame({"age": np.arange(40) % 4, name: cells * 20})
    table = read_release(frame, ("age",), patient="")
    with pytest.raises(PrivauditError, match=name):
        refuse_identifiers(table.frame, "", ())
    refuse_identifiers(table.frame, "", (name,))


def test_rows_copied_whole_are_one_patient_and_patients_alike_are_not() -> None:
    rng = np.random.default_rng(0)
    base = pd.DataFrame({"q": np.arange(60), "lab": rng.normal(size=60), "b": rng.random(60)})
    many = pd.concat([base] * 10, ignore_index=True)
    table = read_release(many, ("q",), patient="")
    rest = [read_column(table.frame[c]).codes for c in ("lab", "b")]
    one, more = collapse_copies(table, rest)
    assert (one.patients, more) == (60, 540)
    assert count_strictest(one).max() == 1
    few = pd.DataFrame({"q": rng.integers(0, 10, 600), "ward": rng.choice(list("ab"), 600)})
    table = read_release(few, ("q",), patient="")
    assert collapse_copies(table, [read_column(table.frame["ward"]).codes])[1] == 0
    assert collapse_copies(read_release(many[["q"]], ("q",), patient=""), [])[1] == 0


def test_case_blanks_and_forms_of_numbers_are_one_level() -> None:
    frame = pd.DataFrame({"sex": ["F", "f ", " F", "m"] * 3, "n": ["1", "1.0", "01", "2"] * 3})
    table = read_release(frame, ("sex", "n"), patient="")
    assert [len(q.levels) for q in table.quasi] == [2, 2]
    assert [q.respelled for q in table.quasi] == [1, 2]
    assert count_strictest(table).tolist() == [9, 9, 9, 3] * 3


def test_a_real_register_links_those_who_are_alone_and_nobody_else() -> None:
    rng = np.random.default_rng(1)
    names = [f"c{i}" for i in range(8)]
    frame = pd.DataFrame(rng.integers(0, 12, (900, 8)).astype(str), columns=names)
    frame["patient_id"] = [f"p{i}" for i in range(900)]
    register = frame.copy()
    wrong = rng.random(900) < 0.2
    register.loc[wrong, "c0"] = "elsewhere"
    table = read_release(frame.head(300), names, patient="patient_id")
    found = link_register(
        table,
        align(table, read_release(register, names, patient="patient_id")),
        rng=np.random.default_rng(0),
        confidence=0.95,
    )
    assert found is not None
    assert found.real
    assert 0.01 < found.error < 0.05
    assert values(found)["claimed_right"] > 0.99
    assert values(found)["claimed_false"] < 0.01


def test_a_value_that_all_patients_of_a_class_share_is_given_away() -> None:
    frame = pd.DataFrame(
        {
            "who": np.repeat(np.arange(20), 2),
            "q": "a",
            "s": [x for i in range(20) for x in ("hiv", "abcd"[i % 4])],
        }
    )
    table = read_release(frame, ("q",), patient="who")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    assert values(risk)["disclosed_share"] == 1.0
    other = frame.assign(s=[x for i in range(20) for x in ("efgh"[i % 4], "abcd"[i % 4])])
    table = read_release(other, ("q",), patient="who")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    assert values(risk)["disclosed_share"] == 0.0


def test_a_number_that_is_mostly_zero_is_not_one_band() -> None:
    rng = np.random.default_rng(0)
    cost = np.where(rng.random(400) < 0.9, 0, rng.gamma(2, 100, 400))
    table = read_release(pd.DataFrame({"q": np.arange(400) // 40, "s": cost}), ("q",), patient="")
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame["s"]), 0.95)
    assert values(risk)["disclosed_share"] < 0.2
