"""That classes are ordered is said by a person, in an order that was listed: never guessed."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import ask, stay
from sklearn.linear_model import LogisticRegression

import privaudit
from privaudit.contracts import Prepared
from privaudit.errors import PrivauditError
from privaudit.inputs.class_order import ClassOrder, StatedOrder, settle_order
from privaudit.inputs.model_tables import TablePaths, find_schema
from privaudit.inputs.outcome import check_outcome_kind, read_outcome_kind
from privaudit.inputs.read_predictions import PredictionsTable, read_predictions
from privaudit.inputs.schema import TableSchema, format_schema, read_schema, write_schema
from privaudit.inputs.user_release import get_part
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

BUCKETS = ("under 3", "3 to 10", "10 or more")


def wards(buckets: tuple[Any, ...] = BUCKETS, rows: int = 300) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with an outcome in three buckets, in another order than that of their texts."""
    made = []
    for seed, first in ((1, 0), (2, 5000)):
        frame = stay(rows, seed, first)[["pid", "age", "lab", "y"]]
        noise = np.random.default_rng(seed).normal(size=rows)
        place = np.digitize(0.06 * (frame.age - 60) + noise, [-0.7, 0.7])
        frame["y"] = np.array(buckets, dtype=object)[place]
        made.append(frame)
    return made[0], made[1]


def schema(**more: Any) -> TableSchema:
    columns = (Column("age", bounds=(0, 120)), Column("lab", bounds=(0, 100)))
    return TableSchema(columns, "y", BUCKETS, "pid", **more)


def test_a_schema_says_it_and_a_model_that_names_its_classes_is_read_in_that_order(
    tmp_path: Path,
) -> None:
    members, nonmembers = wards(rows=60)
    model = LogisticRegression(max_iter=500).fit(members[["age", "lab"]], members.y)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    write_schema(schema(ordered=True), tmp_path / "s.toml")
    found = ask(tmp_path / "m.pkl", members, nonmembers, schema=tmp_path / "s.toml")
    assert found.members.ordered
    # The model's own order is that of the texts.
    assert found.members.classes == BUCKETS
    by_name = dict(zip(model.classes_, model.predict_proba(members[["age", "lab"]]).T, strict=True))
    for name in BUCKETS:
        np.testing.assert_allclose(found.of(name), by_name[name], atol=1e-5)


def test_it_is_written_and_read_again(tmp_path: Path) -> None:
    write_schema(schema(ordered=True), tmp_path / "s.toml")
    assert read_schema(tmp_path / "s.toml") == schema(ordered=True)
    assert "ordered" not in format_schema(schema())


def test_an_order_that_was_read_off_a_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="read off a sample"):
        schema(ordered=True, guessed={"y": ("classes",)})
    text = format_schema(schema(guessed={"y": ("classes",)})).replace(
        'outcome = "y"', 'outcome = "y"\nordered = true'
    )
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(PrivauditError, match="read off a sample"):
        read_schema(tmp_path / "s.toml")


def test_a_number_is_not_ordered() -> None:
    with pytest.raises(PrivauditError, match="said to be ordered"):
        replace(schema(), classes=(), outcome_kind="number", ordered=True)
    X, ids = np.zeros((3, 1)), np.arange(3)
    with pytest.raises(PrivauditError, match="ordered classes"):
        Records(
            (Column("a"),),
            X,
            ids * 1.0,
            ids,
            ids * 0,
            classes=(),
            outcome_kind="number",
            ordered=True,
        )


def test_records_of_ordered_classes_are_other_records() -> None:
    X, ids = np.zeros((3, 1)), np.arange(3)
    plain = Records((Column("a"),), X, ids, ids, ids * 0, classes=BUCKETS)
    ordered = replace(plain, ordered=True)
    assert plain.fingerprint != ordered.fingerprint
    assert ordered.take([0, 2]).ordered
    assert Records.concatenate([ordered, ordered]).ordered


def test_the_command_needs_the_classes_listed(tmp_path: Path) -> None:
    assert read_outcome_kind("ordered") == ("class", True)
    assert read_outcome_kind("number") == ("number", False)
    with pytest.raises(PrivauditError, match="known are: class, number, time, ordered"):
        read_outcome_kind("ordinal")
    with pytest.raises(PrivauditError, match="never guessed"):
        check_outcome_kind("ordered")
    with pytest.raises(PrivauditError, match="not listed"):
        settle_order(schema(), ClassOrder(BUCKETS), StatedOrder(), asked=True)
    write_schema(schema(), tmp_path / "s.toml")
    for name in ("m.csv", "n.csv"):
        wards()[0].to_csv(tmp_path / name, index=False)
    tables = TablePaths(tmp_path / "m.csv", tmp_path / "n.csv", schema=tmp_path / "s.toml")
    silent: Any = SimpleNamespace(names=None, labels=None, classes=0)
    assert not find_schema(tables, silent)[0].ordered
    with pytest.raises(PrivauditError, match="does not say that its classes are"):
        find_schema(replace(tables, ordered=True), silent)
    write_schema(schema(ordered=True), tmp_path / "s.toml")
    assert find_schema(tables, silent)[0].ordered
    more: Any = SimpleNamespace(names=None, labels=(*BUCKETS, "unknown"), classes=4)
    with pytest.raises(PrivauditError, match="of which the model knows 1 more"):
        find_schema(tables, more)


def test_outputs_in_another_order_than_that_of_the_classes_are_refused() -> None:
    asked = schema(ordered=True)
    settled = settle_order(asked, ClassOrder(BUCKETS), StatedOrder(), asked=True)
    assert settled.ordered
    listed = schema(guessed={"y": ("classes",), "age": ("bounds",)})
    found = settle_order(listed, ClassOrder(BUCKETS), StatedOrder(BUCKETS), asked=True)
    assert (found.ordered, found.guessed) == (True, {"age": ("bounds",)})
    with pytest.raises(PrivauditError, match="outputs in the order"):
        settle_order(asked, ClassOrder(BUCKETS[::-1]), StatedOrder(BUCKETS[::-1]), asked=False)
    plain = settle_order(schema(), ClassOrder(BUCKETS[::-1]), StatedOrder(), asked=False)
    assert (plain.classes, plain.ordered) == (BUCKETS[::-1], False)


def test_predictions_of_ordered_classes(tmp_path: Path) -> None:
    members, nonmembers = wards()
    both = pd.concat([members.assign(member=1), nonmembers.assign(member=0)])
    p = np.random.default_rng(0).dirichlet(np.ones(3), len(both))
    for c, name in enumerate(BUCKETS):
        both[f"p_{name}"] = p[:, c]
    both.drop(columns=["age", "lab"]).to_csv(tmp_path / "p.csv", index=False)

    def asked(classes: tuple[str, ...], ordered: bool) -> Records:
        table = PredictionsTable(
            tmp_path / "p.csv",
            "y",
            "member",
            tuple(f"p_{name}" for name in (classes or sorted(BUCKETS))),
            patient="pid",
            order=StatedOrder(classes),
            ordered=ordered,
        )
        task, _, _ = read_predictions(table, seeds=Seeds(0), confidence=0.95)
        return get_part(task, "prepared", Prepared).split.members

    assert asked(BUCKETS, True).ordered
    assert asked(BUCKETS, True).classes == BUCKETS
    assert not asked(BUCKETS, False).ordered
    with pytest.raises(PrivauditError, match="not listed"):
        asked((), True)


def test_a_session_of_ordered_classes_states_how_far_off_it_is() -> None:
    members, nonmembers = (frame.drop(columns="pid") for frame in wards((0, 1, 2)))
    pairs = [(frame[["age", "lab"]], frame.y.astype(int)) for frame in (members, nonmembers)]
    model = LogisticRegression(max_iter=500).fit(*pairs[0])
    audit = {"attacks": ["threshold"], "profile": "smoke", "estimator": False, "jobs": 1}
    with pytest.raises(PrivauditError, match="without classes"):
        privaudit.audit(model, *pairs, outcome_kind="ordered", **audit)
    found = privaudit.audit(model, *pairs, outcome_kind="ordered", classes=[0, 1, 2], **audit)
    kappa, miss = found.estimate("kappa_linear"), found.estimate("mean_miss")
    assert kappa.low > 0
    assert miss.high < miss.chance
    assert found.estimate("calibration_intercept", at="2").metric.at.kind == "cut"
