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
    assert found.estimate("auc", attack="rmia").value > 0.85
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
