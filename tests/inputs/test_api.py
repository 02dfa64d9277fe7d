"""Five lines of Python: an audit of whatever answers with probabilities."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import privaudit
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode, Group

QUICK = {"profile": "smoke", "jobs": 1, "attacks": ["threshold"]}


def numbers(rows: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 6))
    return X, (X[:, 0] + rng.normal(size=rows) > 0).astype(int)


def test_five_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.ensemble import RandomForestClassifier

    monkeypatch.chdir(tmp_path)
    X, y = numbers(900)
    model = RandomForestClassifier(10, random_state=0).fit(X[:450], y[:450])
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    found = privaudit.audit(
        model,
        members=(X[:450], y[:450]),
        nonmembers=(X[450:], y[450:]),
        profile="smoke",
        jobs=1,
        attacks=["threshold", "rmia"],
    )
    assert found.estimate("auc", attack="rmia").value > 0.8
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert random.getstate() == before[1]
    assert not list(tmp_path.iterdir())
    text = found._repr_html_()
    assert "<script" not in text
    assert "rmia" in text
    assert "AUC" in repr(found)
    page = found.report(tmp_path / "report")
    assert "outcome" in page.read_text()
    with pytest.raises(PrivauditError, match="no estimates"):
        found.estimate("aucc")
    with pytest.raises(PrivauditError, match="no findings"):
        found.estimate("auc", attack="lyra")


def test_frame_of_mixed_columns_with_patients_and_groups(
    make_ward: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    members, held = make_ward(400, 1), make_ward(400, 2, first=5000)
    columns = ["age", "sex", "unit", "lactate", "heart"]
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["sex", "unit"]),
            (SimpleImputer(), ["age", "lactate", "heart"]),
        ),
        LogisticRegression(max_iter=500),
    ).fit(members[columns], members.died)
    found = privaudit.audit(
        model,
        (members[["subject_id", *columns]], members.died),
        (held[["subject_id", *columns]], held.died),
        patient="subject_id",
        groups=["sex", "age"],
        outcome="<b>death</b>",
        out=tmp_path / "runs",
        **QUICK,
    )
    assert found.audit.data.columns == 5
    assert {g.by for g in found.subject.utility_groups} == {"sex", "age"}
    assert "<b>death" not in found._repr_html_()
    assert found.folder is not None
    assert (found.folder / "shareable" / "report.html").exists()
    codes = [note.code for note in found.audit.data.notes]
    assert CaveatCode.SEVERAL_RECORDS_A_PATIENT in codes
    (pool,) = [p for p in found.audit.data.pools if p.name == "members"]
    assert (pool.patients, pool.stays) == (200, 400)
    other = {"members": members.died, "nonmembers": held.died}
    with pytest.raises(PrivauditError, match="among the members and among"):
        privaudit.audit(
            model,
            (members[["subject_id", *columns]], other["members"]),
            (members[["subject_id", *columns]], other["members"]),
            patient="subject_id",
            **QUICK,
        )


@pytest.mark.parametrize(
    "kind", ["module", "function", "lambda in a closure", "booster", "constant"]
)
def test_anything_that_answers(kind: str) -> None:
    X, y = numbers()
    made = {"module": module, "function": function, "booster": booster, "constant": constant}.get(
        kind, unsendable
    )(X, y)
    found = privaudit.audit(made, (X[:300], y[:300]), (X[300:], y[300:]), estimator=False, **QUICK)
    estimate = found.estimate("auc")
    assert estimate.low is not None
    if kind == "constant":
        assert estimate.value == 0.5
        assert CaveatCode.CONSTANT_ANSWERS in [c.code for c in found.audit.caveats]


def module(X: np.ndarray, y: np.ndarray) -> Any:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))


def function(X: np.ndarray, y: np.ndarray) -> Any:
    return logistic


def logistic(X: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-X[:, 0]))


def unsendable(X: np.ndarray, y: np.ndarray) -> Any:
    import threading

    lock = threading.Lock()

    def ask(X: np.ndarray) -> np.ndarray:
        with lock:
            return logistic(X)

    return ask


def booster(X: np.ndarray, y: np.ndarray) -> Any:
    import xgboost

    return xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(X, y), 3)


def constant(X: np.ndarray, y: np.ndarray) -> Any:
    return lambda X: np.full((len(X), 2), 0.5)


def test_gradient_attacks_run_on_a_module() -> None:
    X, y = numbers()
    found = privaudit.audit(
        module(X, y),
        (X[:300], y[:300]),
        (X[300:], y[300:]),
        estimator=False,
        profile="smoke",
        jobs=1,
        attacks=["fgsm", "threshold"],
    )
    assert {o.attack: o.kind for o in found.subject.outcomes} == {
        "fgsm": "finding",
        "threshold": "finding",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nonmembers": (np.zeros((5, 7)), np.zeros(5))}, "other columns"),
        ({"members": (np.zeros((5, 6)), np.zeros(4))}, "5 rows with 4 outcomes"),
        ({"members": np.zeros((5, 6))}, "with its outcomes"),
        ({"members": (np.full((300, 6), np.inf), np.arange(300) % 2)}, "infinite"),
        ({"members": (np.zeros((300, 6)), np.full(300, np.nan))}, "outcomes are missing"),
        ({"members": (np.zeros((30, 6)), np.arange(30))}, "30 different values"),
        (
            {
                "members": (np.zeros((300, 6)), np.ones(300)),
                "nonmembers": (np.zeros((300, 6)), np.ones(300)),
            },
            "one outcome",
        ),
        ({"answers": "scores"}, "answers="),
        ({"patient": "who"}, "no column 'who'"),
        ({"patient": (np.zeros(3), np.zeros(3))}, "of lengths"),
        ({"groups": ["sex"]}, "no column 'sex'"),
        ({"estimator": 3}, "type int"),
        ({"model": 3}, "cannot be called"),
        ({"attacks": ["lyra"]}, "did you mean 'lira'"),
        ({"members": (np.zeros((10, 6)), np.arange(10) % 2)}, "10 patients"),
    ],
)
def test_bad_calls(change: dict[str, Any], said: str) -> None:
    X, y = numbers()
    call: dict[str, Any] = {
        "model": logistic,
        "members": (X[:300], y[:300]),
        "nonmembers": (X[300:], y[300:]),
        **QUICK,
    }
    with pytest.raises(PrivauditError, match=said):
        privaudit.audit(**{**call, **change})


USER_CODE = """\
import numpy as np
import privaudit

X, y = np.zeros((4, 2)), np.zeros(4)
found = privaudit.audit(lambda X: X, (X, y), (X, y), {wrong})
value: float | None = found.estimate("tpr", fpr=0.01).value
columns = (privaudit.Column("age", bounds=(0, 120)), privaudit.Column("sex", "binary"))
"""


def test_a_user_is_told_of_a_wrong_argument_by_the_type_checker(tmp_path: Path) -> None:
    from mypy import api

    root = Path(__file__).parents[2]
    for name, wrong in (("good", 'profile="smoke"'), ("bad", "profile=3")):
        (tmp_path / f"{name}.py").write_text(USER_CODE.replace("{wrong}", wrong))
    out, err, code = api.run(
        [
            *("--config-file", str(root / "setup.cfg"), "--follow-imports", "silent"),
            *map(str, tmp_path.iterdir()),
        ]
    )
    assert code == 1, out + err
    assert 'bad.py:5: error: Argument "profile" to "audit" has incompatible type "int"' in out
    assert "good.py" not in out
    assert (root / "privaudit" / "py.typed").exists()


def test_all_that_is_public_is_there() -> None:
    assert privaudit.Findings.__module__ == "privaudit.findings"
    for name in privaudit.__all__:
        assert getattr(privaudit, name).__doc__
    assert set(privaudit.__all__) <= set(dir(privaudit))
    with pytest.raises(AttributeError, match="no attribute 'audits'"):
        privaudit.audits  # type: ignore[attr-defined]  # noqa: B018


def test_a_table_of_this_session(make_ward: Callable[..., pd.DataFrame]) -> None:
    real, control = make_ward(300, 1), make_ward(300, 2, first=5000)
    synthetic = real.sample(300, replace=True, random_state=0).drop(columns="subject_id")
    call = {"patient": "subject_id", "profile": "smoke", "jobs": 1, "attacks": ["copies"]}
    found = privaudit.audit_table(real, control, synthetic, outcome="died", **call)
    assert found.subject.fidelity is not None
    values = {str(e.metric): e.value or 0.0 for e in found.subject.fidelity.estimates}
    assert values["exact_copies"] > 0.5
    assert {p.name: p.patients for p in found.audit.data.pools}["members"] == 150
    with pytest.raises(PrivauditError, match="150 patients are in both"):
        privaudit.audit_table(real, real, synthetic, outcome="died", **call)
    with pytest.raises(PrivauditError, match="of type int"):
        privaudit.audit_table(3, control, synthetic, **call)


def test_an_estimate_is_one(make_ward: Callable[..., pd.DataFrame]) -> None:
    X, y = numbers(600)
    found = privaudit.audit(
        logistic, (X[:300], y[:300]), (X[300:], y[300:]), estimator=False, **QUICK
    )
    tpr = [e for e in found.headline.estimates if e.metric.name == "tpr"]
    assert len(tpr) > 1
    with pytest.raises(PrivauditError, match="fpr="):
        found.estimate("tpr")
    assert found.estimate("tpr", fpr=0.1) in tpr
    with pytest.raises(PrivauditError, match="no subgroup 'F'"):
        found.estimate("auc", group=Group("sex", "F"))


def stays(rows: int = 600) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"sex": rng.choice(["F", "M"], rows), "lab": rng.normal(size=rows)})
    y = pd.Series((X.lab + rng.logistic(size=rows) > 0).astype(int), name="died")
    return X, y


def ask_stays(X: pd.DataFrame) -> np.ndarray:
    p = 1 / (1 + np.exp(-X["lab"].to_numpy() - 0.5 * (X["sex"].to_numpy() == "F")))
    return np.column_stack([1 - p, p])


class Named:
    """A model that names its classes."""

    def __init__(self, *classes: Any) -> None:
        self.classes_ = np.array(classes)
        self.feature_names_in_ = np.array(["sex", "lab"])

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return ask_stays(X)


def auc_of(model: Any = ask_stays, **changes: Any) -> float | None:
    X, y = stays()
    call = {"members": (X[:300], y[:300]), "nonmembers": (X[300:], y[300:]), **QUICK}
    return privaudit.audit(model, estimator=False, **{**call, **changes}).estimate("auc").value


@pytest.mark.parametrize(
    ("model", "outcomes"),
    [
        (ask_stays, lambda y: y.to_numpy()[:, None]),
        (ask_stays, lambda y: y.to_frame()),
        (ask_stays, lambda y: y.astype("Int64")),
        (ask_stays, lambda y: y.astype(str)),
        (ask_stays, lambda y: y == 1),
        (Named(0, 1), lambda y: (y == 1).astype(object)),
        (Named(False, True), lambda y: y.astype(float)),
        (Named("0", "1"), lambda y: y),
        (lambda X: ask_stays(X).tolist(), lambda y: y),
        (lambda X: ask_stays(X)[:, 1], lambda y: y),
        (lambda X: pd.DataFrame(ask_stays(X)[:, ::-1], columns=[1, 0]), lambda y: y),
        (lambda X: tensor(ask_stays(X)), lambda y: y),
    ],
)
def test_outcomes_and_answers_in_every_form(model: Any, outcomes: Callable[..., Any]) -> None:
    X, y = stays()
    found = auc_of(
        model,
        members=(X[:300], outcomes(y[:300])),
        nonmembers=(X[300:], outcomes(y[300:])),
    )
    assert found == pytest.approx(auc_of(), abs=1e-12)


def tensor(p: np.ndarray) -> Any:
    import torch

    return torch.tensor(p)


def test_tables_in_every_form() -> None:
    import polars as pl

    X, y = stays()
    wanted = auc_of()
    lists = [(X[part].to_dict("list"), y[part].tolist()) for part in (slice(300), slice(300, 600))]
    frames = [(pl.DataFrame(columns), pl.Series(own)) for columns, own in lists]
    assert auc_of(members=frames[0], nonmembers=frames[1]) == wanted
    assert auc_of(nonmembers=(X[300:][["lab", "sex"]], y[300:])) == wanted
    pyarrow = pytest.importorskip("pyarrow")
    tables = [(pyarrow.table(columns), pyarrow.array(own)) for columns, own in lists]
    assert auc_of(members=tables[0], nonmembers=tables[1]) == wanted


def test_which_answer_is_whose_is_stated_and_not_guessed() -> None:
    X, y = stays()
    words = y.map({0: "Live", 1: "Dead"})
    tables = {"members": (X[:300], words[:300]), "nonmembers": (X[300:], words[300:])}
    with pytest.raises(PrivauditError, match="which of the 2 classes") as error:
        auc_of(**tables)
    assert "AUROC on the members would be 0." in error.value.because
    wanted = auc_of()
    assert auc_of(**tables, classes=["Live", "Dead"]) == wanted
    assert auc_of(lambda X: ask_stays(X)[:, 1], **tables, event="Dead") == wanted
    assert auc_of(Named("Live", "Dead"), **tables) == wanted
    other = {"members": (X[:300], y[:300] + 1), "nonmembers": (X[300:], y[300:] + 1)}
    with pytest.raises(PrivauditError, match="names 1, 2"):
        auc_of(**other)
    assert auc_of(**other, classes=[1, 2]) == wanted
    for wrong in ({"event": "dead"}, {"classes": ["Dead", "x"]}, {"classes": [1], "event": 1}):
        with pytest.raises(PrivauditError):
            auc_of(**tables, **wrong)
    for turned in ({"classes": ["Dead", "Live"]}, {"event": "Live"}):
        with pytest.raises(PrivauditError, match=r"surely below one half \(0\.2"):
            auc_of(**tables, **turned)
    with pytest.raises(PrivauditError, match="names its own classes"):
        auc_of(Named(0, 1), classes=[1, 0])
    with pytest.raises(PrivauditError, match="not named by the outcome's classes"):
        auc_of(lambda X: pd.DataFrame(ask_stays(X), columns=["p", "q"]))


def test_models_trained_again_answer_in_the_stated_order() -> None:
    from sklearn.tree import DecisionTreeClassifier

    X, y = numbers(400)
    words = np.where(y == 1, "Dead", "Live")
    model = DecisionTreeClassifier(min_samples_leaf=4, random_state=0).fit(X[:200], y[:200])
    call = {**QUICK, "attacks": "rmia"}
    plain = privaudit.audit(model, (X[:200], y[:200]), (X[200:], y[200:]), **call)
    stated = privaudit.audit(
        model.predict_proba,
        (X[:200], words[:200]),
        (X[200:], words[200:]),
        estimator=DecisionTreeClassifier(min_samples_leaf=4, random_state=0),
        classes=["Live", "Dead"],
        **call,
    )
    assert plain.estimate("auc").value == pytest.approx(stated.estimate("auc").value, abs=0.02)
    assert (stated.estimate("auc").value or 0) > 0.6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X, y: {"members": (X[:300], y[:300].sample(frac=1))}, "index is not that of X"),
        (lambda X, y: {"nonmembers": (X[300:], y[300:].shift(0).sort_values())}, "index is not"),
        (lambda X, y: {"groups": (X.sex[:300][::-1], X.sex[300:])}, "index is not that of X"),
        (lambda X, y: {"groups": (X.sex[:300],)}, "1 parts for 2 tables"),
        (lambda X, y: {"members": (X.assign(died=y), "died")}, "the name 'died'"),
        (lambda X, y: {"nonmembers": (X[["lab"]], y)}, "'sex' lack"),
        (lambda X, y: {"members": (X, np.column_stack([y, y]))}, "a multi-label task"),
        (lambda X, y: {"members": (sparse(X), y)}, "a sparse matrix"),
        (lambda X, y: {"sensitive": ["hiv"]}, "no column 'hiv'"),
        (lambda X, y: {"attacks": "lyra"}, "did you mean 'lira'"),
        (lambda X, y: {"model": lambda X: ask_stays(X) * 5}, "answers='logits'"),
        (lambda X, y: {"jobs": 0}, "jobs=1"),
    ],
)
def test_a_session_is_refused_in_its_own_words(change: Callable[..., Any], said: str) -> None:
    with pytest.raises(PrivauditError, match=said) as error:
        auc_of(**change(*stays()))
    assert "--" not in str(error.value)


def sparse(X: pd.DataFrame) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(X[["lab"]].to_numpy())


def test_groups_attributes_performance_and_what_was_not_run_are_shown() -> None:
    X, y = stays()
    found = privaudit.audit(
        ask_stays,
        (X[:300], y[:300]),
        (X[300:], y[300:]),
        groups={"site": (np.repeat(["a", "b"], 150), np.repeat(["a", "b"], 150))},
        sensitive="sex",
        profile="smoke",
        jobs=1,
        estimator=False,
        attacks=["threshold", "attribute", "lira"],
    )
    for shown in (repr(found), found._repr_html_()):
        for words in ("site: a", "site: b", "attribute", ", sex", "AUROC on held-out patients"):
            assert words in shown
        assert "LiRA: not run" in shown
        assert "Evasion: not tested" in shown
    assert found.estimate("auroc", group=("site", "a")).value is not None
    assert found.estimate(group=("site", "b")) == found.estimate(group=Group("site", "b"))
    rate = found.estimate("attack_rate", attack="attribute", at="sex")
    assert rate.value is not None
