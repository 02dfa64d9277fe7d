"""Tables prepared so that they look harmless, and what keeps them from being within limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import privaudit
from privaudit.errors import PrivauditError
from privaudit.report.wording.release import word_verdict

N = 1200
RNG = np.random.default_rng(5)
FINE = pd.DataFrame(
    {
        "age": RNG.integers(20, 95, 60),
        "sex": RNG.choice(["f", "m"], 60),
        "lab": RNG.normal(size=60).round(3),
    }
)
LONELY = pd.DataFrame({"age": 99, "sex": "f", "diagnosis": list("abcdab")})


def audit(frame: pd.DataFrame, columns: str = "age,sex", **more: Any) -> privaudit.ReleaseFindings:
    return privaudit.audit_release(frame, columns.split(","), **more)


def codes(found: privaudit.ReleaseFindings) -> set[str]:
    return {note.code.value for note in found.audit.notes}


@pytest.mark.parametrize("lab", ["kept", "stirred", "dropped"])
@pytest.mark.parametrize("how", ["patient", "pseudonyms", "undeclared"])
def test_rows_copied_under_new_names_keep_from_within(how: str, lab: str) -> None:
    many = pd.concat([FINE] * 12, ignore_index=True)
    many["code"] = [f"q{i}" for i in range(len(many))]
    if lab == "stirred":
        many["lab"] += np.random.default_rng(0).normal(size=len(many)) * 1e-6
    if lab == "dropped":
        many = many.drop(columns="lab")
    more: dict[str, Any] = {"patient": {"patient": "code"}, "pseudonyms": {"pseudonyms": ["code"]}}
    found = audit(many, min_k=5, **more.get(how, {}))
    assert found.audit.k == 12
    assert found.state == "INCONCLUSIVE"
    assert "copied_patients" in codes(found) or lab == "stirred"


@pytest.mark.parametrize(
    "names",
    [
        ["X1", "x1", " X1", "X1 ", "x1\u00a0", "X1\u200b"],
        ["0012", "12", "12.0", "012", "1.2e1", "00012"],
        ["AB-1", "AB1", "AB_1", "AB 1", "ab-1", "AB–1"],
    ],
)
def test_one_patient_under_six_spellings_is_no_class_of_six(
    coarse: pd.DataFrame, names: list[str]
) -> None:
    named = coarse.assign(code=[str(1000 + i) for i in range(N)])
    found = audit(pd.concat([named, LONELY.assign(code=names)]), patient="code", min_k=5)
    assert found.state != "WITHIN"


@pytest.mark.parametrize("how", ["pseudonyms", "not_known", ""])
def test_rows_of_one_patient_that_no_column_is_said_to_name(coarse: pd.DataFrame, how: str) -> None:
    named = coarse.assign(code=[f"h{i}" for i in range(N)])
    found = audit(
        pd.concat([named, LONELY.assign(code="z")]), min_k=5, **({how: ["code"]} if how else {})
    )
    assert found.audit.k == 6
    assert found.state == "INCONCLUSIVE"
    assert "repeated_names" in codes(found)
    assert audit(named, min_k=5, pseudonyms=["code"]).state == "WITHIN"


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("gps", [f"{50 + i / 997:.5f},8.1" for i in range(N)]),
        ("remark", [f"fell off his bike, ward {i % 40}" for i in range(N)]),
        ("ts", [1577836800 + 7919 * i for i in range(N)]),
        ("admitted", [20200101 + 100 * (i % 12) + i % 28 for i in range(N)]),
        ("yob", [1920 + i % 80 for i in range(N)]),
        ("plz", [10000 + 71 * i for i in range(N)]),
        ("fall", [f"{i:08d}" for i in range(N)]),
    ],
)
def test_undeclared_columns_that_name_by_themselves_keep_from_within(
    coarse: pd.DataFrame, name: str, cells: list[Any]
) -> None:
    more = coarse.assign(**{name: np.random.default_rng(0).permutation(cells)})
    found = audit(more, min_k=5)
    assert found.state == "INCONCLUSIVE"
    assert codes(found) & {"singles_out", "known_column"}
    stated = audit(more, min_k=5, not_known=[name])
    assert stated.state == "WITHIN"
    assert "not_known" in codes(stated)


def test_one_other_value_in_a_class_of_a_rare_diagnosis_hides_nobody(
    coarse: pd.DataFrame,
) -> None:
    where = coarse["age"] == 80
    rare = np.where(where | (np.arange(N) % 50 < 2), "hiv", "none").astype(object)
    rare[-2:] = "none"
    found = audit(coarse.assign(dx=rare), sensitive=["dx"], min_k=5, max_disclosed=0.05)
    assert [rule.state.value for rule in found.audit.rules] == ["WITHIN", "WITHIN"]
    assert (found.state, "nearly_given_away" in codes(found)) == ("INCONCLUSIVE", True)
    rare[np.flatnonzero(where)] = np.where(np.arange(200) % 4 < 2, "unknown", "hiv")
    hidden = audit(coarse.assign(dx=rare), sensitive=["dx"], min_k=5, max_disclosed=0.05)
    assert hidden.state == "EXCEEDS"


def test_a_diagnosis_that_classes_give_away_has_to_be_named(coarse: pd.DataFrame) -> None:
    found = audit(coarse.assign(hiv=(coarse["age"] == 80).astype(int)), min_k=5)
    assert (found.state, "sensitive_not_named" in codes(found)) == ("INCONCLUSIVE", True)


@pytest.mark.parametrize(
    "limit",
    [{"min_k": 1}, {"max_risk": 1.0}, {"max_average_risk": 1.0}, {"max_unique": 1.0}],
)
def test_a_limit_that_no_table_can_exceed_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(PrivauditError, match="any table is within it"):
        audit(FINE, **limit)


def test_a_tolerance_of_all_ages_is_refused() -> None:
    with pytest.raises(PrivauditError, match="not known at all"):
        audit(FINE, min_k=5, tolerance={"age": 100})


def test_a_register_whose_rows_were_copied_keeps_from_within() -> None:
    rng = np.random.default_rng(3)
    people = pd.DataFrame({"age": rng.integers(20, 95, 3000), "sex": rng.choice(["f", "m"], 3000)})
    table = people.sample(300, random_state=1)
    asked = {"attacker": "journalist", "min_k": 5}
    assert audit(table, population=people, **asked).state == "WITHIN"
    copied = pd.concat([people] * 3, ignore_index=True)
    for register in (
        copied,
        pd.concat([table] * 20).assign(person_id=np.arange(6000)),
        copied.assign(label=np.tile([f"n{i}" for i in range(3000)], 3)).iloc[:-1],
    ):
        found = audit(table, population=register, **asked)
        assert (found.state, "register_copied" in codes(found)) == ("INCONCLUSIVE", True)
    named = copied.assign(person_id=np.tile(np.arange(3000), 3))
    once = audit(table, population=named, **asked).audit.population
    assert once == 3000


def test_what_was_taken_at_its_word_stands_with_the_verdict(coarse: pd.DataFrame) -> None:
    found = audit(
        coarse,
        "age",
        tolerance={"age": 1},
        not_known=["sex"],
        population_size=5000,
        attacker="journalist",
        min_k=5,
    )
    said = word_verdict(found.shared)
    assert found.state == "WITHIN"
    for part in ("nobody outside knows sex", "age within a tolerance", "5,000", "random sample"):
        assert part in said
    gaps = coarse.assign(sex=coarse["sex"].mask(np.arange(N) % 3 == 0))
    assert "fits all" in word_verdict(audit(gaps, missing="wildcard", min_k=5).shared)


def test_the_path_tells_one_patient_from_ten_nowhere() -> None:
    """Of 100 patients one is 1 %: where the path ended would say that it is one."""
    ages = np.repeat([30, 40, 50, 60, 70], 20)
    for lonely in (1, 2, 4):
        frame = pd.DataFrame({"age": np.append(ages, 90 + np.arange(lonely))})
        shared = audit(frame, "age").shared
        assert [c.suppressed for c in shared.changes if c.column == ""] == [0.1]
        assert not [c for c in shared.changes if c.path]
