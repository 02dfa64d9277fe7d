"""Categories go through the model's own levels, whatever the table's column is; codes fit or are
refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import ask, stay

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.inputs.models.layout import by_name
from privaudit.inputs.models.levels import (
    code_sorted,
    match_levels,
    refuse_unknown_levels,
    sort_levels,
    values_of,
)
from privaudit.inputs.models.lightgbm_file import find_levels, read_coded
from privaudit.inputs.models.trained_dtypes import restore_decimals
from privaudit.records import Column

MEMBERS, NONMEMBERS = stay(300, 1), stay(300, 2, 5000)
FEATURES = ["age", "lab", "adm", "flag", "spread", "site"]
TEXTS = ["spread", "site"]


def categories(frame: pd.DataFrame, *more: str) -> pd.DataFrame:
    X = frame[FEATURES]
    return X.assign(**{name: X[name].astype("category") for name in ("adm", *TEXTS, *more)})


def xgboost_file(X: pd.DataFrame, path: Path) -> Any:
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=15, n_jobs=1, enable_categorical=True)
    model.fit(X, MEMBERS.y.astype(int)).save_model(path)
    return model


def lightgbm_file(X: pd.DataFrame, path: Path, **fit: Any) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=15, n_jobs=1, verbose=-1)
    model.fit(X, MEMBERS.y.astype(int), **fit).booster_.save_model(path)
    return model


def same(path: Path, expected: np.ndarray, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Any:
    found = ask(path, change(MEMBERS), change(NONMEMBERS))
    np.testing.assert_allclose(found.p, expected, atol=1e-5)
    return found


DRESSES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as it was": lambda frame: frame,
    "floats": lambda frame: frame.assign(adm=frame.adm.astype(float), age=frame.age.astype(float)),
    "booleans as 0 and 1": lambda frame: frame.assign(flag=frame.flag.astype(int)),
    "booleans as words": lambda frame: frame.assign(
        flag=frame.flag.map({True: "yes", False: "no"})
    ),
    "other order of columns": lambda frame: frame[frame.columns[::-1]],
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_xgboost_categories_of_whole_numbers(suffix: str, dress: str, tmp_path: Path) -> None:
    X = categories(MEMBERS)
    model = xgboost_file(X, tmp_path / f"m.{suffix}")
    same(tmp_path / f"m.{suffix}", model.predict_proba(X), DRESSES[dress])


@pytest.mark.parametrize("dress", DRESSES)
def test_lightgbm_categories_of_whole_numbers_and_booleans(dress: str, tmp_path: Path) -> None:
    X = categories(MEMBERS, "flag")
    model = lightgbm_file(X, tmp_path / "m.txt")
    same(tmp_path / "m.txt", model.predict_proba(X), DRESSES[dress])


def test_categories_whose_order_is_the_owners(tmp_path: Path) -> None:
    X = categories(MEMBERS)
    X["spread"] = pd.Categorical(MEMBERS.spread, ["yes", "no", "metastatic"])
    X["adm"] = pd.Categorical(MEMBERS.adm, [8, 1, 7, 2, 6, 3, 5, 4])
    model = xgboost_file(X, tmp_path / "m.json")
    same(tmp_path / "m.json", model.predict_proba(X), DRESSES["floats"])


def test_categories_of_digits_as_texts(tmp_path: Path) -> None:
    X = categories(MEMBERS.assign(adm=MEMBERS.adm.astype(str)))
    model = xgboost_file(X, tmp_path / "m.json")
    same(tmp_path / "m.json", model.predict_proba(X), DRESSES["as it was"])


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", "forest"])
def test_pickled_models_with_categories_of_whole_numbers(kind: str, tmp_path: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    X = categories(MEMBERS)
    if kind == "forest":
        forest = HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype")
        model = forest.fit(X, MEMBERS.y.astype(int))
    else:
        model = {"xgboost": xgboost_file, "lightgbm": lightgbm_file}[kind](X, tmp_path / "m.json")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    same(tmp_path / "m.pkl", model.predict_proba(X), DRESSES["as it was"])


@pytest.mark.parametrize("spelled", [int, str])
def test_what_encoders_of_a_pipeline_know(spelled: type, tmp_path: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    steps = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [*TEXTS, "adm", "flag"]), ("passthrough", ["age"])
    )
    X = MEMBERS[FEATURES].astype({"adm": spelled})
    model = make_pipeline(steps, LogisticRegression(max_iter=500)).fit(X, MEMBERS.y.astype(int))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    for change in DRESSES.values():
        same(tmp_path / "m.pkl", model.predict_proba(X), change)
    # An encoder that ignores what it does not know would read everybody as nobody.
    upper = [frame.assign(site=frame.site.str.upper()) for frame in (MEMBERS, NONMEMBERS)]
    with pytest.raises(PrivauditError, match="does not know"):
        ask(tmp_path / "m.pkl", *upper)


def test_xgboost_files_without_levels_are_refused(tmp_path: Path) -> None:
    X = categories(MEMBERS)
    model = xgboost_file(X, tmp_path / "m.json")
    # As older versions wrote them: the columns are categories, their levels are nowhere.
    tree = json.loads((tmp_path / "m.json").read_text())
    tree["version"] = [3, 0, 5]
    del tree["learner"]["gradient_booster"]["model"]["cats"]
    (tmp_path / "m.json").write_text(json.dumps(tree))
    with pytest.raises(PrivauditError, match="stores no levels"):
        ask(tmp_path / "m.json", MEMBERS, NONMEMBERS)
    coded = [
        frame.assign(**{name: X[name].cat.codes[: len(frame)] for name in ("adm", *TEXTS)})
        for frame in (MEMBERS, NONMEMBERS)
    ]
    found = ask(tmp_path / "m.json", *coded, encode="codes")
    np.testing.assert_allclose(found.p, model.predict_proba(X), atol=1e-5)


def test_lightgbm_with_codes_beside_categories(tmp_path: Path) -> None:
    X = categories(MEMBERS).assign(adm=MEMBERS.adm, same=pd.Categorical(["one"] * len(MEMBERS)))
    model = lightgbm_file(X, tmp_path / "m.txt", categorical_feature=["adm", *TEXTS, "same"])
    same(
        tmp_path / "m.txt",
        model.predict_proba(X),
        lambda frame: frame.assign(same="one"),
    )


def test_lists_of_levels_that_fit_several_columns_are_refused() -> None:
    text = "\nfeature_infos=[0:1] 0:1:2 -1:1:0 none\n"
    assert read_coded(text) == (None, (0, 1, 2), (-1, 1, 0), ())
    names = ["a", "b", "c", "d"]
    coded = read_coded(text)
    assert find_levels(names, coded, [["x", "y", "z"], ["u", "v"]]) == {
        "b": ("x", "y", "z"),
        "c": ("u", "v"),
    }
    with pytest.raises(PrivauditError, match="lists the levels of 1"):
        find_levels(names, coded, [["x", "y", "z"]])


def test_levels_that_the_model_does_not_know(tmp_path: Path) -> None:
    xgboost_file(categories(MEMBERS), tmp_path / "m.json")
    few, many = NONMEMBERS.copy(), NONMEMBERS.copy()
    few.loc[:11, "adm"] = 9
    many.loc[:150, "adm"] = 9
    found = ask(tmp_path / "m.json", MEMBERS, few)
    assert any("Of 'adm', 12 cells" in note for note in found.notes if isinstance(note, str))
    with pytest.raises(PrivauditError, match="does not know"):
        ask(tmp_path / "m.json", MEMBERS, many)
    upper = [frame.assign(site=frame.site.str.upper()) for frame in (MEMBERS, NONMEMBERS)]
    with pytest.raises(PrivauditError, match="knows none of the levels of 'site'"):
        ask(tmp_path / "m.json", *upper)
    (note,) = refuse_unknown_levels({"adm": 3}, 600)
    assert "3" not in note


def test_numbers_reach_a_model_as_the_table_writes_them(tmp_path: Path) -> None:
    """A threshold learnt at 1.23 is met by 1.23, and not by the float32 next to it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = np.arange(700) / 100
    members = stay(700, 1).assign(lab=x)
    model = HistGradientBoostingClassifier(max_iter=10)
    model.fit(members[["age", "lab"]], members.y.astype(int))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    found = ask(tmp_path / "m.pkl", members, stay(300, 2, 5000))
    np.testing.assert_allclose(found.p, model.predict_proba(members[["age", "lab"]]), atol=1e-12)
    np.testing.assert_array_equal(restore_decimals(x.astype(np.float32)), x)
    odd = np.array([[np.nan, 1e-12, 123456.7], [0.1, -2.5, 3e30]])
    np.testing.assert_allclose(restore_decimals(odd.astype(np.float32)), odd, rtol=1e-7)


def test_names_in_another_order_are_noted(tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    X = MEMBERS[["lab", "age"]]
    model = XGBClassifier(n_estimators=5, n_jobs=1).fit(X, MEMBERS.y.astype(int))
    model.save_model(tmp_path / "m.json")
    found = same(tmp_path / "m.json", model.predict_proba(X), DRESSES["as it was"])
    assert any("another order" in note for note in found.notes if isinstance(note, str))


def test_names_that_fit_two_columns_are_refused() -> None:
    columns = (Column("a b"), Column("a-b"))
    assert by_name(["a b"], columns).places[0].column == 0
    with pytest.raises(PrivauditError, match="may be two columns"):
        by_name(["a_b"], columns)
    levels = (
        Column("a", "category", levels=("b_c", "d")),
        Column("a_b", "category", levels=("c", "d")),
    )
    with pytest.raises(PrivauditError, match="may be two columns"):
        by_name(["a_b_c"], levels)


def test_which_level_is_which() -> None:
    def match(known: list[Any], *levels: str) -> tuple[int | None, ...]:
        return match_levels(known, Column("c", "category", levels=levels))

    assert match([1, 2, 10], "10", "2.0", "3") == (2, 1, None)
    assert match(["01", "1"], "1", "01") == (1, 0)
    assert match([1], "01") == (None,)
    assert match([False, True], "FALSE", "true") == (0, 1)
    assert match([True, False], "0", "1") == (1, 0)
    assert match([0, 1], "false", "true") == (0, 1)
    assert match(["F", "M"], "f", "M") == (None, 1)
    assert match(["a", "b"], "b", " a ") == (1, 0)
    assert values_of(["2", 10, 3.0]) == (2.0, 10.0, 3.0)
    assert values_of([False, True]) == (0.0, 1.0)
    assert all(np.isnan(values_of(["1", "01"])))


def test_levels_are_sorted_as_encoders_sort_them() -> None:
    from sklearn.preprocessing import OrdinalEncoder

    levels = ["no", "metastatic", "yes", "Z", "ä", "10", "9"]
    own = OrdinalEncoder().fit(np.array(levels, dtype=object)[:, None]).categories_[0]
    assert sort_levels(levels) == tuple(own)
    assert sort_levels(levels) == tuple(pd.Series(levels).astype("category").cat.categories)
    assert sort_levels(["10", "9", "1.5"]) == ("1.5", "9", "10")
    column = Column("ca", "category", levels=("no", "metastatic", "yes"))
    assert code_sorted(column) == (1.0, 0.0, 2.0)
    with pytest.raises(PrivauditError, match="put together"):
        code_sorted(Column("ca", "category", levels=("a", "(other)")))


CODINGS: dict[str, Callable[[pd.Series], Any]] = {
    "sorted": lambda c: c.astype("category").cat.codes,
    "first seen": lambda c: pd.factorize(c)[0],
    "by count": lambda c: c.map({x: i for i, x in enumerate(c.value_counts().index)}),
    "from 1": lambda c: c.astype("category").cat.codes + 1,
    "as listed": lambda c: c.map(
        {x: i for i, x in enumerate(["no", "metastatic", "yes", *sorted(set(MEMBERS.site))])}
    ),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_codes_are_advised_and_taken_where_they_fit_alone(coding: str, tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    X = MEMBERS[["age", "lab", *TEXTS]]
    X = X.assign(**{name: np.asarray(CODINGS[coding](X[name]), dtype=float) for name in TEXTS})
    model = XGBClassifier(n_estimators=30, n_jobs=1).fit(X, MEMBERS.y.astype(int))
    model.save_model(tmp_path / "m.json")
    with pytest.raises(PrivauditError, match="texts there") as caught:
        ask(tmp_path / "m.json", MEMBERS, NONMEMBERS)
    assert ("--encode codes" in caught.value.fix) == (coding == "sorted")
    if coding != "sorted":
        with pytest.raises(PrivauditError, match="not turned into numbers in the stated way"):
            ask(tmp_path / "m.json", MEMBERS, NONMEMBERS, encode="codes")
        return
    found = ask(tmp_path / "m.json", MEMBERS, NONMEMBERS, encode="codes")
    np.testing.assert_allclose(found.p, model.predict_proba(X), atol=1e-5)
    tables = [note for note in found.notes if isinstance(note, Caveat)]
    assert {note.params["column"]: note.params["levels"] for note in tables}["spread"] == (
        "metastatic",
        "no",
        "yes",
    )


def test_codes_do_not_depend_on_the_schemas_order_and_rare_levels_are_not_named(
    tmp_path: Path,
) -> None:
    from xgboost import XGBClassifier

    members, nonmembers = MEMBERS.copy(), NONMEMBERS.copy()
    members.loc[:3, "spread"] = "leprosy"
    X = members[["age", "lab", "spread"]].assign(
        spread=members.spread.astype("category").cat.codes.astype(float)
    )
    model = XGBClassifier(n_estimators=40, n_jobs=1).fit(X, members.y.astype(int))
    model.save_model(tmp_path / "m.json")
    (tmp_path / "s.toml").write_text(
        '[table]\noutcome = "y"\nclasses = ["0", "1"]\npatient = "pid"\n'
        '[[column]]\nname = "age"\nkind = "numeric"\n[[column]]\nname = "lab"\nkind = "numeric"\n'
        '[[column]]\nname = "spread"\nkind = "category"\n'
        'levels = ["yes", "no", "leprosy", "metastatic"]\n'
    )
    kept = ["pid", "age", "lab", "spread", "y"]
    found = ask(
        tmp_path / "m.json",
        members[kept],
        nonmembers[kept],
        schema=tmp_path / "s.toml",
        encode="codes",
    )
    np.testing.assert_allclose(found.p, model.predict_proba(X), atol=1e-5)
    (table,) = [note for note in found.notes if isinstance(note, Caveat)]
    assert table.code is CaveatCode.CODED_LEVELS
    assert table.params["levels"] == ("metastatic", "no", "yes")
    assert table.params["codes"] == ("1", "2", "3")
    assert table.params["hidden"] == 1


def test_texts_that_spell_numbers_get_no_advice_to_code_them(tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    X = MEMBERS[["age", "lab"]]
    XGBClassifier(n_estimators=30, n_jobs=1).fit(X, MEMBERS.y.astype(int)).save_model(
        tmp_path / "m.json"
    )
    marked = [
        frame.assign(lab="~" + frame.lab.astype(str))[["pid", "age", "lab", "y"]]
        for frame in (MEMBERS, NONMEMBERS)
    ]
    with pytest.raises(PrivauditError) as caught:
        ask(tmp_path / "m.json", *marked)
    assert "--encode" not in str(caught.value)
    with pytest.raises(PrivauditError):
        ask(tmp_path / "m.json", *marked, encode="codes")
