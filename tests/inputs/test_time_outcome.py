"""A time to an event: how it is handed in, which way a risk points, and audits end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import privaudit
from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.outcome import pair_to_times
from privaudit.inputs.read_table import read_table, write_table
from privaudit.inputs.schema import TableSchema, format_schema, read_schema
from privaudit.records import Column, Records
from privaudit.results import Subject, from_json

COLUMNS = ["age", "lactate", "heart"]
QUICK: dict[str, Any] = {
    "outcome_kind": "time",
    "outcome": "death",
    "profile": "smoke",
    "jobs": 1,
    "attacks": ["threshold"],
}


def ward(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(rows, 3)), columns=COLUMNS)
    time = rng.exponential(np.exp(-0.7 * X.age + 0.4 * X.lactate))
    censored = rng.exponential(2.0, rows)
    return X, np.minimum(time, censored) + 0.01, time <= censored


MEMBERS, HELD = ward(250, 1), ward(320, 2)


def cox(trees: int = 60) -> Any:
    from xgboost import XGBRegressor

    X, time, event = MEMBERS
    model = XGBRegressor(n_estimators=trees, max_depth=4, objective="survival:cox", n_jobs=1)
    return model.fit(X, np.where(event, time, -time))


def signed() -> Records:
    X, time, event = MEMBERS
    ids = np.arange(len(time))
    columns = tuple(Column(name) for name in COLUMNS)
    y = np.where(event, time, -time)
    return Records(columns, X.to_numpy(), y, ids, ids * 0, classes=(), outcome_kind="time")


def test_times_come_with_their_events_and_nothing_is_guessed() -> None:
    _, time, event = MEMBERS
    fields = np.empty(250, dtype=[("dead", bool), ("days", float)])
    fields["dead"], fields["days"] = event, time
    np.testing.assert_array_equal(pair_to_times(fields, "members"), signed().y)
    np.testing.assert_array_equal(pair_to_times((time, event), "members"), signed().y)
    np.testing.assert_array_equal(pair_to_times((time, event.astype(int)), "m"), signed().y)
    for y, said in (
        (np.column_stack([time, event]), "no times with their events"),
        (time, "no times with their events"),
        ((event, time), "neither 0 nor 1"),
        ((time - 1, event), "not above 0"),
        ((time, np.where(event, 2, 1)), "neither 0 nor 1"),
    ):
        with pytest.raises(PrivauditError, match=said):
            pair_to_times(y, "members")
    with pytest.raises(PrivauditError, match="survival analysis"):
        privaudit.audit(
            cox(1),
            (MEMBERS[0], np.column_stack([time, event])),
            (HELD[0], HELD[1]),
            **QUICK | {"outcome_kind": "class"},
        )


def test_a_schema_names_the_event_and_reads_and_writes_it(tmp_path: Path) -> None:
    X, time, event = MEMBERS
    table = tmp_path / "t.csv"
    frame = X.assign(days=time, dead=np.where(event, "True", "false"))
    frame.to_csv(table, index=False)
    schema, _ = propose_schema(table, outcome="days", outcome_kind="time", event="dead")
    assert schema.names == tuple(COLUMNS)
    path = tmp_path / "schema.toml"
    path.write_text(format_schema(schema))
    assert read_schema(path) == schema
    records = read_table(table, schema)
    np.testing.assert_allclose(records.y, signed().y)
    write_table(records, schema, tmp_path / "again.csv")
    np.testing.assert_array_equal(read_table(tmp_path / "again.csv", schema).y, records.y)
    for column, value, said in (
        ("dead", "censored", "neither 0 nor 1"),
        ("dead", None, "do not say whether"),
        ("days", 0.0, "no time above 0"),
        ("days", None, "have no outcome"),
    ):
        odd = frame.astype(object)
        odd.loc[3, column] = value
        odd.to_csv(table, index=False)
        with pytest.raises(PrivauditError, match=said):
            read_table(table, schema)
    with pytest.raises(PrivauditError, match="without a column of events"):
        TableSchema((Column("x"),), "days", outcome_kind="time")
    with pytest.raises(PrivauditError, match="with a column of events"):
        TableSchema((Column("x"),), "days", ("0", "1"), event="dead")


def test_a_risk_that_points_the_wrong_way_is_refused() -> None:
    model = cox()
    members, held = ((X, (time, event)) for X, time, event in (MEMBERS, HELD))
    with pytest.raises(PrivauditError, match=r"in reverse \(C-index 0.0"):
        privaudit.audit(lambda X: -model.predict(X), members, held, **QUICK)
    censored = [(X, (time, ~event)) for X, time, event in (MEMBERS, HELD)]
    with pytest.raises(PrivauditError, match="the opposite fits the scores better"):
        privaudit.audit(model.predict, *censored, **QUICK)


def test_xgboost_of_times_is_asked_for_a_risk_whatever_it_predicts(tmp_path: Path) -> None:
    import xgboost

    from privaudit.inputs.models.open_model import bind, open_model

    X, time, event = MEMBERS
    cox(5).save_model(tmp_path / "cox.json")
    data = xgboost.DMatrix(X)
    data.set_float_info("label_lower_bound", time)
    data.set_float_info("label_upper_bound", np.where(event, time, np.inf))
    xgboost.train({"objective": "survival:aft"}, data, 5).save_model(tmp_path / "aft.json")
    schema = TableSchema(
        tuple(Column(n) for n in COLUMNS), "days", outcome_kind="time", event="dead"
    )
    risks = [
        bind(open_model(tmp_path / name)[0], schema).predict(signed())  # type: ignore[attr-defined]
        for name in ("cox.json", "aft.json")
    ]
    assert np.corrcoef(*(np.argsort(np.argsort(r)) for r in risks))[0, 1] > 0.5
    with pytest.raises(PrivauditError, match="survival:cox"):
        bind(
            open_model(tmp_path / "cox.json")[0],
            TableSchema(schema.columns, "days", outcome_kind="number"),
        )


def test_an_overfit_model_leaks_with_shadows_and_a_model_of_others_does_not(
    tmp_path: Path,
) -> None:
    members, held = ((X, (time, event)) for X, time, event in (MEMBERS, HELD))
    found = privaudit.audit(
        cox(), members, held, out=tmp_path, **QUICK | {"attacks": ["threshold", "lira"]}
    )
    assert found.estimate("auc", attack="threshold").low > 0.6
    assert found.estimate("auc", attack="lira").low > 0.7
    assert all(control.passed for control in found.subject.controls)
    assert [e.metric.name for e in found.subject.utility] == ["c_index"]
    assert "C-index" in (found.folder / "shareable" / "report.md").read_text()
    assert cli.main(["verify", str(found.folder)]) == 0
    null = privaudit.audit(
        lambda frame: frame.age - 0.5 * frame.lactate, members, held, **QUICK
    ).estimate("auc")
    assert null.low < 0.5 < null.high


@pytest.mark.slow
def test_from_files_with_a_model_and_with_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = cox()
    model.save_model("m.json")
    parts = []
    for name, (X, time, event) in {"members": MEMBERS, "held": HELD}.items():
        X.assign(days=time, dead=event.astype(int)).to_csv(f"{name}.csv", index=False)
        risk = model.predict(X).astype(float)
        parts.append(
            pd.DataFrame({"days": time, "dead": event, "risk": risk, "member": name[0] == "m"})
        )
    pd.concat(parts).to_csv("p.csv", index=False)
    common = ["--outcome", "days", "--outcome-kind", "time", "--event-column", "dead"]
    common += ["--profile", "smoke", "--jobs", "1", "--attacks", "threshold", "--out", "runs"]
    values = []
    for words in (
        ["--model", "m.json", "--members", "members.csv", "--nonmembers", "held.csv"],
        ["--predictions", "p.csv"],
    ):
        assert cli.main(["audit", *words, *common, "--json"]) == 0
        audit = from_json(Path(json.loads(capsys.readouterr().out)["audit"]).read_text())
        assert audit.data.outcome_kind == "time"
        values.append(_auc(audit.subjects[0]))
    assert values[0] > 0.65
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def _auc(subject: Subject) -> float:
    (found,) = (one for one in subject.outcomes if one.attack == "threshold")
    return float(found.estimates[0].value)
