"""An outcome that is a number: its kind is said, models answer in its unit, other scales are
refused, and an audit from Python and from files finds a leak and nothing where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, PoissonRegressor

import privaudit
from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, ReasonCode
from privaudit.inputs.check_numbers import examine_predictions
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.read_table import read_table, write_table
from privaudit.inputs.schema import TableSchema, format_schema, read_schema
from privaudit.policy.starters import starter
from privaudit.records import Column, Records, Split
from privaudit.results import from_json

COLUMNS = ["age", "lactate", "heart"]
QUICK: dict[str, Any] = {
    "outcome_kind": "number",
    "outcome": "length of stay",
    "profile": "smoke",
    "jobs": 1,
    "attacks": ["threshold"],
}


def stays(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(rows, 3)), columns=COLUMNS)
    days = np.exp(1 + 0.5 * X.age - 0.3 * X.lactate + 0.6 * rng.normal(size=rows))
    return X, days.to_numpy()


MEMBERS, HELD = stays(300, 1), stays(360, 2)


def exact(y: np.ndarray) -> RandomForestRegressor:
    return RandomForestRegressor(5, bootstrap=False, random_state=0).fit(MEMBERS[0], y)


# --- the kind of an outcome -----------------------------------------------------------------


def test_a_number_has_no_order_of_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PrivauditError, match="for an outcome that is no class"):
        privaudit.audit(exact(MEMBERS[1]), MEMBERS, HELD, event="long", **QUICK)
    table = pd.DataFrame({"days": MEMBERS[1], "predicted": MEMBERS[1], "member": [1, 0] * 150})
    table.to_csv(tmp_path / "p.csv", index=False)
    words = ["--outcome", "days", "--outcome-kind", "number", "--classes", "short,long"]
    assert cli.main(["audit", "--predictions", str(tmp_path / "p.csv"), *words]) == 2
    assert "for an outcome that is no class" in capsys.readouterr().err


def test_a_number_is_never_guessed_and_the_remedy_is_named() -> None:
    model = exact(MEMBERS[1])
    with pytest.raises(PrivauditError, match=r"(?s)660 different values.*outcome_kind = number"):
        privaudit.audit(model, MEMBERS, HELD, **QUICK | {"outcome_kind": "class"})
    whole = [(X, np.minimum(y, 4).round()) for X, y in (MEMBERS, HELD)]
    with pytest.raises(PrivauditError, match=r"(?s)without probabilities.*outcome_kind = number"):
        privaudit.audit(model, *whole, **QUICK | {"outcome_kind": "class"})
    with pytest.raises(PrivauditError, match="known are: class, number"):
        privaudit.audit(model, MEMBERS, HELD, **QUICK | {"outcome_kind": "numeric"})


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (lambda y: y.astype(str), "300 outcomes of members that are no number"),
        (lambda y: np.where(y > 9, np.nan, y), "are missing"),
        (lambda y: np.where(y > 9, np.inf, y), "are infinite"),
    ],
)
def test_outcomes_that_are_no_numbers_are_refused(
    y: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    with pytest.raises(PrivauditError, match=said):
        privaudit.audit(exact(MEMBERS[1]), (MEMBERS[0], y(MEMBERS[1])), HELD, **QUICK)


def test_a_schema_says_the_kind_and_reads_and_writes_it(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    frame = MEMBERS[0].assign(days=MEMBERS[1].round(3))
    frame.to_csv(table, index=False)
    with pytest.raises(PrivauditError, match="outcome_kind = number"):
        propose_schema(table, outcome="days")
    schema, _ = propose_schema(table, outcome="days", outcome_kind="number")
    assert (schema.outcome_kind, schema.classes) == ("number", ())
    path = tmp_path / "schema.toml"
    path.write_text(format_schema(schema))
    assert read_schema(path) == schema
    records = read_table(table, schema)
    assert records.y.dtype == np.float64
    np.testing.assert_array_equal(records.y, frame.days)
    write_table(records, schema, tmp_path / "again.csv")
    np.testing.assert_array_equal(read_table(tmp_path / "again.csv", schema).y, records.y)
    frame.astype({"days": object}).replace({"days": {frame.days[3]: "long"}}).to_csv(
        table, index=False
    )
    with pytest.raises(PrivauditError, match=r"(?s)fewer than 10 cells of 'days'.*are no number"):
        read_table(table, schema)
    frame.assign(days=frame.days.where(frame.days > 1)).to_csv(table, index=False)
    with pytest.raises(PrivauditError, match="have no outcome"):
        read_table(table, schema)
    with pytest.raises(PrivauditError, match="with 2 classes"):
        TableSchema((Column("x"),), "days", ("0", "1"), outcome_kind="number")


def test_records_of_numbers_are_no_records_of_classes() -> None:
    y, ids = np.array([0.0, 1.0]), np.arange(2)
    X, columns = np.zeros((2, 1)), (Column("x"),)
    numbers = Records(columns, X, y, ids, ids * 0, classes=(), outcome_kind="number")
    classes = Records(columns, X, y, ids, ids * 0)
    assert numbers.fingerprint != classes.fingerprint
    assert numbers.take([1]).outcome_kind == "number"
    with pytest.raises(PrivauditError, match="different schemas"):
        Records.concatenate([numbers, classes])
    with pytest.raises(PrivauditError, match="2 classes"):
        Records(columns, X, y, ids, ids * 0, outcome_kind="number")
    with pytest.raises(PrivauditError, match="no finite number"):
        Records(columns, X, y * np.nan, ids, ids * 0, classes=(), outcome_kind="number")


# --- what a model answers -------------------------------------------------------------------


def members() -> Records:
    X, y = MEMBERS
    columns = tuple(Column(name) for name in COLUMNS)
    ids = np.arange(len(y))
    return Records(columns, X.to_numpy(), y, ids, ids * 0, classes=(), outcome_kind="number")


SCHEMA = TableSchema(tuple(Column(n) for n in COLUMNS), "days", outcome_kind="number")
FLOAT32 = MEMBERS[0].astype(np.float32)


@pytest.mark.parametrize(
    "objective",
    ["reg:squarederror", "count:poisson", "reg:gamma", "reg:tweedie", "reg:absoluteerror"],
)
def test_xgboost_answers_in_the_unit_of_the_outcome(objective: str, tmp_path: Path) -> None:
    from xgboost import XGBRegressor

    path = tmp_path / "m.json"
    model = XGBRegressor(n_estimators=5, max_depth=3, n_jobs=1, objective=objective)
    model.fit(*MEMBERS).save_model(path)
    opened, _ = open_model(path)
    found = bind(opened, SCHEMA).predict(members())  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, model.predict(FLOAT32), rtol=1e-5)
    with pytest.raises(PrivauditError, match=f"(?s)objective '{objective}'.*outcome_kind = number"):
        bind(opened, TableSchema(SCHEMA.columns, "died", ("0", "1")))


@pytest.mark.parametrize("objective", ["regression", "poisson"])
def test_lightgbm_answers_in_the_unit_of_the_outcome(objective: str, tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    path = tmp_path / "m.txt"
    model = lightgbm.LGBMRegressor(n_estimators=5, num_leaves=7, objective=objective, verbose=-1)
    model.fit(*MEMBERS).booster_.save_model(path)
    opened, _ = open_model(path)
    found = bind(opened, SCHEMA).predict(members())  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, model.predict(FLOAT32.astype(float)), rtol=1e-5)


def test_onnx_and_torch_answer_with_their_one_number(tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    torch = pytest.importorskip("torch")
    X = FLOAT32.to_numpy()
    linear = LinearRegression().fit(X, MEMBERS[1])
    onnx = tmp_path / "m.onnx"
    onnx.write_bytes(skl2onnx.to_onnx(linear, X[:1]).SerializeToString())
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    script = tmp_path / "m.pt"
    torch.jit.trace(net, torch.zeros(1, 3)).save(str(script))
    expected = {onnx: linear.predict(X), script: net(torch.from_numpy(X)).detach().numpy()[:, 0]}
    for path, numbers in expected.items():
        opened, _ = open_model(path)
        found = bind(opened, SCHEMA).predict(members())  # type: ignore[attr-defined]
        np.testing.assert_allclose(found, numbers, rtol=1e-5, atol=1e-5)


def test_models_of_classes_and_of_several_numbers_are_refused(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from xgboost import XGBClassifier

    X, y = MEMBERS
    late = (y > 3).astype(int)
    classifier = LogisticRegression().fit(X, late)
    XGBClassifier(n_estimators=2, n_jobs=1).fit(X, late).save_model(tmp_path / "c.json")
    with pytest.raises(PrivauditError, match="probabilities of classes"):
        privaudit.audit(classifier, MEMBERS, HELD, **QUICK)
    with pytest.raises(PrivauditError, match=r"(?s)binary:logistic.*probabilities of classes"):
        bind(open_model(tmp_path / "c.json")[0], SCHEMA)
    for answers, said in (
        (lambda X: classifier.predict_proba(X), "2 numbers a row"),
        (lambda X: np.full(len(X), np.nan), "no finite number"),
        (lambda X: np.zeros(3), "shape"),
        (lambda X: ["long"] * len(X), "no array of numbers"),
    ):
        with pytest.raises(PrivauditError, match=said):
            privaudit.audit(answers, MEMBERS, HELD, **QUICK)
    with pytest.raises(PrivauditError, match="answers that are logits"):
        privaudit.audit(exact(y), MEMBERS, HELD, answers="logits", **QUICK)


# --- on which scale -------------------------------------------------------------------------


def examine(
    predict: Callable[[pd.DataFrame], np.ndarray], outcomes: np.ndarray = MEMBERS[1]
) -> list[Caveat]:
    """What is said of these predictions, for the members and the held-out records."""
    pools = []
    for first, (X, y) in ((0, (MEMBERS[0], outcomes)), (1000, HELD)):
        ids = first + np.arange(len(y))
        columns = tuple(Column(name) for name in COLUMNS)
        pools.append(
            Records(columns, X.to_numpy(), y, ids, ids * 0, classes=(), outcome_kind="number")
        )
    split = Split(*pools, replace(pools[0], patient=pools[0].patient + 5000))
    return examine_predictions(split, [predict(MEMBERS[0]), predict(HELD[0])])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (np.log, "worse than a constant.*another scale"),
        (np.log1p, "another scale"),
        (np.sqrt, "another scale"),
        (lambda y: 24 * y, "worse than a constant.*another scale"),
        (lambda y: (y - y.mean()) / y.std(), "worse than a constant.*another scale"),
        (lambda y: y - 0.5, "closer to the outcomes"),
        (lambda y: y / 1.3, "closer to the outcomes"),
        (lambda y: -y, "do not follow the outcome"),
        (lambda y: np.random.default_rng(0).permutation(y), "do not follow the outcome"),
    ],
)
def test_a_leaking_model_on_another_scale_is_refused_and_never_found_harmless(
    change: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    model = exact(change(MEMBERS[1]))
    with pytest.raises(PrivauditError, match=f"(?s){said}"):
        examine(model.predict)


def test_a_few_wrong_outcomes_do_not_hide_another_scale() -> None:
    odd = np.where(np.arange(300) % 25 == 0, 9999.0, MEMBERS[1])
    with pytest.raises(PrivauditError, match="another scale"):
        examine(exact(np.log(MEMBERS[1])).predict, odd)


def test_it_is_refused_before_anything_is_run() -> None:
    with pytest.raises(PrivauditError, match=r"(?s)worse than a constant.*another scale"):
        privaudit.audit(exact(np.log(MEMBERS[1])), MEMBERS, HELD, **QUICK)


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        PoissonRegressor(alpha=10.0),
        RandomForestRegressor(20, max_features=1, random_state=0),
        HistGradientBoostingRegressor(max_iter=20, loss="absolute_error"),
        RandomForestRegressor(5, bootstrap=False, random_state=0),
    ],
    ids=repr,
)
def test_sound_regressors_are_read_whatever_their_loss(model: Any) -> None:
    assert examine(model.fit(*MEMBERS).predict) == []


def test_swapped_tables_constants_and_models_that_learnt_nothing_draw_a_word() -> None:
    swapped = RandomForestRegressor(20, min_samples_leaf=3, random_state=0).fit(*HELD)
    (caveat,) = examine(swapped.predict)
    assert caveat.code is CaveatCode.SMALLER_ERRORS_ON_HELD_OUT
    (caveat,) = examine(lambda X: np.full(len(X), 3.0))
    assert caveat.code is CaveatCode.CONSTANT_ANSWERS
    noise = np.random.default_rng(0)
    (caveat,) = examine(lambda X: np.median(MEMBERS[1]) + 0.01 * noise.normal(size=len(X)))
    assert caveat.code is CaveatCode.NO_BETTER_THAN_A_CONSTANT


# --- end to end -----------------------------------------------------------------------------


def test_an_overfit_forest_exceeds_the_starter_policy_and_the_report_says_r2(
    tmp_path: Path,
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(starter("internal", date(2030, 1, 1)))
    found = privaudit.audit(
        exact(MEMBERS[1]),
        MEMBERS,
        HELD,
        policy=policy,
        out=tmp_path / "runs",
        groups={"sex": tuple(np.arange(n) % 2 for n in (300, 360))},
        **QUICK | {"attacks": ["threshold", "lira", "square"]},
    )
    assert found.estimate("auc", attack="lira").value > 0.9
    assert found.verdicts is not None
    assert found.verdicts.code == 1
    skipped = next(one for one in found.subject.outcomes if one.attack == "square")
    assert skipped.reason.code is ReasonCode.NEEDS_OTHER_OUTCOME
    assert all(control.passed for control in found.subject.controls)
    made = {c.made.code for c in found.subject.controls if c.kind == "positive"}
    assert made == {CaveatCode.PLANTED_RESIDUAL}
    assert [e.metric.name for e in found.subject.utility][:3] == ["r2", "mae", "rmse"]
    page = (found.folder / "shareable" / "report.md").read_text()
    assert "R2" in page
    assert "AUROC on training patients" not in page
    assert cli.main(["verify", str(found.folder), "--policy", str(policy)]) == 0


def test_a_model_trained_on_others_is_not_found_to_leak() -> None:
    other = stays(300, 3)
    model = RandomForestRegressor(10, min_samples_leaf=10, random_state=0).fit(*other)
    found = privaudit.audit(model, MEMBERS, HELD, estimator=False, **QUICK)
    auc = found.estimate("auc")
    assert auc.low < 0.5 < auc.high


def test_from_files_with_a_model_and_with_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xgboost import XGBRegressor

    monkeypatch.chdir(tmp_path)
    model = XGBRegressor(n_estimators=80, max_depth=5, n_jobs=1).fit(*MEMBERS)
    model.save_model("m.json")
    parts = []
    for name, (X, y) in {"members": MEMBERS, "held": HELD}.items():
        X.assign(days=y).to_csv(f"{name}.csv", index=False)
        parts.append(
            pd.DataFrame(
                {"days": y, "predicted": model.predict(X).astype(float), "member": name[0] == "m"}
            )
        )
    pd.concat(parts).to_csv("p.csv", index=False)
    common = ["--outcome", "days", "--profile", "smoke", "--jobs", "1", "--attacks", "threshold"]
    common += ["--out", "runs", "--json"]
    by_model = ["--model", "m.json", "--members", "members.csv", "--nonmembers", "held.csv"]
    found = []
    for words in (by_model, ["--predictions", "p.csv"]):
        assert cli.main(["audit", *words, *common]) == 2
        assert "outcome_kind = number" in capsys.readouterr().err
        assert cli.main(["audit", *words, "--outcome-kind", "number", *common]) == 0
        audit = from_json(Path(json.loads(capsys.readouterr().out)["audit"]).read_text())
        assert "--outcome-kind number" in audit.manifest.command
        assert audit.data.outcome_kind == "number"
        (finding,) = (o for o in audit.subjects[0].outcomes if o.attack == "threshold")
        found.append(finding.estimates[0].value)
    assert found[0] > 0.8
    assert found[0] == pytest.approx(found[1], abs=1e-6)
