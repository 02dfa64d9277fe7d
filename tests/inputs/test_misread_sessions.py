"""What a session or a table misreads is refused or left undecided, never within a limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import ask, stay

import privaudit
from privaudit.errors import PrivauditError
from privaudit.facts import UNCONFIRMED, CaveatCode
from privaudit.findings import Findings

FEATURES = ["age", "lab", "hr", "bmi"]


def ward(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 95, rows),
            "lab": rng.gamma(2, 1, rows).round(2),
            "hr": rng.normal(80, 12, rows).round(1),
            "bmi": rng.normal(26, 4, rows).round(1),
        }
    )
    z = 0.05 * (X.age - 56) + 0.5 * (X.lab - 2)
    return X, (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(int)


(XA, YA), (XB, YB) = ward(300, 1), ward(400, 2)
SCALE = XA.mean().to_numpy(), XA.std().to_numpy()


def scaled(X: pd.DataFrame) -> np.ndarray:
    return np.asarray((X.to_numpy() - SCALE[0]) / SCALE[1])


@pytest.fixture(scope="module")
def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(40, bootstrap=False, random_state=0).fit(XA.to_numpy(), YA)


@pytest.fixture(scope="module")
def regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(scaled(XA), YA)


def audit(model: Any, members: Any, nonmembers: Any, **how: Any) -> Findings:
    return privaudit.audit(
        model,
        members,
        nonmembers,
        profile="smoke",
        attacks="threshold",
        jobs=1,
        **({"estimator": False} | how),
    )


def codes(found: Findings) -> list[CaveatCode]:
    return [caveat.code for caveat in found.audit.caveats]


def test_a_session_asks_a_model_otherwise_than_it_was_trained(forest: Any) -> None:
    from sklearn.ensemble import RandomForestClassifier

    other = RandomForestClassifier(40, bootstrap=False, random_state=0).fit(scaled(XA), YA)
    for model in (other, other.predict_proba):
        with pytest.raises(PrivauditError, match="reads better with numbers scaled"):
            audit(model, (XA.to_numpy(), YA), (XB.to_numpy(), YB))
    turned = FEATURES[::-1]
    with pytest.raises(PrivauditError, match=r"reverse order|alphabetical|exchanged"):
        audit(forest, (XA[turned].to_numpy(), YA), (XB[turned].to_numpy(), YB))


def test_a_measurement_in_another_unit(forest: Any) -> None:
    for name, factor in (("lab", 18.02), ("age", 12)):
        tables = [X.assign(**{name: X[name] * factor}).to_numpy() for X in (XA, XB)]
        with pytest.raises(PrivauditError, match=f"divided by {factor}"):
            audit(forest, (tables[0], YA), (tables[1], YB))


def test_filled_in_values_that_were_missing_in_training() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    gone = [np.random.default_rng(k).random(X.shape) < 0.3 for k, X in enumerate((XA, XB))]
    A, B = XA.mask(gone[0]), XB.mask(gone[1])
    model = HistGradientBoostingClassifier(max_iter=80, min_samples_leaf=2).fit(A, YA)
    for value in (0, -1, A.median()):
        with pytest.raises(PrivauditError, match="as missing"):
            audit(model, (A.fillna(value), YA), (B.fillna(value), YB))
    assert audit(model, (A, YA), (B, YB)).estimate("auc").value > 0.7


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p, y: np.random.default_rng(0).permutation(p),
        lambda p, y: np.maximum(p, 1 - p),
        lambda p, y: np.where(y == 1, p, 1 - p),
    ],
    ids=["of other rows", "of the likeliest class", "of the recorded class"],
)
def test_probabilities_of_something_else(wrong: Callable[..., Any]) -> None:
    y = np.random.default_rng(3).random(300) < 0.7
    answers = np.clip(np.where(y, 0.97, 0.04) + np.random.default_rng(4).normal(0, 0.02, 300), 0, 1)
    p = wrong(answers, y.astype(int))
    table = dict(zip(np.arange(300.0), p, strict=True))
    X, held = np.arange(300.0)[:, None], np.arange(300.0, 600.0)[:, None]
    rng = np.random.default_rng(5)
    found = audit(
        lambda X: np.array([table.get(x, 0.6) for x in X[:, 0]]),
        (X, y.astype(int)),
        (held, (rng.random(300) < 0.7).astype(int)),
        expect=(np.arange(20), p[:20]),
    )
    stated = set(codes(found))
    assert stated & {*UNCONFIRMED, CaveatCode.OUTCOMES_WRONG_WAY}


def test_a_model_of_skill_is_not_doubted(regression: Any) -> None:
    found = audit(regression, (scaled(XA), YA), (scaled(XB), YB))
    assert not set(codes(found)) & set(UNCONFIRMED)


def test_probabilities_that_are_said_to_be_logits(forest: Any) -> None:
    def one(X: Any) -> np.ndarray:
        return np.asarray(forest.predict_proba(X)[:, 1])

    pair = (XA.to_numpy(), YA), (XB.to_numpy(), YB)
    for model in (one, lambda X: np.log(one(X) + 1e-9)):
        with pytest.raises(PrivauditError, match="read as logits") as refused:
            audit(model, *pair, answers="logits")
        assert "answers='logits'" in refused.value.fix
    logit = audit(lambda X: np.log((one(X) + 0.01) / (1.01 - one(X))), *pair, answers="logits")
    assert logit.estimate("auc").value > 0.9


def test_members_among_the_held_out(forest: Any, regression: Any) -> None:
    mixed = pd.concat([XA, XB.head(100)]).to_numpy(), np.concatenate([YA, YB[:100]])
    with pytest.raises(PrivauditError, match="exact copies of members' records"):
        audit(forest, (XA.to_numpy(), YA), mixed)
    coarse = [np.round(scaled(X)) for X in (XA, XB)]
    audit(regression, (coarse[0], YA), (coarse[1], YB))


def test_people_who_stand_in_both_tables_as_often_as_twice_among_the_members(forest: Any) -> None:
    """Dealt by name: of everybody's two names either may be held out."""
    X, y = pd.concat([XA, XA]).to_numpy(), np.concatenate([YA, YA])
    order = np.random.default_rng(0).permutation(len(y))
    one, two = order[: len(y) // 2], order[len(y) // 2 :]
    with pytest.raises(PrivauditError, match="hardly any is shared by more people"):
        audit(forest, (X[one], y[one]), (X[two], y[two]))


def test_labels_of_other_rows() -> None:
    Y = pd.DataFrame({"a": YA, "b": 1 - YA})
    with pytest.raises(PrivauditError, match="labels whose index"):
        privaudit.audit_labels(lambda X: X, (XA.sample(frac=1, random_state=0), Y), (XB, Y))


def test_the_owners_probabilities(regression: Any) -> None:
    pair = (scaled(XA), YA), (scaled(XB), YB)
    p = regression.predict_proba(np.concatenate([scaled(XA), scaled(XB)]))
    some = np.arange(0, 700, 35)
    for expect, rows in ((p, 700), (p[:, 1], 700), ((some, p[some]), 20), ((some, p[some, 1]), 20)):
        found = audit(regression, *pair, expect=expect)
        (one,) = [
            note
            for note in found.audit.data.notes
            if getattr(note, "code", None) is CaveatCode.EXPECTED_ANSWERS
        ]
        assert one.params["rows"] == rows


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        (lambda p: p[:, ::-1], "the other way round"),
        (lambda p: p[:, 0], "the other way round"),
        (lambda p: p.round(3), "rounded to 3 digits"),
        (lambda p: (np.arange(1, 51), p[:50]), "counted from 1"),
        (lambda p: (np.zeros(20, dtype=int), p[[0] * 20]), "fewer than 10 may agree"),
        (lambda p: (np.arange(5), p[:5]), "fewer than 10 may agree"),
        (lambda p: (np.arange(695, 705), p[:10]), "numbered from 0 to 699"),
        (lambda p: p[:300], "of shape"),
        (lambda p: (p, p, p), "in 3 parts"),
        (lambda p: np.where(p > 0.9, np.nan, p), "some are missing"),
        (lambda p: ["a"] * 700, "no array of numbers"),
    ],
)
def test_other_probabilities_are_refused(
    regression: Any, expect: Callable[..., Any], said: str
) -> None:
    p = regression.predict_proba(np.concatenate([scaled(XA), scaled(XB)]))
    with pytest.raises(PrivauditError, match=said) as refused:
        audit(regression, (scaled(XA), YA), (scaled(XB), YB), expect=expect(p))
    assert "--" not in str(refused.value)


def test_a_column_that_no_model_reads_may_be_unclear(tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    tables = [stay(200, 1), stay(200, 2, 5000)]
    model = XGBClassifier(n_estimators=10, n_jobs=1).fit(tables[0][["age", "lab"]], tables[0].y)
    model.save_model(tmp_path / "m.json")

    def change(name: str) -> list[pd.DataFrame]:
        return [t.assign(**{name: t.age.astype(str).str.replace("9", "9,5")}) for t in tables]

    found = ask(tmp_path / "m.json", *change("weight"))
    assert np.allclose(found.p, model.predict_proba(tables[0][["age", "lab"]]), atol=1e-5)
    with pytest.raises(PrivauditError, match="'lab'"):
        ask(tmp_path / "m.json", *change("lab"))


def test_risks_of_other_rows() -> None:
    rng = np.random.default_rng(0)
    times = rng.gamma(2, 3, 300), rng.gamma(2, 3, 400)
    events = np.ones(300, dtype=int), rng.integers(0, 2, 400)
    found = audit(
        lambda X: np.asarray(X)[:, 2],
        (XA, (times[0], events[0])),
        (XB, (times[1], events[1])),
        outcome_kind="time",
    )
    assert CaveatCode.RANKED_BY_CHANCE in codes(found)
