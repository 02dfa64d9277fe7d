"""Verdicts: no table is within its limits that somebody can be found in, and no false alarm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import privaudit
from privaudit.deidentified.document import Attacker, Known, Missing, from_json, to_json
from privaudit.errors import PrivauditError


def audit(frame: pd.DataFrame, columns: str = "age,sex", **more: Any) -> privaudit.ReleaseFindings:
    return privaudit.audit_release(frame, columns.split(","), **more)


def codes(found: privaudit.ReleaseFindings) -> set[str]:
    return {note.code.value for note in found.audit.notes}


def test_a_table_of_large_classes_is_within(coarse: pd.DataFrame) -> None:
    found = audit(coarse, sensitive=["diagnosis"], min_k=20, max_risk=0.05, max_disclosed=0)
    assert found.state == "WITHIN"
    assert found.audit.k == 100
    assert audit(coarse, not_known=["diagnosis"], min_k=101).state == "EXCEEDS"
    assert audit(coarse, max_risk=0.01).state == "WITHIN"
    assert audit(coarse, max_risk=0.0099).state == "EXCEEDS"
    assert audit(coarse, max_average_risk=0.01).state == "WITHIN"
    assert audit(coarse, max_average_risk=0.0099).state == "EXCEEDS"


def test_without_a_limit_nothing_is_judged(fine: pd.DataFrame) -> None:
    found = audit(fine)
    assert (found.state, found.audit.code, found.audit.rules) == ("NO LIMIT", 0, ())
    assert "asked for" in repr(found)


def test_one_patient_alone_exceeds(coarse: pd.DataFrame) -> None:
    one = pd.concat([coarse, pd.DataFrame({"age": [99], "sex": ["f"], "diagnosis": ["a"]})])
    assert audit(one, min_k=2).state == "EXCEEDS"
    assert audit(one, max_unique=0).state == "EXCEEDS"
    assert audit(one, max_unique=0.001).state == "WITHIN"


def test_a_large_class_of_one_diagnosis_exceeds_what_may_be_given_away(
    coarse: pd.DataFrame,
) -> None:
    leaky = coarse.assign(diagnosis=np.where(coarse["age"] == 80, "a", coarse["diagnosis"]))
    found = audit(leaky, sensitive=["diagnosis"], min_k=50, max_disclosed=0.1)
    assert found.state == "EXCEEDS"
    assert [rule.state.value for rule in found.audit.rules] == ["WITHIN", "EXCEEDS"]


def test_a_sensitive_column_without_a_limit_keeps_from_within(coarse: pd.DataFrame) -> None:
    found = audit(coarse, sensitive=["diagnosis"], min_k=5)
    assert found.state == "INCONCLUSIVE"
    assert "sensitive_not_limited" in codes(found)


def test_an_undeclared_finer_column_keeps_from_within(coarse: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    finer = coarse.assign(months=coarse["age"] * 12 + rng.integers(0, 12, 1200))
    found = audit(finer, min_k=5)
    assert found.state == "INCONCLUSIVE"
    assert "finer_column" in codes(found)
    assert audit(finer, min_k=5, not_known=["months"]).state == "WITHIN"
    assert audit(finer, "age,sex,months", min_k=50).state == "EXCEEDS"


def test_copied_rows_do_not_make_classes_large() -> None:
    rng = np.random.default_rng(0)
    base = pd.DataFrame(
        {"age": np.arange(20, 60), "sex": ["f", "m"] * 20, "lactate": rng.gamma(2, 1, 40)}
    )
    many = pd.concat([base] * 12, ignore_index=True)
    found = audit(many, min_k=5)
    assert found.state == "EXCEEDS"
    assert "copied_rows" in codes(found)
    named = many.assign(patient_id=np.tile(np.arange(40), 12))
    assert audit(named, min_k=5).state == "EXCEEDS"
    assert audit(named, min_k=5).audit.several


def test_ways_of_writing_that_hide_a_small_class_keep_from_within(coarse: pd.DataFrame) -> None:
    odd = coarse.astype({"sex": object})
    odd.loc[0, "sex"] = " F"
    found = audit(odd, min_k=5)
    assert found.state == "INCONCLUSIVE"
    assert {"spellings_merged", "spellings_decide"} <= codes(found)
    assert audit(coarse, min_k=5).state == "WITHIN"


def test_a_quasi_identifier_of_nothing_keeps_from_within(coarse: pd.DataFrame) -> None:
    empty = coarse.assign(town=None)
    found = audit(empty, "age,sex,town", min_k=5)
    assert found.state == "INCONCLUSIVE"
    assert "nothing_recorded" in codes(found)
    unknown = coarse.assign(town="Unknown")
    assert audit(unknown, "age,sex,town", min_k=5).state == "INCONCLUSIVE"


def test_missing_values_are_a_value_and_a_wildcard_and_the_worse_decides(
    coarse: pd.DataFrame,
) -> None:
    gaps = coarse.astype({"sex": object})
    gaps.loc[:1, "sex"] = None
    found = audit(gaps, min_k=5)
    by_view = {
        risk.missing: risk.get("max_risk").value  # type: ignore[union-attr]
        for risk in found.audit.risks
        if risk.attacker is Attacker.PROSECUTOR
    }
    assert by_view[Missing.VALUE] == pytest.approx(1 / 2)
    assert by_view[Missing.WILDCARD] == pytest.approx(1 / 100)
    assert found.state == "EXCEEDS"
    alone = audit(gaps, min_k=5, missing="wildcard")
    assert alone.state == "INCONCLUSIVE"
    assert "wildcard_decides" in codes(alone)
    many = coarse.assign(sex=coarse["sex"].mask(np.arange(len(coarse)) % 3 == 0))
    assert audit(many, min_k=5, missing="wildcard").state == "WITHIN"


def test_numbers_with_decimals_tell_everybody_apart(coarse: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    exact = coarse.assign(weight=rng.normal(70, 9, 1200))
    found = audit(exact, "age,sex,weight", max_risk=0.5)
    assert found.state == "EXCEEDS"
    assert "measured" in codes(found)
    rounded = audit(exact, "age,sex,weight", tolerance={"weight": 40}, max_risk=0.5)
    assert rounded.state == "WITHIN"


def test_who_knows_all_records_is_stronger_than_who_knows_one() -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(400), 5)
    frame = pd.DataFrame({"patient_id": who, "ward": rng.choice(list("abcd"), 2000)})
    found = audit(frame, "ward", max_average_risk=0.05)
    one = found.audit.risk(known=Known.ONE_RECORD)
    every = found.audit.risk(known=Known.ALL_RECORDS)
    assert one is not None
    assert every is not None
    assert one.get("average_risk").value < 0.01  # type: ignore[union-attr]
    assert every.get("average_risk").value > 0.1  # type: ignore[union-attr]
    assert found.state == "EXCEEDS"


# ---------------------------------------------------------------- the population


def test_a_register_counts_the_population() -> None:
    rng = np.random.default_rng(0)
    everybody = pd.DataFrame(
        {"age": rng.integers(20, 60, 3000), "sex": rng.choice(["f", "m"], 3000)}
    )
    sample = everybody.sample(600, random_state=1)
    found = audit(sample, population=everybody, attacker="journalist", max_risk=0.05)
    sizes = everybody.groupby(["age", "sex"]).size()
    mine = sizes.loc[list(zip(sample["age"], sample["sex"], strict=True))].to_numpy()
    risk = found.audit.risk(Attacker.JOURNALIST)
    assert risk is not None
    assert risk.get("average_risk").value == pytest.approx((1 / mine).mean())  # type: ignore[union-attr]
    assert risk.get("max_risk").value == pytest.approx(1 / mine.min())  # type: ignore[union-attr]
    assert found.state == ("WITHIN" if mine.min() >= 20 else "EXCEEDS")
    assert audit(sample, population=everybody, max_risk=0.05).state == "EXCEEDS"


def test_a_register_that_is_no_population_keeps_from_within(coarse: pd.DataFrame) -> None:
    other = coarse.assign(age=coarse["age"] + 1)
    found = audit(coarse, population=other, attacker="journalist", min_k=5)
    assert found.state == "INCONCLUSIVE"
    assert "register_wrong" in codes(found)
    with pytest.raises(PrivauditError, match="population of"):
        audit(coarse, population=coarse.head(500))


def test_without_a_population_the_table_bounds_its_risk(
    coarse: pd.DataFrame, fine: pd.DataFrame
) -> None:
    assert audit(coarse, attacker="journalist", max_risk=0.05).state == "WITHIN"
    found = audit(fine, "age,sex,zip3", attacker="journalist", max_risk=0.05)
    assert found.state == "INCONCLUSIVE"
    assert "no_population" in codes(found)


def test_the_population_is_estimated_from_its_size(fine: pd.DataFrame) -> None:
    asked = {"attacker": "journalist", "max_unique": 0.05}
    many = audit(fine, "age,sex,zip3", population_size=60_000, **asked)
    assert many.state == "INCONCLUSIVE"
    same = audit(fine, "age,sex,zip3", sampling_fraction=1.0, **asked)
    assert same.state == "EXCEEDS"
    risk = same.audit.risk(Attacker.JOURNALIST)
    table = same.audit.risk(Attacker.PROSECUTOR)
    assert risk is not None
    assert table is not None
    assert risk.get("unique_share").value == table.get("unique_share").value  # type: ignore[union-attr]


# ---------------------------------------------------------------- the document


@pytest.mark.parametrize("exact", [True, False])
def test_the_document_is_read_back(fine: pd.DataFrame, exact: bool) -> None:
    found = audit(fine, "age,sex,zip3", sensitive=["diagnosis"], population_size=6000, max_risk=0.1)
    one = found.audit if exact else found.shared
    assert from_json(to_json(one)) == one


def test_small_counts_do_not_show_in_what_is_shared(coarse: pd.DataFrame) -> None:
    """One patient alone or eight, in one class or in several: what is shared is the same."""

    def share(lonely: list[int], ages: int) -> str:
        rare = pd.DataFrame({"age": lonely, "sex": "f", "diagnosis": "a"})
        table = pd.concat([coarse.iloc[: 1200 - len(rare)], rare], ignore_index=True)
        found = audit(table, sensitive=["diagnosis"], max_risk=0.05, seed=3)
        risks = [r for r in found.shared.risks if r.attacker is Attacker.PROSECUTOR]
        return repr(
            (
                [r.estimates[0] for r in risks],
                [r.get("max_risk") for r in risks],
                found.shared.k,
                found.shared.patients,
            )
        )

    documents = {
        share([90], 1),
        share([90, 91, 92], 3),
        share([90] * 3, 1),
        share(list(range(85, 93)), 8),
    }
    assert len({d for d in documents if "unique" in d}) <= 2
    assert share([90], 1) == share([90, 91, 92], 3)


def test_every_shared_share_is_of_tens_of_patients(fine: pd.DataFrame) -> None:
    found = audit(fine, "age,sex,zip3", sensitive=["diagnosis"], max_risk=0.1)
    assert found.shared.patients % 10 == 0
    for risk in found.shared.risks:
        for one in risk.estimates:
            if one.metric.name == "max_risk":
                assert one.high in (1.0, 0.1)
                continue
            for value in (one.value, one.low, one.high):
                if value is not None:
                    assert abs(value * 60 - round(value * 60)) < 0.02
    for change in found.shared.changes:
        assert abs(change.suppressed * 60 - round(change.suppressed * 60)) < 0.02
        assert change.highest in (1.0,) or change.highest <= 0.1
    assert all(risk.least_values is None for risk in found.shared.sensitive_risks)


def test_a_register_of_one_row_a_person_does_not_count_who_has_all_records() -> None:
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"patient_id": np.arange(3000), "ward": rng.choice(list("abcd"), 3000)})
    several = pd.concat(
        [people.head(400).assign(ward=rng.choice(list("abcd"), 400))] * 1 + [people.head(400)]
    )
    asked = {"attacker": "journalist", "max_risk": 0.01}
    found = audit(several, "ward", patient="patient_id", population=people, **asked)
    every = found.audit.risk(Attacker.JOURNALIST)
    assert every is not None
    assert every.source.value == "bound"
    assert found.state == "INCONCLUSIVE"


def test_a_register_that_names_only_some_patients_keeps_from_within(coarse: pd.DataFrame) -> None:
    named = coarse.assign(patient_id=np.arange(1200))
    everybody = pd.concat([named, named.assign(patient_id=named["patient_id"] + 5000)]).iloc[:-1]
    asked = {"attacker": "journalist", "min_k": 5}
    assert audit(named, population=everybody, **asked).state == "WITHIN"
    found = audit(named, population=everybody.iloc[100:], **asked)
    assert found.state == "INCONCLUSIVE"
    assert "register_wrong" in codes(found)
    others = everybody.assign(patient_id=[f"other-{i}" for i in range(2399)])
    assert audit(named, population=others, **asked).state == "WITHIN"


def test_a_sampling_fraction_gives_the_number_of_patients_away_in_no_shared_number() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(20, 60, 1203)})
    found = audit(frame, "age", sampling_fraction=0.3)
    assert found.audit.population == 4010
    assert found.shared.population == 4010 - 4010 % 10
    assert found.shared.patients == 1200
    again = audit(frame.head(1201), "age", sampling_fraction=0.3)
    assert (again.audit.population, again.shared.population) == (4003, 4000)
