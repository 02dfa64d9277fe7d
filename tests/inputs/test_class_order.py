"""Which output of a model belongs to which class is read, self-evident or stated: never guessed."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import ask, stay

from privaudit.contracts import Prepared, Release
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode
from privaudit.inputs.class_order import StatedOrder, find_order, refuse_unknown_order
from privaudit.inputs.probability_columns import find_columns
from privaudit.inputs.read_predictions import PredictionsTable, read_predictions
from privaudit.inputs.user_release import get_part
from privaudit.seeds import Seeds

NUMBERS = ["age", "lab"]
PAIRS = [
    ("survived", "died"),
    ("Live", "Dead"),
    ("nein", "ja"),
    ("alive", "dead"),
    ("B", "M"),
    ("N", "Y"),
    ("no", "yes"),
    (1, 2),
]


def wards(labels: tuple[Any, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return stay(120, 1, labels=labels), stay(120, 2, 5000, labels=labels)


def orders_of(error: pytest.ExceptionInfo[PrivauditError]) -> dict[str, float]:
    found = re.findall(r"([01]\.\d+) for ([^;]+?)(?:;|$)", error.value.because)
    return {order: float(area) for area, order in found}


@pytest.mark.parametrize("labels", PAIRS)
def test_texts_need_a_statement_where_the_file_holds_no_labels(
    labels: tuple[Any, ...], tmp_path: Path
) -> None:
    from xgboost import XGBClassifier

    members, nonmembers = wards(labels)
    coded = np.unique(members.y.astype(str), return_inverse=True)
    model = XGBClassifier(n_estimators=15, n_jobs=1).fit(members[NUMBERS], coded[1])
    model.save_model(tmp_path / "m.json")
    right = tuple(coded[0].tolist())
    with pytest.raises(PrivauditError, match="is not known") as caught:
        ask(tmp_path / "m.json", members, nonmembers)
    areas = orders_of(caught)
    assert areas[",".join(right)] > 0.9
    assert areas[",".join(right[::-1])] < 0.1
    assert "--classes" in caught.value.fix
    for how in ({"classes": right}, {"event": right[1]}):
        found = ask(tmp_path / "m.json", members, nonmembers, **how)
        np.testing.assert_allclose(
            found.of(right[1]), model.predict_proba(members[NUMBERS])[:, 1], atol=1e-5
        )
        assert CaveatCode.OUTCOMES_WRONG_WAY not in found.codes
    wrong = ask(tmp_path / "m.json", members, nonmembers, classes=right[::-1])
    assert CaveatCode.OUTCOMES_WRONG_WAY in wrong.codes


def test_three_classes_in_any_wrong_order_are_noticed(tmp_path: Path) -> None:
    from itertools import permutations

    from xgboost import XGBClassifier

    members, nonmembers = (
        frame.assign(y=np.array(["red", "amber", "green"])[np.digitize(frame.lab, [1, 2.5])])
        for frame in wards((0, 1))
    )
    names, y = np.unique(members.y, return_inverse=True)
    model = XGBClassifier(n_estimators=15, n_jobs=1).fit(members[NUMBERS], y)
    model.save_model(tmp_path / "m.json")
    with pytest.raises(PrivauditError) as caught:
        ask(tmp_path / "m.json", members, nonmembers)
    assert len(orders_of(caught)) == 6
    for order in permutations(names.tolist()):
        found = ask(tmp_path / "m.json", members, nonmembers, classes=order)
        assert (CaveatCode.OUTCOMES_WRONG_WAY in found.codes) == (order != tuple(names))


@pytest.mark.parametrize("labels", [(0, 1), (False, True), ("0", "1"), (0.0, 1.0)])
def test_numbers_from_0_and_booleans_are_evident(labels: tuple[Any, ...], tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    members, nonmembers = wards(labels)
    y = (members.y == labels[1]).astype(int)
    model = XGBClassifier(n_estimators=5, n_jobs=1).fit(members[NUMBERS], y)
    model.save_model(tmp_path / "m.json")
    found = ask(tmp_path / "m.json", members, nonmembers)
    np.testing.assert_allclose(
        found.p[:, 1], model.predict_proba(members[NUMBERS])[:, 1], atol=1e-5
    )


def test_labels_that_older_xgboost_stored_are_read(tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    members, nonmembers = wards(("survived", "died"))
    y = (members.y == "survived").astype(int)
    model = XGBClassifier(n_estimators=5, n_jobs=1).fit(members[NUMBERS], y)
    booster = model.get_booster()
    booster.set_attr(scikit_learn='{"_le": {"classes_": ["died", "survived"]}, "n_classes_": 2}')
    booster.save_model(tmp_path / "m.json")
    found = ask(tmp_path / "m.json", members, nonmembers)
    np.testing.assert_allclose(
        found.of("survived"), model.predict_proba(members[NUMBERS])[:, 1], atol=1e-5
    )


@pytest.mark.parametrize("labels", [("survived", "died"), ("nein", "ja"), (1, 2)])
def test_labels_of_an_estimator_are_read_and_kept_in_refits(
    labels: tuple[Any, ...], tmp_path: Path
) -> None:
    from sklearn.ensemble import RandomForestClassifier

    members, nonmembers = wards(labels)
    y = members.y.to_numpy(dtype=type(labels[0]))
    model = RandomForestClassifier(10, random_state=0).fit(members[NUMBERS], y)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    found = ask(tmp_path / "m.pkl", members, nonmembers, estimator="clone")
    expected = model.predict_proba(members[NUMBERS])
    for label, column in zip(model.classes_, expected.T, strict=True):
        np.testing.assert_allclose(found.of(label), column, atol=1e-5)
    again = found.twin.fit(found.members, np.random.default_rng(0)).model
    guess = again.predict_proba(found.members).argmax(axis=1)
    assert (guess == found.members.y).mean() > 0.9
    wrong = tuple(map(str, model.classes_[::-1]))
    with pytest.raises(PrivauditError, match="names its outputs"):
        ask(tmp_path / "m.pkl", members, nonmembers, classes=wrong)


def test_labels_that_an_encoder_numbered_need_a_statement(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    members, nonmembers = wards(("survived", "died"))
    y = (members.y == "survived").astype(int)
    model = LogisticRegression(max_iter=500).fit(members[NUMBERS], y)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(PrivauditError, match="is not known"):
        ask(tmp_path / "m.pkl", members, nonmembers)
    found = ask(tmp_path / "m.pkl", members, nonmembers, classes=("died", "survived"))
    np.testing.assert_allclose(
        found.of("survived"), model.predict_proba(members[NUMBERS])[:, 1], atol=1e-5
    )


def estimators() -> list[Any]:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    return [
        LogisticRegression(),
        RandomForestClassifier(3),
        KNeighborsClassifier(3),
        GaussianNB(),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
        DecisionTreeClassifier(max_depth=3),
        BaggingClassifier(n_estimators=2),
        AdaBoostClassifier(n_estimators=3),
    ]


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("number", range(8))
def test_onnx_graphs_hold_their_labels(number: int, zipmap: bool) -> None:
    runtime = pytest.importorskip("onnxruntime")
    convert = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType

    from privaudit.inputs.models.onnx_wire import read_graph

    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2)).astype(np.float32)
    names = np.array(["survived", "died", "moved"])
    for y in (names[(X[:, 0] > 0).astype(int)], names[np.digitize(X[:, 0], [-0.5, 0.5])]):
        model = estimators()[number].fit(X, y)
        graph = convert.convert_sklearn(
            model,
            initial_types=[("X", FloatTensorType([None, 2]))],
            options={id(model): {"zipmap": zipmap}},
        )
        raw = graph.SerializeToString()
        label, answers = [one.name for one in runtime.InferenceSession(raw).get_outputs()]
        assert read_graph(raw).labels_of(answers, (label,)) == tuple(model.classes_)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("encoded", [True, False])
def test_onnx_files_by_their_labels(tmp_path: Path, zipmap: bool, encoded: bool) -> None:
    pytest.importorskip("onnxruntime")
    convert = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression

    members, nonmembers = (frame[["pid", *NUMBERS, "y"]] for frame in wards(("survived", "died")))
    X = members[NUMBERS].to_numpy(np.float32)
    y = (members.y == "survived").astype(int) if encoded else members.y.to_numpy(dtype=str)
    model = LogisticRegression(max_iter=500).fit(X, y)
    graph = convert.convert_sklearn(
        model,
        initial_types=[("X", FloatTensorType([None, 2]))],
        options={id(model): {"zipmap": zipmap}},
    )
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    stated = {"classes": ("died", "survived")} if encoded else {}
    if encoded:
        with pytest.raises(PrivauditError, match="is not known"):
            ask(tmp_path / "m.onnx", members, nonmembers)
    found = ask(tmp_path / "m.onnx", members, nonmembers, **stated)
    np.testing.assert_allclose(found.of("survived"), model.predict_proba(X)[:, 1], atol=1e-5)


def test_what_may_be_stated() -> None:
    classes = ("survived", "died")
    assert find_order(classes, None, StatedOrder(("died", "survived"))).classes[1] == "survived"
    assert find_order(classes, None, StatedOrder(event="survived")).classes == ("died", "survived")
    assert not find_order(classes, None).known
    assert find_order(("1", "0"), None).classes == ("0", "1")
    assert find_order(("true", "false"), (0, 1)).by_label
    assert not find_order(("1", "2"), (0, 1)).known
    faults = [
        StatedOrder(("died", "survived"), "died"),
        StatedOrder(("died",)),
        StatedOrder(("died", "died", "survived")),
        StatedOrder(("died", "alive")),
        StatedOrder(event="dead"),
    ]
    for stated in faults:
        with pytest.raises(PrivauditError):
            find_order(classes, None, stated)
    with pytest.raises(PrivauditError, match="one event"):
        find_order(("a", "b", "c"), None, StatedOrder(event="a"))


def test_many_classes_are_listed_by_name_and_by_fit() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 400)
    p = np.eye(5)[(y + 2) % 5] * 0.6 + rng.dirichlet(np.ones(5), 400) * 0.4
    error = refuse_unknown_order(p, y, list("cabed"), who="the model", fix="say it")
    best = ",".join("cabed"[(j - 2) % 5] for j in range(5))
    assert best in error.because
    assert "a,b,c,d,e" in error.because


def predictions(tmp_path: Path, labels: tuple[Any, Any], **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    y, member = rng.integers(0, 2, 300), np.arange(300) < 150
    z = 2.5 * (2 * y - 1) * np.where(member, 1, 0.3) + rng.normal(size=300)
    event = 1 / (1 + np.exp(-z))
    frame = pd.DataFrame({"y": np.array(labels, dtype=object)[y], "member": member.astype(int)})
    for name, which in columns.items():
        frame[name] = event if which else 1 - event
    frame.to_csv(tmp_path / "p.csv", index=False)
    return frame.assign(event=event)


def read(tmp_path: Path, *probabilities: str, **stated: Any) -> np.ndarray:
    """(n,) the probability of the class "Dead" (or ja, 2) of the members."""
    table = PredictionsTable(
        tmp_path / "p.csv", "y", "member", probabilities, order=StatedOrder(**stated)
    )
    task, release, _ = read_predictions(table, seeds=Seeds(0), confidence=0.95)
    members = get_part(task, "prepared", Prepared).split.members
    model = get_part(release, "release", Release).model
    event = next(c for c in ("Dead", "ja", "2", "1", "died") if c in members.classes)
    result: np.ndarray = model.predict_proba(members)[:, members.classes.index(event)]
    return result


@pytest.mark.parametrize("labels", [("Live", "Dead"), ("nein", "ja"), (1, 2), ("survived", "died")])
def test_one_column_of_probabilities_needs_a_statement(
    labels: tuple[Any, Any], tmp_path: Path
) -> None:
    frame = predictions(tmp_path, labels, p=True)
    with pytest.raises(PrivauditError, match="is not known") as caught:
        read(tmp_path)
    right = f"{labels[0]},{labels[1]}"
    assert orders_of(caught)[right] > 0.9
    for stated in ({"event": str(labels[1])}, {"classes": tuple(map(str, labels))}):
        np.testing.assert_allclose(read(tmp_path, **stated), frame.event[:150], atol=1e-5)


@pytest.mark.parametrize(
    "columns",
    [
        {"p_Dead": True, "p_Live": False},
        {"p_Live": False, "p_Dead": True},
        {"Dead": True, "Live": False},
        {"prob.dead": True, "prob.live": False},
        {"P(Dead)": True, "P(Live)": False},
        {"Dead_prob": True, "Live_prob": False},
        {"p_Dead": True},
        {"probability_Live": False},
    ],
)
def test_columns_that_name_classes_are_read_by_name(
    columns: dict[str, bool], tmp_path: Path
) -> None:
    frame = predictions(tmp_path, ("Live", "Dead"), **columns)
    np.testing.assert_allclose(read(tmp_path), frame.event[:150], atol=1e-5)
    named = read(tmp_path, *columns) if len(columns) == 2 else read(tmp_path)
    np.testing.assert_allclose(named, frame.event[:150], atol=1e-5)


def test_numbered_columns_of_texts_need_a_statement(tmp_path: Path) -> None:
    frame = predictions(tmp_path, ("Live", "Dead"), proba_0=True, proba_1=False)
    with pytest.raises(PrivauditError, match="is not known"):
        read(tmp_path)
    found = read(tmp_path, classes=("Dead", "Live"))
    np.testing.assert_allclose(found, frame.event[:150], atol=1e-5)
    frame = predictions(tmp_path, (1, 2), p_0=False, p_1=True)
    with pytest.raises(PrivauditError, match="is not known"):
        # p_1 is the second output, not the class called 1.
        read(tmp_path)


def test_columns_and_statements_that_disagree_are_refused(tmp_path: Path) -> None:
    predictions(tmp_path, ("Live", "Dead"), p_Dead=True, p_Live=False)
    with pytest.raises(PrivauditError, match="name the classes"):
        read(tmp_path, "p_Dead", "p_Live", classes=("Live", "Dead"))
    predictions(tmp_path, ("Live", "Dead"), p_Dead=True)
    with pytest.raises(PrivauditError, match="name the classes"):
        read(tmp_path, event="Live")


def test_zero_and_one_stay_evident(tmp_path: Path) -> None:
    frame = predictions(tmp_path, (0, 1), score=True)
    np.testing.assert_allclose(read(tmp_path), frame.event[:150], atol=1e-5)
    frame = predictions(tmp_path, (0, 1), p_0=False)
    np.testing.assert_allclose(read(tmp_path), frame.event[:150], atol=1e-5)


@pytest.mark.parametrize(
    ("rest", "classes"),
    [
        (["p", "score"], ("0", "1")),
        (["p_1", "p_2"], ("0", "1")),
        (["age"], ("0", "1")),
        (["p"], ("a", "b", "c")),
    ],
)
def test_columns_that_may_be_several_things_are_refused(
    rest: list[str], classes: tuple[str, ...]
) -> None:
    with pytest.raises(PrivauditError, match="look like probabilities"):
        find_columns((), rest, classes)
