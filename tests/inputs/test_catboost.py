"""CatBoost files against the library's own answers, and models that are asked elsewhere."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privaudit.errors import PrivauditError
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.read_table import read_table

CATEGORIES = ["flag", "ward", "sex"]


def stays(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "flag": rng.random(rows) < 0.5,
            "ward": rng.integers(1, 5, rows),
            "sex": rng.choice(["F", "M"], rows),
            "lactate": rng.gamma(2.0, 1.0, rows).round(2),
        }
    )
    risk = frame.lactate + frame.flag + (frame.sex == "F") + (frame.ward == 2)
    frame["outcome"] = np.where(risk + rng.logistic(size=rows) > 4, "died", "alive")
    return frame


def train(frame: pd.DataFrame, **more: Any) -> Any:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(
        iterations=20,
        verbose=0,
        thread_count=1,
        random_seed=0,
        cat_features=CATEGORIES,
        allow_writing_files=False,
        **more,
    )
    return model.fit(frame.drop(columns="outcome"), frame.outcome)


def answer(model: Path, table: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    schema, _ = propose_schema([table], outcome="outcome", list_rare=True, whats=["the table"])
    opened, _ = open_model(model)
    return bind(opened, schema).predict_proba(read_table(table, schema)), schema.classes


@pytest.mark.parametrize("ending", ["cbm", "json"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("table", ["csv", "parquet"])
def test_answers_are_those_of_the_library(
    ending: str, classes: int, table: str, tmp_path: Path
) -> None:
    frame = stays()
    if classes == 3:
        frame["outcome"] = frame.outcome.where(frame.lactate < 2.5, "transferred")
    own = train(frame, **({"loss_function": "MultiClass"} if classes == 3 else {}))
    own.save_model(str(tmp_path / f"m.{ending}"), format=ending)
    file = tmp_path / f"t.{table}"
    frame.to_csv(file, index=False) if table == "csv" else frame.to_parquet(file, index=False)
    found, names = answer(tmp_path / f"m.{ending}", file)
    wanted = own.predict_proba(frame.drop(columns="outcome"))
    order = [list(own.classes_).index(name) for name in names]
    assert np.abs(found - wanted[:, order]).max() < 1e-6


def test_levels_spelled_otherwise_are_refused(tmp_path: Path) -> None:
    frame = stays()
    train(frame.assign(sex=frame.sex.str.lower())).save_model(str(tmp_path / "m.cbm"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(PrivauditError, match="levels of 'sex' in no spelling"):
        answer(tmp_path / "m.cbm", tmp_path / "t.csv")


def test_a_missing_category_is_refused(tmp_path: Path) -> None:
    frame = stays()
    train(frame).save_model(str(tmp_path / "m.cbm"))
    frame.loc[:20, "sex"] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(PrivauditError, match="'sex' with 21 missing values"):
        answer(tmp_path / "m.cbm", tmp_path / "t.csv")


def test_other_objectives_and_damaged_files(tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    frame = stays()
    number = catboost.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False)
    number.fit(frame[["lactate"]], frame.ward).save_model(str(tmp_path / "number.cbm"))
    with pytest.raises(PrivauditError, match="objective 'RMSE'"):
        open_model(tmp_path / "number.cbm")
    raw = (tmp_path / "number.cbm").read_bytes()
    for content in (raw[: len(raw) // 2], b"CBM1", b"none"):
        (tmp_path / "bad.cbm").write_bytes(content)
        with pytest.raises(PrivauditError, match="cannot be read as CatBoost"):
            open_model(tmp_path / "bad.cbm")


@pytest.mark.parametrize(
    ("name", "said"), [("m.keras", "Keras"), ("m.h5", "Keras"), ("m.rds", "model of R")]
)
def test_models_that_are_asked_elsewhere(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(PrivauditError, match=said) as error:
        open_model(tmp_path / name)
    assert "--predictions" in error.value.fix


def test_a_pickle_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sklearn.base
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(np.arange(8.0).reshape(-1, 1), np.arange(8) % 2)
    with monkeypatch.context() as patch:
        patch.setattr(sklearn.base, "__version__", "1.9.0")
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(PrivauditError, match=r"a pickle of scikit-learn 1\.9\.0") as error:
        open_model(tmp_path / "m.pkl", trust_pickle=True)
    assert "privaudit audit --predictions answers.csv" in error.value.fix
    (tmp_path / "same.pkl").write_bytes(pickle.dumps(model))
    open_model(tmp_path / "same.pkl", trust_pickle=True)
