"""Tree files whose nodes are no trees are refused, and never followed."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opening import answer, audit, made

from privaudit.errors import PrivauditError
from privaudit.inputs.models.json_text import parse_json, parse_ubjson
from privaudit.inputs.models.lightgbm_trees import check_lightgbm
from privaudit.inputs.models.xgboost_trees import check_xgboost


@pytest.fixture(scope="module")
def boosted() -> Any:
    from xgboost import XGBClassifier

    X, y = made()
    return XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1).fit(X, y).get_booster()


@pytest.fixture(scope="module")
def text() -> str:
    lightgbm = pytest.importorskip("lightgbm")
    X, y = made()
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(X, y)
    found: str = model.booster_.model_to_string()
    return found


def _first(tree: Any) -> Any:
    return tree["learner"]["gradient_booster"]["model"]["trees"][0]


def _put(name: str, at: int, value: Any) -> Callable[[Any], None]:
    return lambda tree: _first(tree)[name].__setitem__(at, value)


def _root_is_its_child(tree: Any) -> None:
    _first(tree)["left_children"][0] = _first(tree)["right_children"][0] = 0


def _ring(tree: Any) -> None:
    """Two nodes that are each other's child, which the root does not reach."""
    one = _first(tree)
    n = len(one["left_children"])
    for name, values in (("left_children", (n + 1, n)), ("right_children", (n + 1, n))):
        one[name] += values
    one["parents"] += [n + 1, n]
    for name in ("split_indices", "split_type", "default_left"):
        one[name] += [0, 0]
    for name in ("split_conditions", "base_weights", "loss_changes", "sum_hessian"):
        one[name] += [0.0, 0.0]
    one["tree_param"]["num_nodes"] = str(n + 2)


FORGED: dict[str, Callable[[Any], None]] = {
    "a child far outside": _put("left_children", 0, 10**9),
    "a child just outside": lambda t: _put("left_children", 0, len(_first(t)["parents"]))(t),
    "a negative child": _put("left_children", 0, -2),
    "one child": _put("left_children", 0, -1),
    "a node that is its own child": _root_is_its_child,
    "two nodes that are each other's": _ring,
    "two parents": lambda t: _put("left_children", 0, _first(t)["right_children"][0])(t),
    "a feature outside": _put("split_indices", 0, 3),
    "a negative feature": _put("split_indices", 0, -1),
    "a parent that is none": _put("parents", 1, 2),
    "too few conditions": lambda t: _first(t)["split_conditions"].pop(),
    "fewer nodes than said": lambda t: _first(t)["tree_param"].update(num_nodes="999999"),
    "categories outside": lambda t: _first(t).update(
        categories=[1], categories_nodes=[0], categories_segments=[0], categories_sizes=[10**6]
    ),
    "a category split without categories": _put("split_type", 0, 1),
    "more trees than there are": lambda t: t["learner"]["gradient_booster"]["model"][
        "gbtree_model_param"
    ].update(num_trees="7"),
    "a tree of a class outside": lambda t: t["learner"]["gradient_booster"]["model"][
        "tree_info"
    ].__setitem__(0, 5),
    "rounds outside": lambda t: t["learner"]["gradient_booster"]["model"].update(
        iteration_indptr=[0, 1, 2, 900]
    ),
    "features that do not fit": lambda t: t["learner"]["learner_model_param"].update(
        num_feature="1000000000000"
    ),
    "levels outside": lambda t: t["learner"]["gradient_booster"]["model"].update(
        cats={"enc": [], "feature_segments": [0, 10**6], "sorted_idx": []}
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_xgboost_is_refused_before_it_is_loaded(
    name: str, boosted: Any, tmp_path: Path
) -> None:
    tree = json.loads(bytes(boosted.save_raw("json")))
    FORGED[name](tree)
    raw = json.dumps(tree).encode()
    with pytest.raises(PrivauditError, match="no trees"):
        check_xgboost(raw)
    (tmp_path / "m.json").write_bytes(raw)
    with pytest.raises(PrivauditError, match="no trees"):
        answer(tmp_path / "m.json")


def test_a_forged_ubjson_is_refused(boosted: Any, tmp_path: Path) -> None:
    raw = bytes(boosted.save_raw("ubj"))
    at = raw.index(b"left_children") + len(b"left_children[$l#L") + 8
    (tmp_path / "m.ubj").write_bytes(raw[:at] + struct.pack(">i", 10**9) + raw[at + 4 :])
    with pytest.raises(PrivauditError, match="no trees"):
        answer(tmp_path / "m.ubj")


def test_both_of_xgboosts_formats_are_read_alike(boosted: Any) -> None:
    text = parse_json(bytes(boosted.save_raw("json")))
    binary = parse_ubjson(bytes(boosted.save_raw("ubj")))
    for key in ("left_children", "right_children", "split_indices", "parents"):
        assert _first(binary)[key] == _first(text)[key]
    np.testing.assert_allclose(
        _first(binary)["split_conditions"], _first(text)["split_conditions"], rtol=1e-6
    )


@pytest.mark.parametrize(
    "way",
    [
        {},
        {"tree_method": "exact", "gamma": 2.0, "max_depth": 8},
        {"booster": "dart", "rate_drop": 0.3},
        {"booster": "gblinear"},
        {"grow_policy": "lossguide", "max_leaves": 60, "max_depth": 0},
        {"num_parallel_tree": 3, "subsample": 0.5},
    ],
)
def test_honest_boosters_are_read(way: dict[str, Any]) -> None:
    import xgboost

    X, y = made()
    data = xgboost.DMatrix(X, y)
    trained = xgboost.train({"objective": "binary:logistic", "nthread": 1, **way}, data, 5)
    for form in ("json", "ubj"):
        check_xgboost(bytes(trained.save_raw(form)))


def _line(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    def forge(text: str) -> str:
        found = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
        assert found is not None
        new = " ".join(change(found[1].split()))
        changed = text[: found.start(1)] + new + text[found.end(1) :]
        sizes = [len(one.encode()) for one in re.split(r"^(?=Tree=)", _trees(changed), flags=re.M)]
        if name != "tree_sizes":
            # Only what is forged is wrong.
            line = "tree_sizes=" + " ".join(str(size) for size in sizes if size)
            changed = re.sub(r"^tree_sizes=.*$", line, changed, flags=re.M)
        return changed

    return forge


def _trees(text: str) -> str:
    return text[text.index("\nTree=0\n") + 1 : text.index("\nend of trees") + 1]


def _to(at: int, value: str) -> Callable[[list[str]], list[str]]:
    return lambda parts: [*parts[:at], value, *parts[at + 1 :]]


FORGED_TEXTS = {
    "a child far outside": _line("left_child", _to(0, "1000000000")),
    "a leaf outside": _line("left_child", _to(0, "-1000000000")),
    "a node that is its own child": _line("left_child", _to(0, "0")),
    "two parents": lambda text: _line("left_child", _to(0, "1"))(
        _line("right_child", _to(0, "1"))(text)
    ),
    "a feature outside": _line("split_feature", _to(0, "3")),
    "too few thresholds": _line("threshold", lambda parts: parts[:-1]),
    "too few leaves": _line("leaf_value", lambda parts: parts[:-1]),
    "more leaves than there are": _line("num_leaves", lambda parts: ["100000"]),
    "categories that are not there": _line("num_cat", lambda parts: ["5"]),
    "sizes of trees": _line("tree_sizes", _to(0, "100000000")),
    "more features than names": _line("max_feature_idx", lambda parts: ["100000"]),
    "a category split": _line("decision_type", _to(0, "1")),
}


@pytest.mark.parametrize("name", FORGED_TEXTS)
def test_forged_lightgbm_is_refused_before_it_is_loaded(
    name: str, text: str, tmp_path: Path
) -> None:
    check_lightgbm(_line("leaf_value", lambda parts: parts)(text))
    forged = FORGED_TEXTS[name](text)
    with pytest.raises(PrivauditError, match="no trees"):
        check_lightgbm(forged)
    (tmp_path / "m.txt").write_text(forged)
    with pytest.raises(PrivauditError, match="no trees"):
        answer(tmp_path / "m.txt")


@pytest.mark.parametrize(
    "way",
    [
        {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"boosting_type": "dart"},
        {"min_child_samples": 280},
        {"linear_tree": True},
        {"categorical_feature": [2]},
    ],
)
def test_honest_texts_are_read(way: dict[str, Any]) -> None:
    way = dict(way)
    lightgbm = pytest.importorskip("lightgbm")
    X, y = made()
    X[:, 2] = np.digitize(X[:, 2], [-1.0, 0.0, 1.0])
    fit = {name: way.pop(name) for name in ("categorical_feature",) if name in way}
    model = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1, **way).fit(X, y, **fit)
    check_lightgbm(model.booster_.model_to_string())


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_json_is_refused(opening: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b'{"learner":' + opening.encode() * 2_000_000)
    with pytest.raises(PrivauditError, match="cannot be read as XGBoost"):
        answer(tmp_path / "m.json")
    closed = b'{"learner":' + b"[" * 500 + b"]" * 500 + b"}"
    (tmp_path / "m.json").write_bytes(closed)
    with pytest.raises(PrivauditError, match="cannot be read as XGBoost"):
        answer(tmp_path / "m.json")


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(PrivauditError, match="cannot be read as XGBoost"):
        check_xgboost(b'{"learner": {}, "learner": {}}')


@pytest.mark.parametrize("name", ["a child far outside", "a node that is its own child"])
def test_the_audit_of_a_forged_file_ends_with_2(
    name: str, boosted: Any, text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = json.loads(bytes(boosted.save_raw("json")))
    FORGED[name](tree)
    (tmp_path / "m.json").write_text(json.dumps(tree))
    (tmp_path / "m.txt").write_text(FORGED_TEXTS[name](text))
    for path in (tmp_path / "m.json", tmp_path / "m.txt"):
        assert audit(path) == 2
        assert "no trees" in capfd.readouterr().err


@pytest.mark.parametrize("grow", ["SymmetricTree", "Lossguide"])
def test_forged_catboost_is_refused_before_it_is_loaded(grow: str, tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    X, y = made()
    path = tmp_path / "m.json"
    quiet = {"verbose": False, "thread_count": 1, "allow_writing_files": False}
    model = catboost.CatBoostClassifier(iterations=3, depth=3, grow_policy=grow, **quiet)
    model.fit(X, y).save_model(str(path), format="json")
    assert answer(path).shape == (300, 2)
    tree = json.loads(path.read_text())
    one = (tree["oblivious_trees"] if grow == "SymmetricTree" else tree["trees"])[0]
    split = one["splits"][0] if grow == "SymmetricTree" else one["split"]
    split["float_feature_index"] = 10**6
    path.write_text(json.dumps(tree))
    with pytest.raises(PrivauditError, match="no trees"):
        answer(path)
    if grow == "SymmetricTree":
        split["float_feature_index"] = 0
        one["leaf_values"].pop()
        path.write_text(json.dumps(tree))
        with pytest.raises(PrivauditError, match="no trees"):
            answer(path)
    model.save_model(str(tmp_path / "m.cbm"))
    raw = (tmp_path / "m.cbm").read_bytes()
    (tmp_path / "m.cbm").write_bytes(raw[:4] + b"\xff\xff\xff\x7f" + raw[8:])
    with pytest.raises(PrivauditError, match="cannot be read as CatBoost"):
        answer(tmp_path / "m.cbm")


def test_parameters_of_a_training_are_not_read(text: str, tmp_path: Path) -> None:
    """LightGBM's reader of them ends the process on a line that is none of its own."""
    forged = text.replace("[machine_list_filename: ]", "[machine_list_file").replace(
        "end of parameters", "end of parameders"
    )
    assert forged != text
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.txt").write_text(forged)
    np.testing.assert_array_equal(answer(tmp_path / "a.txt"), answer(tmp_path / "b.txt"))
