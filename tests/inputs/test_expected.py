"""The owner's own probabilities: equal to 1e-5 and recorded, or refused with the likely cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import ask, stay

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode

LABELS = ("survived", "died")
MEMBERS, NONMEMBERS = stay(200, 1, labels=LABELS), stay(200, 2, 5000, labels=LABELS)
FEATURES = ["age", "lab", "adm"]
ROWS = np.arange(0, 200, 10)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from xgboost import XGBClassifier

    made = XGBClassifier(n_estimators=15, n_jobs=1)
    made.fit(MEMBERS[FEATURES], (MEMBERS.y == "survived").astype(int))
    made.save_model(tmp_path / "m.json")
    return made


def expect(tmp_path: Path, table: pd.DataFrame, **how: Any) -> Caveat:
    stated = {"classes": ("died", "survived")} | how
    found = ask(tmp_path / "m.json", MEMBERS, NONMEMBERS, expected=table, **stated)
    (one,) = [note for note in found.notes if isinstance(note, Caveat)]
    assert one.code is CaveatCode.EXPECTED_ANSWERS
    return one


def test_equal_answers_are_recorded(model: Any, tmp_path: Path) -> None:
    p = model.predict_proba(MEMBERS[FEATURES])
    q = model.predict_proba(NONMEMBERS[FEATURES])
    tables = [
        pd.DataFrame({"row": ROWS, "p_survived": p[ROWS, 1]}),
        pd.DataFrame({"row": ROWS, "p_survived": p[ROWS, 1], "p_died": p[ROWS, 0]}),
        pd.DataFrame({"pid": MEMBERS.pid[ROWS], "p_died": p[ROWS, 0]}),
        pd.DataFrame({"row": ROWS, "p_died": q[ROWS, 0], "table": "nonmembers"}),
    ]
    for table in tables:
        one = expect(tmp_path, table)
        assert one.params["rows"] == len(ROWS)
        assert float(str(one.params["greatest"])) < 1e-6


def test_the_order_of_classes_is_read_from_them(model: Any, tmp_path: Path) -> None:
    p = model.predict_proba(MEMBERS[FEATURES])
    expect(tmp_path, pd.DataFrame({"row": ROWS, "p_survived": p[ROWS, 1]}), classes=())
    with pytest.raises(PrivauditError, match="does not name its class"):
        expect(tmp_path, pd.DataFrame({"row": ROWS, "p": p[ROWS, 1]}), classes=())


@pytest.mark.parametrize(
    ("change", "how", "said"),
    [
        (lambda t: t, {"classes": LABELS}, "the other way round"),
        (lambda t: t.assign(row=t.row + 1), {}, "counted from 1"),
        (lambda t: t.assign(p_survived=t.p_survived.round(3)), {}, "rounded to 3 digits"),
        (lambda t: t.assign(p_survived=(t.p_survived + 0.1).clip(0, 1)), {}, "another version"),
        (
            lambda t: t.assign(p_survived=t.p_survived.where(t.row > 20, 0.5)),
            {},
            "% of the rows agree",
        ),
        (lambda t: t.head(5), {}, "fewer than 10"),
        (lambda t: t.assign(row=t.row + 500), {}, "numbered from 0 to 199"),
        (lambda t: t.assign(table="training"), {}, "tables are called"),
        (lambda t: t.drop(columns="row"), {}, "add a column 'row'"),
        (lambda t: t.drop(columns="row").assign(pid=-t.row), {}, "not in the members table"),
        (lambda t: t.assign(p_survived=t.p_survived.where(t.row > 20)), {}, "hold none"),
    ],
)
def test_what_disagrees_is_refused(
    model: Any, tmp_path: Path, change: Any, how: dict[str, Any], said: str
) -> None:
    p = model.predict_proba(MEMBERS[FEATURES])
    table = pd.DataFrame({"row": ROWS, "p_survived": p[ROWS, 1]})
    with pytest.raises(PrivauditError) as caught:
        expect(tmp_path, change(table), **how)
    assert said in str(caught.value)


def test_codes_that_cannot_be_told_are_taken_on_the_owners_word(tmp_path: Path) -> None:
    """A model that hardly learnt its codes fits shuffled ones as well: expected answers decide."""
    from xgboost import XGBClassifier

    X = MEMBERS[["age", "lab", "site"]].assign(
        site=MEMBERS.site.astype("category").cat.codes.astype(float)
    )
    y = (np.random.default_rng(0).random(200) < 0.5).astype(int)
    made = XGBClassifier(n_estimators=10, max_depth=3, min_child_weight=10, n_jobs=1).fit(X, y)
    made.save_model(tmp_path / "m.json")
    stated = {"classes": ("died", "survived"), "encode": "codes"}
    with pytest.raises(PrivauditError, match="--expect"):
        ask(tmp_path / "m.json", MEMBERS, NONMEMBERS, **stated)
    p = made.predict_proba(X)[ROWS, 1]
    table = pd.DataFrame({"row": ROWS, "p_survived": p})
    found = ask(tmp_path / "m.json", MEMBERS, NONMEMBERS, expected=table, **stated)
    codes = {note.code for note in found.notes if isinstance(note, Caveat)}
    assert codes == {CaveatCode.CODED_LEVELS, CaveatCode.EXPECTED_ANSWERS}
