"""Boosted trees between machines: the simulation's forest, and documents that are no trees."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_lab import (
    CLASSES,
    WIDTH,
    Killed,
    MemoryWire,
    events,
    make_data,
    make_terms,
    make_wards,
    method_of,
    run,
)

from pipelines.deploy.messages import Body
from pipelines.federated import trees
from pipelines.federated.kernel import streams
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

xgboost = pytest.importorskip("xgboost")

TREES = "federated_trees"
GROWTH = trees.Growth(3, 0.3, 1.0, 1.0, 16)


def margins(saved: bytes, x: np.ndarray) -> np.ndarray:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(saved))
    return np.asarray(booster.inplace_predict(x, predict_type="margin"))


def test_it_grows_what_the_simulation_grows(tmp_path: Path) -> None:
    terms = make_terms(TREES)
    found = run(terms, tmp_path, MemoryWire(make_wards(terms)))
    x, y, rows = make_data(terms.roster)
    columns = tuple(Column(f"x{i}") for i in range(WIDTH))
    site = np.repeat(np.arange(4), [len(own) for own in rows])
    records = Records(
        columns, x, y, np.arange(len(x)), site, classes=("no", "yes"), sites=terms.roster
    )
    method = method_of(terms)
    own = streams(np.random.default_rng(terms.seed))["clients"]
    grown, _ = method._grow(records, tuple(rows), own)
    saved, _ = trees.join_documents(grown, CLASSES)
    assert method.find_shape(records) == (WIDTH, CLASSES)
    assert np.array_equal(margins(found.forest, x), margins(saved, x))
    assert found.weights.size == 0
    assert found.hospitals == terms.roster
    assert found.trust == method.trust


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_is_killed_at_any_question_goes_on_to_the_same_end(
    tmp_path: Path, after: bool
) -> None:
    terms = make_terms(TREES, "rounds=2")
    whole = MemoryWire(make_wards(terms))
    expected = run(terms, tmp_path / "whole", whole)
    for at in range(whole.questions):
        wire = MemoryWire(make_wards(terms), kill_at=at)
        wire.kill_after = after
        with pytest.raises(Killed):
            run(terms, tmp_path / str(at), wire)
        assert run(terms, tmp_path / str(at), wire).forest == expected.forest


def test_who_was_away_is_sent_all_that_it_missed(tmp_path: Path) -> None:
    terms = make_terms(TREES, "rounds=6")
    wards = make_wards(terms)
    sent: list[set[str]] = []

    def fault(name: str, kind: str, body: Body) -> Body | str | None:
        if (name, kind) != ("b", "grow"):
            return None
        sent.append({key.split("/")[0] for key in body["trees"]})
        return "no_answer" if body["round"] == 2 else None

    run(terms, tmp_path, MemoryWire(wards, fault))
    assert sent == [set(), {"0"}, {"1"}, {"1", "2"}, {"3"}, {"4"}]
    assert len(wards["b"].taken) == 4 + 4 + 3 + 4 + 4
    assert np.allclose(wards["b"].grower.margin.shape, (46, 1))


def test_a_hospital_that_sends_no_trees_is_left_out(tmp_path: Path) -> None:
    terms = make_terms(TREES)
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if (name, kind, body.get("round")) != ("c", "grow", 1):
            return None
        found = wards[name].answer(kind, body)
        return {**found, "trees": found["trees"].replace(b'"feature":[', b'"feature":[9')}

    run(terms, tmp_path, MemoryWire(wards, fault))
    made = [one["hospitals"] for one in events(tmp_path, "round")]
    assert made[1] == list("abd")
    assert events(tmp_path, "bad_answer")[0]["why"] == "not_trees"


@pytest.mark.parametrize("classes", [2, 3])
def test_trees_come_back_from_the_wire_as_they_were(classes: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(120, 4)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    y = rng.integers(0, classes, 120)
    booster = trees.Grower(GROWTH, x, y, classes).grow(3)
    raw = trees.pack_trees(booster)
    assert b"hessian" not in raw
    assert b"weights" not in raw
    found = trees.read_trees(raw, 4, classes, 3)
    again = trees.build_booster(found, 4, classes)
    assert np.array_equal(
        again.inplace_predict(x, predict_type="margin"),
        booster.inplace_predict(x, predict_type="margin"),
    )
    assert trees.pack_trees(again) == raw
    forest = trees.weigh_trees(found, 0.5) + trees.weigh_trees(found, 0.25)
    whole = trees.read_forest(trees.pack_forest(forest), 4, classes, 3, 2 * len(found))
    # Without what a score starts at, which for several classes is the same number for each.
    start = 0.5 if classes > 2 else 0.0
    half = trees.build_booster(whole, 4, classes).inplace_predict(x, predict_type="margin")
    one = booster.inplace_predict(x, predict_type="margin")
    assert np.allclose(half - start, 0.75 * (one - start), atol=1e-6)
    with pytest.raises(PrivauditError, match="a forest of"):
        trees.read_forest(trees.pack_forest(forest), 4, classes, 3, 2 * len(found) - 1)


GOOD = {
    "left": [1, 3, -1, -1, -1],
    "right": [2, 4, -1, -1, -1],
    "feature": [0, 3, 0, 0, 0],
    "value": [0.5, -1, 0.1, 0.2, 0.3],
    "missing_left": [1, 0, 0, 0, 0],
}


def written(**fields: Any) -> bytes:
    return json.dumps({"trees": [{**deepcopy(GOOD), **fields}]}).encode()


def test_the_good_document_is_read() -> None:
    assert trees.read_trees(written(), 4, 2, 2) == [GOOD]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b'{"trees": 3}',
        b'{"trees": []}',
        b'{"trees": [], "learner": {}}',
        b'{"trees": [[]]}',
        b"[" * 200_000,
        json.dumps({"trees": [GOOD, GOOD]}).encode(),
        json.dumps({"trees": [{**GOOD, "categories": []}]}).encode(),
        json.dumps({"trees": [{k: v for k, v in GOOD.items() if k != "value"}]}).encode(),
        written(value=[float("nan"), -1, 0.1, 0.2, 0.3]),
        written(value=[float("inf"), -1, 0.1, 0.2, 0.3]),
        written(value=[1e39, -1, 0.1, 0.2, 0.3]),
        written(value=[10**400, -1, 0.1, 0.2, 0.3]),
        written(value=["1", -1, 0.1, 0.2, 0.3]),
        written(value=[True, -1, 0.1, 0.2, 0.3]),
        written(value=[0.5, -1, 0.1, 0.2]),
        written(feature=[4, 0, 0, 0, 0]),
        written(feature=[-1, 0, 0, 0, 0]),
        written(feature=[0.0, 0, 0, 0, 0]),
        written(missing_left=[2, 0, 0, 0, 0]),
        written(left=[1, 3, -1, -1, 0]),
        written(left=[0, 3, -1, -1, -1]),
        written(left=[1, 5, -1, -1, -1]),
        written(left=[1, 10**30, -1, -1, -1]),
        written(left=[1, 1, -1, -1, -1]),
        written(left=[1, 2, -1, -1, -1]),
        written(left=[1, -2, -1, -1, -1]),
        written(right=[2, -1, -1, -1, -1]),
        written(left=[-1, 3, -1, -1, -1], right=[-1, 4, -1, -1, -1]),
    ],
)
def test_a_document_that_is_no_tree_is_refused_before_xgboost_sees_it(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xgboost.Booster, "load_model", lambda *a: pytest.fail("loaded"))
    with pytest.raises(PrivauditError) as refused:
        trees.read_trees(raw, 4, 2, 2)
    assert len(str(refused.value)) < 300


def test_a_tree_deeper_than_agreed_is_refused() -> None:
    with pytest.raises(PrivauditError, match="nodes"):
        trees.read_trees(written(), 4, 2, 1)
    chain = {
        "left": [1, 3, -1, 5, -1, -1, -1],
        "right": [2, 4, -1, 6, -1, -1, -1],
        "feature": [0] * 7,
        "value": [0.5] * 7,
        "missing_left": [0] * 7,
    }
    raw = json.dumps({"trees": [chain]}).encode()
    assert trees.read_trees(raw, 4, 2, 3)
    with pytest.raises(PrivauditError, match="too deep"):
        trees.read_trees(raw, 4, 2, 2)


def test_a_shape_that_no_trees_have_is_refused(tmp_path: Path) -> None:
    terms = make_terms(TREES)
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        return {**wards[name].answer(kind, body), "widths": [5]} if kind == "hello" else None

    with pytest.raises(PrivauditError, match="shape"):
        run(terms, tmp_path, MemoryWire(wards, fault))
